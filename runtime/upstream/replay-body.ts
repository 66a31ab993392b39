// A small body that may be sent twice: what went out is kept until the exchange is over, for another try where the first
// connection turned out to be dead (RFC 9112 §9.3.1).
import type { Body, BodySink } from "../exchange/body.ts";
import type { Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";

/** Larger bodies are sent once: what is kept for each request in flight stays small. */
export const REPLAY_MAX_BYTES: number = 64 * 1024;

/** Unlike other bodies it may be piped again, once the sink before is out of use. */
export class ReplayBody implements Body, BodySink {
  readonly lengthBytes: number | undefined;
  readonly #inner: Body;
  readonly #kept: Buffer[] = [];
  #sink: BodySink | undefined = undefined;
  #isPiped = false;
  #isEnded = false;
  #trailers: HeaderMap | undefined = undefined;
  #cut: Failure | undefined = undefined;

  /** `inner` has a length of at most `REPLAY_MAX_BYTES`. */
  constructor(inner: Body) {
    this.#inner = inner;
    this.lengthBytes = inner.lengthBytes;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    if (!this.#isPiped) {
      this.#isPiped = true;
      this.#inner.pipe(this);
      return;
    }
    for (const chunk of this.#kept) sink.write(chunk, 0, chunk.length);
    if (this.#cut !== undefined) sink.abort(this.#cut);
    else if (this.#isEnded) sink.end(this.#trailers);
    else this.#inner.resume();
  }

  resume(): void {
    this.#inner.resume();
  }

  cancel(): void {
    this.#sink = undefined;
    this.#inner.cancel();
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    this.#kept.push(Buffer.from(chunk.subarray(start, end)));
    return this.#sink?.write(chunk, start, end) ?? true;
  }

  end(trailers: HeaderMap | undefined): void {
    this.#isEnded = true;
    this.#trailers = trailers;
    this.#sink?.end(trailers);
  }

  abort(failure: Failure): void {
    this.#cut = failure;
    this.#sink?.abort(failure);
  }
}
