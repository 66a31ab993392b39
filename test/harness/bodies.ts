// Bodies for tests: given as pieces, read as text.
import type { Body } from "../../runtime/exchange/body.ts";
import type { Failure } from "../../runtime/exchange/failure.ts";
import type { HeaderMap } from "../../runtime/exchange/headers.ts";

/** A body that comes in these pieces, and rests when it is asked to. */
export function pieces(texts: readonly string[], trailers?: HeaderMap): Body {
  const left = texts.map((text) => Buffer.from(text));
  let sink: Parameters<Body["pipe"]>[0] | undefined;
  const flow = (): void => {
    while (left.length > 0) {
      const next = left.shift() ?? Buffer.alloc(0);
      // A chunk is valid during the call only: whoever keeps it sees it change.
      const chunk = Buffer.from(next);
      const goesOn = sink?.write(chunk, 0, chunk.length) ?? true;
      chunk.fill(0);
      if (!goesOn) return;
    }
    const last = sink;
    sink = undefined;
    last?.end(trailers);
  };
  return {
    lengthBytes: undefined,
    pipe: (to) => {
      sink = to;
      flow();
    },
    resume: flow,
    cancel: () => {
      sink = undefined;
      left.length = 0;
    },
  };
}

/** What was read of a body. */
export interface Collected {
  readonly bytes: Buffer;
  readonly text: string;
  readonly trailers: HeaderMap | undefined;
  /** Why it was broken off; `undefined` where it came whole. */
  readonly cut: Failure | undefined;
}

/** Reads a body to its end. */
export function collect(body: Body): Promise<Collected> {
  const read: Buffer[] = [];
  return new Promise((resolve) => {
    const done = (trailers: HeaderMap | undefined, cut: Failure | undefined): void => {
      const bytes = Buffer.concat(read);
      resolve({ bytes, text: bytes.toString(), trailers, cut });
    };
    body.pipe({
      write: (chunk, start, end) => {
        read.push(Buffer.from(chunk.subarray(start, end)));
        return true;
      },
      end: (trailers) => done(trailers, undefined),
      abort: (cut) => done(undefined, cut),
    });
  });
}
