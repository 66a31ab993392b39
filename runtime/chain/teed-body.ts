// A body that is kept on its way, up to a bound, for who looks at it beside the exchange. It flows as it would without.
import type { Body } from "../exchange/body.ts";
import type { Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { RecodedBody } from "../exchange/recoded-body.ts";

/** Told once: what the body was, or nothing where it was larger or did not become whole. */
export type Kept = (bytes: Buffer | undefined) => void;

export class TeedBody extends RecodedBody {
  readonly #bytesMax: number;
  readonly #done: Kept;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #isOver = false;

  constructor(source: Body, bytesMax: number, done: Kept) {
    super(source, source.lengthBytes);
    this.#bytesMax = bytesMax;
    this.#done = done;
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    if (!this.#isOver) {
      this.#bytes += end - start;
      // The chunk is the codec's, and valid during the call only.
      if (this.#bytes <= this.#bytesMax) this.#pieces.push(Buffer.from(chunk.subarray(start, end)));
      else this.#settle(undefined);
    }
    return this.sink?.write(chunk, start, end) ?? true;
  }

  end(trailers: HeaderMap | undefined): void {
    this.#settle(Buffer.concat(this.#pieces));
    this.sink?.end(trailers);
  }

  override abort(failed: Failure): void {
    this.#settle(undefined);
    super.abort(failed);
  }

  override cancel(): void {
    this.#settle(undefined);
    super.cancel();
  }

  #settle(bytes: Buffer | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#pieces = [];
    this.#done(bytes);
  }
}
