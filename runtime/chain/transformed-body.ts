// A body whose pieces go through a filter on their way. While the filter waits for something its source rests, and what
// comes all the same is kept, in order.
import { BODY_TOO_LARGE } from "../../sdk/wit/world.ts";
import type { Body } from "../exchange/body.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { RecodedBody } from "../exchange/recoded-body.ts";

/** What becomes of a piece. */
export type Passed =
  /** It goes on as it is. */
  | { readonly kind: "pass" }
  /** These go on in its place; none drop it. */
  | { readonly kind: "instead"; readonly pieces: readonly Uint8Array[] }
  | { readonly kind: "failed"; readonly failure: Failure };

/** A piece that the filter gave up at; where the message says so, because the client sent too much. */
export function lostPiece(message: string): Passed {
  const kind = message.startsWith(`${BODY_TOO_LARGE}: `) ? "body_too_large" : "filter_failed";
  return { kind: "failed", failure: failure(kind, message) };
}

/** A filter's view of a body. */
export interface ChunkHandler {
  /** The next piece, which is valid during the call only; `isEnd` with the last, which may be empty. */
  take(bytes: Uint8Array, isEnd: boolean): Passed | Promise<Passed>;
  /** The body will not end: nothing more is taken. */
  cancel(): void;
}

/** Pieces that may wait for one that the filter thinks about; a source that rests sends a few more at most. */
const WAITING_MAX_BYTES = 4 * 1024 * 1024;
/** A filter sees no more at once: what one call costs and holds is bounded, however much a socket brings. */
const PIECE_MAX_BYTES = 64 * 1024;
const NO_BYTES = Buffer.alloc(0);

export class TransformedBody extends RecodedBody {
  readonly #handler: ChunkHandler;
  readonly #source: Body;
  /** Pieces that wait for the one before; copies, as a chunk is its codec's. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isThinking = false;
  /** What waited is being handed on: what comes meanwhile, from a source that a sink woke, waits behind it. */
  #isGoingOn = false;
  #isOver = false;
  #end: { readonly trailers: HeaderMap | undefined } | undefined = undefined;

  constructor(source: Body, handler: ChunkHandler) {
    super(source, undefined);
    this.#source = source;
    this.#handler = handler;
  }

  override cancel(): void {
    this.#giveUp();
    super.cancel();
  }

  override abort(cause: Failure): void {
    const wasOver = this.#isOver;
    this.#giveUp();
    if (!wasOver) super.abort(cause);
  }

  /** While the filter thinks, its end wakes the source. */
  override resume(): void {
    if (!this.#isThinking && !this.#isGoingOn) super.resume();
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    if (this.#isThinking || this.#isGoingOn) return this.#isOver || this.#keep(Buffer.from(chunk.subarray(start, end)));
    return this.#takeAll(chunk, start, end);
  }

  /** Hands a chunk to the filter piece by piece; where it thinks about one, the rest is the first that waits. */
  #takeAll(chunk: Buffer, start: number, end: number): boolean {
    let hasRoom = true;
    for (let at = start; at < end; at += PIECE_MAX_BYTES) {
      if (this.#isOver) return true;
      if (this.#isThinking) return this.#keep(Buffer.from(chunk.subarray(at, end)), "first");
      hasRoom = this.#take(chunk.subarray(at, Math.min(end, at + PIECE_MAX_BYTES)));
    }
    return hasRoom;
  }

  #take(piece: Buffer): boolean {
    const passed = this.#handler.take(piece, false);
    if (!(passed instanceof Promise)) return this.#pass(passed, piece);
    this.#think(passed, Buffer.from(piece));
    return false;
  }

  end(trailers: HeaderMap | undefined): void {
    if (this.#isOver) return;
    this.#end = { trailers };
    if (!this.#isThinking && !this.#isGoingOn) this.#finish(trailers);
  }

  #keep(piece: Buffer, place: "first" | "last" = "last"): boolean {
    this.#waitingBytes += piece.length;
    if (this.#waitingBytes > WAITING_MAX_BYTES)
      this.#break(failure("filter_failed", `more than ${WAITING_MAX_BYTES} bytes came while a filter waited`));
    else if (place === "first") this.#waiting.unshift(piece);
    else this.#waiting.push(piece);
    return false;
  }

  #think(passed: Promise<Passed>, piece: Buffer): void {
    this.#isThinking = true;
    void passed.then((decided) => {
      this.#isThinking = false;
      if (this.#isOver) return undefined;
      return this.#goOn(decided, piece);
    });
  }

  /** The piece, what came meanwhile, then the end where that came, then the source again. */
  #goOn(decided: Passed, piece: Buffer): void {
    this.#isGoingOn = true;
    let goesOn = this.#pass(decided, piece);
    while (!this.#isOver && !this.#isThinking && this.#waiting.length > 0) {
      const next = this.#waiting.shift() ?? NO_BYTES;
      this.#waitingBytes -= next.length;
      goesOn = this.#takeAll(next, 0, next.length);
    }
    this.#isGoingOn = false;
    if (this.#isOver || this.#isThinking) return;
    if (this.#end !== undefined) this.#finish(this.#end.trailers);
    else if (goesOn) this.#source.resume();
  }

  #finish(trailers: HeaderMap | undefined): void {
    const passed = this.#handler.take(NO_BYTES, true);
    if (!(passed instanceof Promise)) return this.#close(passed, trailers);
    this.#isThinking = true;
    void passed.then((decided) => (this.#isOver ? undefined : this.#close(decided, trailers)));
    return undefined;
  }

  #close(passed: Passed, trailers: HeaderMap | undefined): void {
    this.#pass(passed, NO_BYTES);
    if (this.#isOver) return;
    this.#isOver = true;
    this.sink?.end(trailers);
  }

  /** Whether whoever takes it has room for more. */
  #pass(passed: Passed, piece: Buffer): boolean {
    switch (passed.kind) {
      case "pass":
        return piece.length === 0 || (this.sink?.write(piece, 0, piece.length) ?? true);
      case "instead": {
        let hasRoom = true;
        for (const bytes of passed.pieces) {
          if (bytes.length === 0) continue;
          const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
          hasRoom = this.sink?.write(chunk, 0, chunk.length) ?? true;
        }
        return hasRoom;
      }
      case "failed":
        this.#break(passed.failure);
        return true;
    }
  }

  /** What went on already cannot be called back: whoever reads the body must see that it is cut. */
  #break(cause: Failure): void {
    this.#giveUp();
    super.cancel();
    this.sink?.abort(cause);
  }

  #giveUp(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting = [];
    this.#handler.cancel();
  }
}

/** A body whose trailers, where it has some, go through `edit`. */
export class TrailedBody extends RecodedBody {
  readonly #edit: (trailers: HeaderMap) => Failure | undefined | Promise<Failure | undefined>;

  constructor(source: Body, edit: (trailers: HeaderMap) => Failure | undefined | Promise<Failure | undefined>) {
    super(source, source.lengthBytes);
    this.#edit = edit;
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    return this.sink?.write(chunk, start, end) ?? true;
  }

  end(trailers: HeaderMap | undefined): void {
    if (trailers === undefined) return this.sink?.end(undefined);
    const edited = this.#edit(trailers);
    if (!(edited instanceof Promise)) return this.#finish(edited, trailers);
    void edited.then((cause) => this.#finish(cause, trailers));
    return undefined;
  }

  #finish(cause: Failure | undefined, trailers: HeaderMap): void {
    if (cause === undefined) this.sink?.end(trailers);
    else this.sink?.abort(cause);
  }
}
