// A small body that may be sent twice: what went out is kept until a reply comes, for another try where the first
// connection turned out to be dead (RFC 9112 §9.3.1) or never looked at the request (RFC 9113 §8.7).
import type { Body, BodySink } from "../exchange/body.ts";
import type { Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";

/** Larger bodies are sent once: what is kept for each request in flight stays small. */
export const REPLAY_MAX_BYTES: number = 64 * 1024;

/** Unlike other bodies it may be piped again, once the sink before is out of use. */
export class ReplayBody implements Body, BodySink {
  readonly lengthBytes: number | undefined;
  /** All of it that came is still here. */
  isWhole = true;
  readonly #inner: Body;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #sink: BodySink | undefined = undefined;
  #isPiped = false;
  #isEnded = false;
  #trailers: HeaderMap | undefined = undefined;
  #cut: Failure | undefined = undefined;

  /** Of an `inner` beyond `REPLAY_MAX_BYTES` nothing is kept. */
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

  /** The try that read it failed: until the next one, its source waits. */
  detach(): void {
    this.#sink = undefined;
  }

  /** A reply came: it will not be sent again. */
  settle(): void {
    this.isWhole = false;
    this.#kept = [];
  }

  cancel(): void {
    this.#sink = undefined;
    this.settle();
    this.#inner.cancel();
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    const sink = this.#sink;
    this.#keptBytes += end - start;
    // Between two tries what comes is kept whatever its size, and its source pauses.
    if (this.isWhole && this.#keptBytes > REPLAY_MAX_BYTES && sink !== undefined) this.settle();
    if (this.isWhole) this.#kept.push(Buffer.from(chunk.subarray(start, end)));
    return sink?.write(chunk, start, end) ?? false;
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
