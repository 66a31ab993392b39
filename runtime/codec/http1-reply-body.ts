// The body of a reply: its connection feeds it, the downstream's codec reads it.
import type { Body, BodySink } from "../exchange/body.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { ChunkedDecoder } from "./http1-chunked.ts";
import type { HeadParser } from "./http1-grammar.ts";

/** Envoy's bounds on an upstream's head. */
export const REPLY_LIMITS = { headMaxBytes: 60 * 1024, headersMax: 200 } as const;

/** What a body asks of its connection. */
export interface ReplyConnection {
  /** Somebody reads now: what came meanwhile is fed. */
  pump(): void;
  pauseReading(): void;
  resumeReading(): void;
  /** All of it was read. */
  bodyEnded(): void;
  /** Nobody wants the rest. */
  abandonAndRelease(): void;
  /** Its framing broke. */
  broken(cause: Failure): void;
}

/** The body of a reply: fed by its connection, read by the downstream codec. */
export class ReplyBody implements Body {
  readonly lengthBytes: number | undefined;
  readonly framing: "length" | "chunked" | "close";
  isPiped = false;
  isDone = false;
  /** Inside `feed`; the connection's loop is running already. */
  isReading = false;

  readonly #client: ReplyConnection;
  readonly #decoder: ChunkedDecoder | undefined;
  #remaining: number;
  #sink: BodySink | undefined = undefined;
  #isOver = false;
  /** Why it was cut before anyone read it. */
  #cut: Failure | undefined = undefined;

  /** `kind` is `none` for a reply that has no body whatever it says, `tunnel` for one whose body is all that follows. */
  constructor(client: ReplyConnection, parser: HeadParser, kind: "plain" | "none" | "tunnel") {
    this.#client = client;
    this.#remaining = kind === "none" ? 0 : Math.max(0, parser.contentLength);
    if (kind === "tunnel") this.framing = "close";
    else if (kind === "none" || parser.contentLength >= 0) this.framing = "length";
    else this.framing = parser.isChunked ? "chunked" : "close";
    this.#decoder = this.framing === "chunked" ? new ChunkedDecoder(REPLY_LIMITS) : undefined;
    this.lengthBytes = this.framing === "length" ? this.#remaining : undefined;
  }

  pipe(sink: BodySink): void {
    // A filter may have held the reply while time ran out: its reader must hear that there is no body.
    if (this.#cut !== undefined) return sink.abort(this.#cut);
    if (this.#isOver) return undefined;
    this.#sink = sink;
    this.isPiped = true;
    if (this.lengthBytes === 0) {
      this.isDone = true;
      this.finish();
      return undefined;
    }
    this.#client.pump();
    return undefined;
  }

  resume(): void {
    if (!this.#isOver) this.#client.resumeReading();
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sink = undefined;
    if (this.lengthBytes === 0) this.#client.bodyEnded();
    else this.#client.abandonAndRelease();
  }

  /** Takes bytes from `start` on; the position after those that belong to this body. */
  feed(bytes: Buffer, start: number): number {
    this.isReading = true;
    let after = bytes.length;
    if (this.framing === "length") {
      after = Math.min(start + this.#remaining, bytes.length);
      this.#remaining -= after - start;
      this.chunk(bytes, start, after);
      if (this.#remaining === 0) this.isDone = true;
    } else if (this.#decoder === undefined) {
      this.chunk(bytes, start, after);
    } else {
      after = this.#decoder.feed(bytes, start, bytes.length, this);
      if (this.#decoder.problem !== "") this.#client.broken(failure("upstream_protocol", this.#decoder.problem));
      else if (this.#decoder.isDone) this.isDone = true;
    }
    this.isReading = false;
    return after;
  }

  /** For the decoder. */
  chunk(bytes: Buffer, start: number, end: number): void {
    if (this.#sink === undefined || this.#sink.write(bytes, start, end)) return;
    this.#client.pauseReading();
  }

  /** All of it was read: the connection is given back first, so that the next exchange finds it. */
  finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const sink = this.#sink;
    this.#sink = undefined;
    this.#client.bodyEnded();
    sink?.end(this.#decoder?.trailers);
  }

  broke(cause: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const sink = this.#sink;
    this.#sink = undefined;
    if (sink === undefined) this.#cut = cause;
    else sink.abort(cause);
  }
}
