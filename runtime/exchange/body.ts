// A body on its way from one codec to another, in pieces, with back-pressure and without copying into strings.
import type { Failure } from "./failure.ts";
import type { HeaderMap } from "./headers.ts";

/** Who takes a body. After `end` or `abort`, nothing more is called. */
export interface BodySink {
  /** Takes bytes that are valid during the call only. `false` asks the source to pause until `resume`; the bytes were taken all the same. */
  write(chunk: Buffer, start: number, end: number): boolean;
  /** The body is whole. */
  end(trailers: HeaderMap | undefined): void;
  /** The body will not become whole: whoever reads it must see that (a closed connection, a reset stream). */
  abort(failure: Failure): void;
}

/** A body that has not been read yet. Exactly one of `pipe` and `cancel` is called, once; an empty body too. */
export interface Body {
  /** Its length where the head said it; `undefined` where only its end tells. `0` is no body. */
  readonly lengthBytes: number | undefined;
  /** Starts the flow into `sink`; what has arrived already is written before `pipe` returns. */
  pipe(sink: BodySink): void;
  /** The sink has room again after it answered `false`. */
  resume(): void;
  /** Nobody wants the rest. Also ends a flow that `pipe` started. */
  cancel(): void;
}

/** A body of these bytes. */
export function bytesBody(bytes: Uint8Array): Body {
  const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    lengthBytes: bytes.length,
    pipe: (sink) => {
      if (chunk.length > 0) sink.write(chunk, 0, chunk.length);
      sink.end(undefined);
    },
    resume: () => undefined,
    cancel: () => undefined,
  };
}

/** No body. */
export const EMPTY_BODY: Body = bytesBody(new Uint8Array(0));
