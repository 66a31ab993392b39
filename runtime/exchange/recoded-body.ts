// A body that becomes another on its way: what every stage that rewrites bytes has in common.
import type { Body, BodySink } from "./body.ts";
import type { Failure } from "./failure.ts";
import type { HeaderMap } from "./headers.ts";

/** A body that is written anew on its way: pauses and ends pass through. */
export abstract class RecodedBody implements Body, BodySink {
  readonly lengthBytes: number | undefined;
  protected sink: BodySink | undefined = undefined;
  readonly #body: Body;

  constructor(body: Body, lengthBytes: number | undefined) {
    this.#body = body;
    this.lengthBytes = lengthBytes;
  }

  pipe(sink: BodySink): void {
    this.sink = sink;
    this.#body.pipe(this);
  }

  resume(): void {
    this.#body.resume();
  }

  cancel(): void {
    this.#body.cancel();
  }

  abort(failed: Failure): void {
    this.sink?.abort(failed);
  }

  abstract write(chunk: Buffer, start: number, end: number): boolean;
  abstract end(trailers: HeaderMap | undefined): void;
}
