// A body read to its end before its message goes on: what a filter that wants all of it waits for.
import { bytesBody, type Body, type BodySink } from "../exchange/body.ts";
import { Exchange } from "../exchange/exchange.ts";
import { failure, type Failure, type Result } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import type { Reply } from "../exchange/reply.ts";

/** A message whose body may be read and put back. */
export type Message = Exchange | Reply;

/**
 * Reads a message's body and puts the bytes back in its place, trailers too, so that it may be read again and sent on. A
 * body beyond `bytesMax` is a failure, and gone; `body_too_large` where it is a request's.
 */
export function readWhole(message: Message, bytesMax: number): Promise<Result<Uint8Array, Failure>> {
  const { body } = message;
  if (message instanceof Exchange) sayContinue(message);
  const reading = new BodyBeingRead(body);
  message.body = reading;
  return new Promise((resolve) => {
    const collector = new Collector(body, bytesMax, (outcome) => {
      if (!outcome.ok) {
        const error = tooLargeFor(message, outcome.error);
        reading.lost(error);
        resolve({ ok: false, error });
        return;
      }
      const kept = keptBody(outcome.value, collector.trailers, body.lengthBytes);
      if (message.body === reading) message.body = kept;
      reading.read(kept);
      resolve(outcome);
    });
    if ((body.lengthBytes ?? 0) > bytesMax) collector.overflow();
    else body.pipe(collector);
  });
}

/** Reads to the end and drops what it reads: a client that is not read from cannot be answered on the same connection. */
export function discard(body: Body): void {
  body.pipe({ write: () => true, end: () => undefined, abort: () => undefined });
}

/**
 * The body of these bytes, and what followed it. `lengthBytes` is what its head says: where that says none, only the end
 * tells it again, since a codec frames by it. A length that no field tells would leave the bytes to be read as the next
 * request.
 */
export function keptBody(bytes: Uint8Array, trailers: HeaderMap | undefined, lengthBytes: number | undefined): Body {
  const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    ...bytesBody(bytes),
    // Trailers follow only a body whose end is told by its framing.
    lengthBytes: trailers === undefined ? lengthBytes : undefined,
    pipe: (sink) => {
      if (chunk.length > 0) sink.write(chunk, 0, chunk.length);
      sink.end(trailers);
    },
  };
}

/**
 * Stands in a body's place while it is read. The message may go on before that is done: a filter failed or decided
 * without the body that it had asked for. Whoever gets the message then gets the body whole, once it is.
 */
class BodyBeingRead implements Body {
  readonly #source: Body;
  #sink: BodySink | undefined = undefined;
  #outcome: Result<Body, Failure> | undefined = undefined;

  constructor(source: Body) {
    this.#source = source;
  }

  get lengthBytes(): number | undefined {
    return this.#source.lengthBytes;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.#deliver();
  }

  /** What is read takes whatever comes, up to its bound. */
  resume(): void {}

  cancel(): void {
    this.#sink = undefined;
    this.#source.cancel();
  }

  read(kept: Body): void {
    this.#outcome ??= { ok: true, value: kept };
    this.#deliver();
  }

  lost(error: Failure): void {
    this.#outcome ??= { ok: false, error };
    this.#deliver();
  }

  #deliver(): void {
    const sink = this.#sink;
    if (sink === undefined || this.#outcome === undefined) return;
    this.#sink = undefined;
    if (this.#outcome.ok) this.#outcome.value.pipe(sink);
    else sink.abort(this.#outcome.error);
  }
}

/** Who waits for 100 is told it by whoever reads the body first (RFC 9110 §10.1.1). */
function sayContinue(exchange: Exchange): void {
  if (!exchange.expectsContinue) return;
  exchange.expectsContinue = false;
  exchange.interims?.interim(100, new HeaderMap());
}

function tooLargeFor(message: Message, cause: Failure): Failure {
  return cause.kind === "body_too_large" && !(message instanceof Exchange)
    ? failure("filter_failed", cause.message)
    : cause;
}

class Collector implements BodySink {
  trailers: HeaderMap | undefined = undefined;
  readonly #body: Body;
  readonly #bytesMax: number;
  readonly #done: (outcome: Result<Uint8Array, Failure>) => void;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #isOver = false;

  constructor(body: Body, bytesMax: number, done: (outcome: Result<Uint8Array, Failure>) => void) {
    this.#body = body;
    this.#bytesMax = bytesMax;
    this.#done = done;
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    if (this.#isOver) return true;
    this.#bytes += end - start;
    if (this.#bytes > this.#bytesMax) this.overflow();
    // The chunk is the codec's, and valid during the call only.
    else this.#pieces.push(Buffer.from(chunk.subarray(start, end)));
    return true;
  }

  end(trailers: HeaderMap | undefined): void {
    this.trailers = trailers;
    this.#settle({ ok: true, value: Buffer.concat(this.#pieces) });
  }

  abort(cause: Failure): void {
    this.#settle({ ok: false, error: cause });
  }

  /** More than may be kept. */
  overflow(): void {
    this.#body.cancel();
    this.#settle({
      ok: false,
      error: failure("body_too_large", `body is beyond ${this.#bytesMax} bytes, which a filter may read`),
    });
  }

  #settle(outcome: Result<Uint8Array, Failure>): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#pieces = [];
    this.#done(outcome);
  }
}
