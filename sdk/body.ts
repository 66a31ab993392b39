// A message's body as a handler has it: read whole, replaced, or looked at piece by piece on its way.
import { bytesOf, textOf, type Content } from "./content.ts";
import { checkOutcome, type CallPort } from "./port.ts";
import { BODY_TOO_LARGE } from "./wit/world.ts";

/** Which bodies a filter looks at. Default: none, and nothing of them crosses. */
export interface BodyModes {
  readonly request?: BodyMode;
  readonly response?: BodyMode;
}

export type BodyMode = "none" | "buffer" | "stream";

/** Of mode `buffer`. A body beyond the use's `bodyMaxBytes` is answered 413 where it is a request's, and fails the call where it is a reply's. */
export interface BufferedBody {
  /** All of it. The message waits until it is here. */
  bytes(): Promise<Uint8Array>;
  /** As UTF-8. */
  text(): Promise<string>;
  /** Rejects with a `SyntaxError` where it is no JSON. */
  json(): Promise<unknown>;
  /** Goes on in its place; `content-length` is set, and what the message says of the old one (`content-encoding`, …) is the filter's to remove. */
  replace(content: Content): void;
}

/** Of mode `stream`: piece by piece on its way, or whole as with `buffer`. */
export interface StreamedBody extends BufferedBody {
  /** Each piece on its way goes through it, from now on. Once for each message. */
  transform(transform: BodyTransform): void;
}

/** What becomes of a body's pieces. One that throws breaks the message off: what went on cannot be called back. */
export interface BodyTransform {
  /** What goes on in the piece's place: nothing returned is the piece itself, no bytes are none. `bytes` are the call's own. */
  chunk(bytes: Uint8Array): Passed | Promise<Passed>;
  /** What follows the last piece. */
  end?(): Passed | Promise<Passed>;
  /** In the place of the end, where it will not come: whoever sends or takes the body left, or it broke off. */
  cancel?(): void;
}

// oxlint-disable-next-line typescript/no-invalid-void-type -- A transform that only looks returns nothing.
export type Passed = Content | undefined | void;

/** Thrown by a transform of a request's body: its client sent too much, and is answered 413 where nothing was answered yet. */
export class BodyTooLargeError extends Error {
  override readonly name = BODY_TOO_LARGE;
}

function payloadOf(outcome: string, payload: Uint8Array): Uint8Array {
  checkOutcome(outcome);
  return payload;
}

/** Both modes; the types of `FilterRequest` and `FilterResponse` show what was declared. */
export class MessageBody implements StreamedBody {
  readonly #port: CallPort;
  #read: Promise<Uint8Array> | undefined = undefined;
  /** What the handler wants in the body's place. */
  replacement: Uint8Array | undefined = undefined;
  transformation: BodyTransform | undefined = undefined;

  constructor(port: CallPort) {
    this.#port = port;
  }

  bytes(): Promise<Uint8Array> {
    if (this.replacement !== undefined) return Promise.resolve(this.replacement);
    this.#read ??= this.#port.operate("body", "", payloadOf, undefined);
    return this.#read;
  }

  text(): Promise<string> {
    return this.bytes().then(textOf);
  }

  json(): Promise<unknown> {
    return this.bytes().then((bytes): unknown => JSON.parse(textOf(bytes)));
  }

  replace(content: Content): void {
    this.replacement = bytesOf(content);
  }

  transform(transform: BodyTransform): void {
    if (this.transformation !== undefined)
      throw new TypeError("a body is transformed once; make one transform of both");
    this.transformation = transform;
  }
}
