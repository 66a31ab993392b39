// One request on an HTTP/2 connection, and its reply.
import type { HeaderMap } from "../exchange/headers.ts";
import type { Exchange, InterimSink, Outcome, Service } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { deliver, type OutcomeTaker } from "../exchange/later.ts";
import type { Reply } from "../exchange/reply.ts";
import { ErrorCode } from "./http2-frames.ts";
import { Http2Stream, type StreamConnection } from "./http2-stream.ts";

/** What a request's stream asks of its connection. */
export interface ServerStreamConnection extends StreamConnection {
  /** Says 100 where the client waits for it before it sends a body (RFC 9110 §10.1.1). */
  sayContinue(stream: ServerStream): void;
  /** Writes the head of the reply; false where it is larger than any buffer. */
  sendHead(stream: ServerStream, reply: Reply, isEnd: boolean): boolean;
  sendInterim(stream: ServerStream, status: number, headers: HeaderMap): void;
  render(cause: Failure): Reply;
  /** The exchange is over: tells it. */
  over(exchange: Exchange): void;
  /** A stream ended by its client's own doing, before it was answered. */
  countPremature(stream: ServerStream): void;
  readonly bodyMaxBytes: number;
}

/** A request and its reply. Reads as the request's body, and is where the reply's body goes. */
export class ServerStream extends Http2Stream implements OutcomeTaker, InterimSink {
  exchange: Exchange | undefined = undefined;
  /** The client waits for a 100 before it sends its body. */
  expectsContinue = false;
  /** Monotonic. */
  openedAtMs = 0;
  readonly #server: ServerStreamConnection;
  #reply: Reply | undefined = undefined;
  /** What both directions are after a CONNECT or an upgrade was accepted: neither's end is the other's. */
  #isTunnel = false;

  constructor(server: ServerStreamConnection, id: number, contentLength: number) {
    super(server, id);
    this.#server = server;
    this.expectedBytes = contentLength;
    this.lengthBytes = contentLength >= 0 ? contentLength : undefined;
  }

  /** The reply's head went out. */
  get isReplied(): boolean {
    return this.#reply !== undefined;
  }

  /** Sends the exchange down the request path. */
  serve(exchange: Exchange, service: Service): void {
    this.exchange = exchange;
    exchange.interims = this;
    let answer: ReturnType<Service>;
    try {
      answer = service(exchange);
    } catch (error) {
      return this.bug(error);
    }
    return deliver(answer, this);
  }

