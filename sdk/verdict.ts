// What a handler answers.
import type { Content } from "./content.ts";

/** A handler's answer. Returning nothing is `proceed`. */
export type Verdict = ({ readonly kind: "proceed" } & Keeping) | ({ readonly kind: "reply" } & ReplyInit);

/** For filters that are `cacheable`. */
export interface Keeping {
  /**
   * For so many milliseconds, what the filter reads decides alike: the same head is not asked about again. Edits are
   * kept with the verdict. Default: not kept.
   */
  readonly cacheMs?: number;
}

/** A reply that the filter makes itself. */
export interface ReplyInit extends Keeping {
  /** `200` to `599`. */
  readonly status: number;
  /** Fields by name, a list where there are several of it. `content-length` is filled in, and `content-type: text/plain` where there is a body without one. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Text is sent as UTF-8. Default: no body. */
  readonly body?: Content;
}

/** A reply's fields one by one. */
export function fieldsOf({ headers = {} }: ReplyInit): readonly (readonly [string, string])[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    typeof value === "string" ? [[name, value] as const] : value.map((one) => [name, one] as const),
  );
}

/** What `proceed()` returns. */
export const JUST_PROCEED: Verdict = { kind: "proceed" };

/** The message goes on, with the edits that the handler made. */
export function proceed(keeping?: Keeping): Verdict {
  return keeping === undefined ? JUST_PROCEED : { kind: "proceed", ...keeping };
}

/** Answers instead of whoever is behind this filter; edits that the handler made are dropped. */
export function reply(init: ReplyInit): Verdict {
  return { kind: "reply", ...init };
}
