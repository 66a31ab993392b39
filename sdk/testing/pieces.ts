// Bodies as tests write and read them: pieces that arrive one after the other, and what followed them.
import type { Body, BodySink } from "../../runtime/exchange/body.ts";
import { EMPTY_BODY } from "../../runtime/exchange/body.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { bytesOf, type Content } from "../content.ts";

/** A body's text or bytes: whole, or in the pieces that it arrives in. */
export type TestBody = Content | readonly Content[];

/** A body that was read to its end, or as far as it came. */
export interface ReadBody {
  readonly bytes: Uint8Array;
  /** By lower-case name. */
  readonly trailers: Readonly<Record<string, string>>;
  /** Why it did not become whole. */
  readonly aborted: string | undefined;
}

/** A body of these pieces. Its length is told where it is one piece without trailers. */
export function piecesBody(given: TestBody | undefined, trailers: Readonly<Record<string, string>> = {}): Body {
  const pieces = (isWhole(given) ? [given] : (given ?? [])).map((piece) => Buffer.from(bytesOf(piece)));
  const hasTrailers = Object.keys(trailers).length > 0;
  if (pieces.length === 0 && !hasTrailers) return EMPTY_BODY;
  return new PiecesBody(
    pieces,
    hasTrailers ? HeaderMap.from(Object.entries(trailers)) : undefined,
    isWhole(given) && !hasTrailers,
  );
}

/** Reads a body to its end. */
export function readToEnd(body: Body): Promise<ReadBody> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    const settle = (trailers: HeaderMap | undefined, aborted: string | undefined): void =>
      resolve({ bytes: new Uint8Array(Buffer.concat(pieces)), trailers: fieldsOf(trailers ?? []), aborted });
    body.pipe({
      write: (chunk, start, end) => {
        pieces.push(Buffer.from(chunk.subarray(start, end)));
        return true;
      },
      end: (trailers) => settle(trailers, undefined),
      abort: (failed) => settle(undefined, failed.message),
    });
  });
}

/** Fields by lower-case name; several of a name are joined with `", "`. */
export function fieldsOf(headers: Iterable<readonly [string, string]>): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    fields[key] = fields[key] === undefined ? value : `${fields[key]}, ${value}`;
  }
  return fields;
}

function isWhole(body: TestBody | undefined): body is Content {
  return typeof body === "string" || body instanceof Uint8Array;
}

class PiecesBody implements Body {
  readonly lengthBytes: number | undefined;
  readonly #pieces: Buffer[];
  readonly #trailers: HeaderMap | undefined;
  #sink: BodySink | undefined = undefined;
  #isPaused = false;

  constructor(pieces: Buffer[], trailers: HeaderMap | undefined, isLengthTold: boolean) {
    this.#pieces = pieces;
    this.#trailers = trailers;
    this.lengthBytes = isLengthTold ? pieces.reduce((sum, { length }) => sum + length, 0) : undefined;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.#flow();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#flow();
  }

  cancel(): void {
    this.#sink = undefined;
  }

  /** Each piece in a turn of its own, as pieces arrive from a connection. */
  #flow(): void {
    const piece = this.#pieces.shift();
    const sink = this.#sink;
    if (sink === undefined) return;
    if (piece === undefined) {
      this.#sink = undefined;
      sink.end(this.#trailers);
      return;
    }
    this.#isPaused = !sink.write(piece, 0, piece.length);
    if (this.#isPaused) return;
    if (this.#pieces.length === 0) this.#flow();
    else setImmediate(() => this.#flow());
  }
}
