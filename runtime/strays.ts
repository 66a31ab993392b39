// Promises that were rejected and that nobody awaits. What a native filter left alone is that filter's failure, with its line;
// nobody's mistake of this kind ends a process that serves others.
import { describeError } from "../sdk/describe-error.ts";

/** Calls `listener` with the reasons, until the function that it returns is called. The process goes on meanwhile. */
export type WatchStrays = (listener: (reason: unknown) => void) => () => void;

/** Those of this process. */
export const watchStrays: WatchStrays = (listener) => {
  process.on("unhandledRejection", listener);
  return () => process.off("unhandledRejection", listener);
};

/** Why a promise was rejected, and the filter of the proxy's own whose file it happened in. */
export interface Stray {
  readonly reason: string;
  /** `undefined` where no frame tells: the proxy's own mistake, or something that is no error. */
  readonly filter: string | undefined;
}

/** Reads a reason; `names` are the filters that there are. */
export function readStray(reason: unknown, names: Pick<ReadonlySet<string>, "has">): Stray {
  const text = describeError(reason);
  for (const [, folder = ""] of text.matchAll(/\/filters\/([a-z][a-z0-9-]*)\/[^/\s]+\.ts:\d+/gu))
    if (names.has(folder)) return { reason: text, filter: folder };
  return { reason: text, filter: undefined };
}