  interim(status: number, headers: HeaderMap): void {
    if (!this.isClosed && this.#reply === undefined) this.#server.sendInterim(this, status, headers);
  }

  bug(error: unknown): void {
    this.answer({ ok: false, error: failure("internal", String(error)) });
  }

  answer(outcome: Outcome): void {
    const { exchange } = this;
    const reply = outcome.ok ? outcome.value : this.#server.render(outcome.error);
    if (exchange === undefined || this.isClosed || this.#reply !== undefined) {
      reply.body.cancel();
      return;
    }
    const wrong = this.#wrongStatus(exchange, reply);
    if (wrong !== undefined) {
      reply.body.cancel();
      return this.answer({ ok: false, error: wrong });
    }
    this.#reply = reply;
    this.activeAtMs = 0;
    exchange.status = reply.status;
    exchange.flags = reply.flags;
    exchange.details = reply.details;
    this.#isTunnel = isAccepted(exchange, reply);
    const { body } = reply;
    const hasBody = exchange.method !== "HEAD" && reply.status !== 204 && reply.status !== 304;
    const isEnd = !this.#isTunnel && (!hasBody || body.lengthBytes === 0);
    if (!this.#server.sendHead(this, reply, isEnd)) {
      body.cancel();
      this.#over(exchange);
      this.connection.reset(this, ErrorCode.INTERNAL_ERROR);
      return;
    }
    if (isEnd) this.markOutEnded();
    if (!isEnd || body.lengthBytes === 0) {
      this.source = body;
      body.pipe(this);
    } else {
      body.cancel();
    }
  }

  override pipe(sink: Parameters<Http2Stream["pipe"]>[0]): void {
    if (this.expectsContinue && !this.isInEnded && this.receivedBytes === 0) this.#server.sayContinue(this);
    super.pipe(sink);
  }

  override end(trailers: HeaderMap | undefined): void {
    if (this.exchange !== undefined) this.exchange.replyTrailers = trailers;
    super.end(trailers);
  }

  /** The upstream's body broke: the client must not take what it has for whole. */
  override abort(cut: Failure): void {
    const { exchange } = this;
    if (this.isClosed || exchange === undefined) return;
    exchange.flags = CUT_FLAGS[cut.kind] ?? "UC";
    exchange.details = cutDetails(cut);
    this.#close(cut);
    this.connection.reset(this, ErrorCode.INTERNAL_ERROR);
  }

  /** No byte moved for too long. Before the reply the waiting stage fails; after its head only a reset can tell. */
  stall(streamIdleTimeoutMs: number): void {
    const isUpload = !this.isInEnded && this.#reply === undefined;
    const stalled = failure(
      isUpload ? "request_timeout" : "stream_idle",
      `no byte moved for ${streamIdleTimeoutMs} ms`,
    );
    this.activeAtMs = 0;
    if (this.#reply === undefined) {
      this.exchange?.waiter?.aborted(stalled);
      return;
    }
    this.#reply.body.cancel();
    this.abort(stalled);
  }

  /** The request is not whole within its time. */
  overdue(requestTimeoutMs: number): void {
    if (this.isInEnded || this.#isTunnel || this.exchange?.upgrade !== "") return;
    const late = failure("request_timeout", `no whole request within ${requestTimeoutMs} ms`);
    if (this.#reply !== undefined) this.abort(late);
    else this.exchange.waiter?.aborted(late);
  }

  override wasReset(_code: number): void {
    this.#gone("DR", "http2.remote_reset", failure("downstream_reset", "the downstream reset the stream"));
  }

  override lost(cause: Failure): void {
    this.#gone("DC", "downstream_remote_disconnect", cause);
  }

  override broke(code: ErrorCode, message: string): void {
    if (this.isClosed) return;
    this.connection.reset(this, code);
    this.#gone("DPE", "http2.protocol_error", failure("bad_request", message));
    this.#server.countPremature(this);
  }

  protected override unwanted(): void {
    // The reply is still to come; what the client sends until then is dropped within one window.
  }

  /** A client that opens streams and does not read them: those beyond the bound are its own loss. */
  protected override overfull(): void {
    const { exchange } = this;
    if (this.isClosed || exchange === undefined) return;
    exchange.flags = "UO";
    exchange.details = "http2.too_many_held_bytes";
    this.connection.reset(this, ErrorCode.ENHANCE_YOUR_CALM);
    this.#close(failure("overloaded", "too many bytes wait for the client"));
  }

  protected override admitsContent(): boolean {
    const { bodyMaxBytes } = this.#server;
    if (bodyMaxBytes === 0 || this.receivedBytes <= bodyMaxBytes) return true;
    this.cutIn(failure("body_too_large", `the body is beyond ${bodyMaxBytes} bytes`));
    return false;
  }

  protected override outEnded(): void {
    const { exchange } = this;
    if (exchange === undefined || (this.#isTunnel && !this.isInEnded)) return;
    this.#over(exchange);
    // An early reply (RFC 9113 §8.1): the rest of the request is of no use to anyone.
    if (this.isInEnded) return;
    this.connection.reset(this, ErrorCode.NO_ERROR);
    this.cutIn(failure("downstream_closed", "the reply was over before its request"));
  }

  protected override finished(): void {
    if (this.exchange !== undefined) this.#over(this.exchange);
  }

  /** A status that would mean something else on this side. */
  #wrongStatus(exchange: Exchange, reply: Reply): Failure | undefined {
    if (isAccepted(exchange, reply)) return undefined;
    // A filter's mistake: an interim status ends nothing, and the client would wait for more.
    if (reply.status > 0 && reply.status < 200) return failure("internal", `${reply.status} is not a final status`);
    // RFC 8441 §5: any 2xx would open the tunnel that the upstream did not.
    if (exchange.upgrade !== "" && exchange.upgrade !== "connect" && reply.status < 300 && reply.status > 0)
      return failure("upstream_protocol", `the upstream answered ${reply.status} to an upgrade`);
    return undefined;
  }

  /** The client went away, with its stream or with all of them. */
  #gone(flags: "DR" | "DC" | "DPE", details: string, cause: Failure): void {
    const { exchange } = this;
    if (exchange === undefined) return;
    exchange.aborted = true;
    exchange.flags = flags;
    exchange.details = details;
    exchange.waiter?.aborted(cause);
    this.#close(cause);
  }

  #close(cause: Failure): void {
    this.cutIn(cause);
    this.#reply?.body.cancel();
    if (this.exchange !== undefined) this.#over(this.exchange);
  }

  #over(exchange: Exchange): void {
    this.exchange = undefined;
    exchange.waiter = undefined;
    exchange.interims = undefined;
    exchange.bytesReceived = this.receivedBytes;
    exchange.bytesSent = this.sentBytes;
    this.#server.over(exchange);
  }
}

const CUT_FLAGS: Partial<Record<Failure["kind"], Exchange["flags"]>> = {
  response_timeout: "UT",
  stream_idle: "SI",
  upstream_reset: "UR",
  upstream_protocol: "UPE",
};

function cutDetails(cut: Failure): string {
  if (cut.kind === "response_timeout") return "response_timeout";
  const reason = { upstream_reset: "remote_reset", upstream_protocol: "protocol_error" }[cut.kind as string];
  return `upstream_reset_after_response_started{${reason ?? "connection_termination"}}`;
}

/** Whether a reply opens the tunnel that its request asked for. */
function isAccepted({ upgrade }: Exchange, { status }: Reply): boolean {
  return upgrade === "connect" ? status >= 200 && status < 300 : upgrade !== "" && status === 101;
}
