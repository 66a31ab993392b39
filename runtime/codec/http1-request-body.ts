// The body of a request: its connection feeds it, whoever answers reads it.
import type { ListenerLimits } from "../contract/listener.ts";
import type { Body, BodySink } from "../exchange/body.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { ChunkedDecoder } from "./http1-chunked.ts";

/** What a body asks of its connection. */
export interface RequestConnection {
  /** Somebody reads now: what came meanwhile is fed. */
  pump(): void;
  pauseReading(): void;
  resumeReading(): void;
  /** `100 Continue`, where it still makes sense. */
  sayContinue(): void;
  /** Nobody takes what flows in a tunnel. */
  tunnelCancelled(): void;
}

/** How a request's body is framed; what `HeadParser` knows of one. */
export interface RequestFraming {
  readonly isChunked: boolean;
  /** -1 where there is none; `Infinity` for what flows until FIN (a tunnel). */
  readonly contentLength: number;
  readonly expectsContinue: boolean;
  readonly minor: number;
}

/** What a client sends in a tunnel: everything until its FIN. */
export const TUNNEL_FRAMING: RequestFraming = {
  isChunked: false,
  contentLength: Infinity,
  expectsContinue: false,
  minor: 1,
};

/** The body of a request: fed by its connection, read by whoever answers. */
export class RequestBody implements Body {
  readonly lengthBytes: number | undefined;
  isComplete: boolean;
  /** The framing broke, or the body is beyond its limit. */
  isRefused = false;
  isDiscarding = false;
  readonly isTunnel: boolean;
  /** The sink asked to wait. */
  isBlocked = false;

  readonly #server: RequestConnection;
  readonly #decoder: ChunkedDecoder | undefined;
  readonly #bodyMaxBytes: number;
  /** The client may wait for 100, which nobody said yet. */
  #awaitsContinue: boolean;
  #remaining: number;
  #receivedBytes = 0;
  #sink: BodySink | undefined = undefined;

  constructor(server: RequestConnection, framing: RequestFraming, limits: ListenerLimits) {
    const isTunnel = framing === TUNNEL_FRAMING;
    this.isTunnel = isTunnel;
    this.#server = server;
    this.#decoder = framing.isChunked ? new ChunkedDecoder(limits) : undefined;
    this.#bodyMaxBytes = isTunnel ? 0 : limits.bodyMaxBytes;
    // RFC 9110 §10.1.1: in HTTP/1.0 the expectation is not heard.
    this.#awaitsContinue = framing.expectsContinue && framing.minor === 1;
    this.#remaining = Math.max(0, framing.contentLength);
    this.lengthBytes = framing.isChunked || isTunnel ? undefined : this.#remaining;
    this.isComplete = this.lengthBytes === 0;
  }

  get isWanted(): boolean {
    return this.#sink !== undefined || this.isDiscarding;
  }

  /** What follows cannot be framed: the body broke, or the client may leave it out since nobody said 100 (RFC 9110 §10.1.1). */
  get isUncertain(): boolean {
    return this.isRefused || (this.#awaitsContinue && this.#receivedBytes === 0 && !this.isComplete);
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  pipe(sink: BodySink): void {
    if (this.lengthBytes === 0) return sink.end(undefined);
    this.#sink = sink;
    if (this.#awaitsContinue) this.#server.sayContinue();
    this.#awaitsContinue = false;
    this.#server.resumeReading();
    this.#server.pump();
    return undefined;
  }

  resume(): void {
    if (!this.isBlocked) return;
    this.isBlocked = false;
    this.#server.resumeReading();
    this.#server.pump();
  }

  cancel(): void {
    this.#sink = undefined;
    this.isBlocked = false;
    if (this.isComplete) return;
    // What follows an upgrade that was refused is the next request.
    if (this.isTunnel) return this.#server.tunnelCancelled();
    this.isDiscarding = true;
    this.#server.resumeReading();
    this.#server.pump();
    return undefined;
  }

  /** The client was told 100. */
  continued(): void {
    this.#awaitsContinue = false;
  }

  /** For a tunnel: the client sent FIN. */
  finish(): void {
    if (!this.isComplete) this.#complete(undefined);
  }

  fail(gone: Failure): void {
    const sink = this.#sink;
    this.#sink = undefined;
    if (!this.isComplete) sink?.abort(gone);
  }

  /** Takes bytes from `start` on; the position after those that belong to this body. */
  feed(bytes: Buffer, start: number): number {
    if (this.#decoder !== undefined) return this.#feedChunked(this.#decoder, bytes, start);
    const taken = Math.min(this.#remaining, bytes.length - start);
    this.#remaining -= taken;
    this.chunk(bytes, start, start + taken);
    if (this.#remaining === 0) this.#complete(undefined);
    return start + taken;
  }

  /** For the decoder. */
  chunk(bytes: Buffer, start: number, end: number): void {
    this.#receivedBytes += end - start;
    if (this.#bodyMaxBytes > 0 && this.#receivedBytes > this.#bodyMaxBytes) {
      this.#refuse(failure("body_too_large", `the body is beyond ${this.#bodyMaxBytes} bytes`));
      return;
    }
    if (this.#sink === undefined || this.#sink.write(bytes, start, end)) return;
    this.isBlocked = true;
    this.#server.pauseReading();
  }

  #feedChunked(decoder: ChunkedDecoder, bytes: Buffer, start: number): number {
    const after = decoder.feed(bytes, start, bytes.length, this);
    if (decoder.problem !== "") this.#refuse(failure("bad_request", decoder.problem));
    else if (decoder.isDone) this.#complete(decoder.trailers);
    return after;
  }

  #complete(trailers: HeaderMap | undefined): void {
    this.isComplete = true;
    this.isBlocked = false;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.end(trailers);
  }

  #refuse(problem: Failure): void {
    if (this.isRefused) return;
    this.isRefused = true;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.abort(problem);
  }
}
