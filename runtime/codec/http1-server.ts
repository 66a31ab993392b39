// One downstream connection: bytes in, exchanges out, replies back, one after the other in the order they came (RFC 9112
// §9.3.2). While an exchange waits, the socket is not read further than one chunk, so a client cannot queue without bound.
import type { ListenerHttp, ListenerLimits } from "../contract/listener.ts";
import { EMPTY_BODY, type BodySink } from "../exchange/body.ts";
import { Exchange, type Clock, type Downstream, type Outcome, type Service } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import type { Observer } from "../exchange/observer.ts";
import type { Reply } from "../exchange/reply.ts";
import { writeChunk, writeLastChunk } from "./http1-chunked.ts";
import { AUTHORITY, HeadParser, INCOMPLETE, TOO_LARGE } from "./http1-grammar.ts";
import { normalizePath } from "./normalize.ts";
import { RequestBody, type RequestConnection } from "./http1-request-body.ts";
import { SocketWriter, type Transport } from "./socket-writer.ts";

/** What connections of one listener share; a new generation replaces its parts. */
export interface Front {
  service: Service;
  limits: ListenerLimits;
  http: ListenerHttp;
  /** Renders a failure that no stage saw, such as a head that cannot be parsed. */
  readonly render: (failure: Failure) => Reply;
  /** Replies close their connection, idle connections go. */
  isDraining: boolean;
  readonly clock: Clock;
  readonly observer: Observer;
}

/** A reply may end before its request has: this much of the rest is read and dropped to keep the connection, then it closes. */
const DISCARD_MAX_BYTES = 1024 * 1024;
/** While draining, a connection without a request closes after this long, so that a request under way still lands. */
const DRAIN_IDLE_MS = 1000;
/** After FIN, the client has this long to close its side; what it still sends is dropped, so that no RST eats the reply (RFC 9112 §9.6). */
const LINGER_MS = 5000;
/** Empty lines before a request line that are skipped (RFC 9112 §2.2). */
const EMPTY_LINES_MAX = 2;
const NO_BYTES = Buffer.alloc(0);

/** The server side of one HTTP/1.1 connection. The listener calls `data`, `drained`, `ended`, `closed` and `sweep`. */
export class Http1Server implements RequestConnection {
  readonly #front: Front;
  readonly #downstream: Downstream;
  readonly #transport: Transport;
  readonly #writer: SocketWriter;
  readonly #parser = new HeadParser();
  readonly #sink: ReplySink;
  readonly #onOutcome: (outcome: Outcome) => void;
  readonly #onBug: (error: unknown) => void;

  #exchange: Exchange | undefined = undefined;
  #body: RequestBody | undefined = undefined;
  #reply: Reply | undefined = undefined;
  /** Bytes that were read and not yet taken: a part of a head, of a body nobody reads yet, or later requests. */
  #rest: Buffer = NO_BYTES;
  /** Position in `#rest` of the first byte that was not taken. */
  #restAt = 0;
  #isReading = false;
  #isPaused = false;
  #isClosed = false;
  #closesAfter = false;
  #discardedBytes = 0;
  /** Monotonic; the last time a byte moved, to the sweep's precision. */
  #activeAtMs: number;
  #headStartedAtMs = 0;
  /** Monotonic; when the last reply was written, 0 before. */
  #endedAtMs = 0;

  constructor(transport: Transport, downstream: Downstream, front: Front) {
    this.#transport = transport;
    this.#downstream = downstream;
    this.#front = front;
    this.#writer = new SocketWriter(transport);
    this.#sink = new ReplySink(this, this.#writer);
    this.#onOutcome = (outcome) => this.#answer(outcome);
    this.#onBug = (error) => this.#answer({ ok: false, error: failure("internal", String(error)) });
    this.#activeAtMs = front.clock.monotonic();
  }

  get #hasRest(): boolean {
    return this.#restAt < this.#rest.length;
  }

  /** Bytes came. */
  data(chunk: Buffer): void {
    // After the last reply nothing more is a request, whatever it looks like.
    if (this.#endedAtMs > 0) return;
    this.#activeAtMs = 0;
    const isHeld = this.#hasRest;
    this.#rest = isHeld ? Buffer.concat([this.#rest.subarray(this.#restAt), chunk]) : chunk;
    this.#restAt = 0;
    // A head is parsed again only when a line ended, so that one sent byte by byte costs no more than its lines.
    if (this.#headStartedAtMs > 0 && chunk.indexOf(10) < 0 && this.#rest.length < this.#front.limits.headMaxBytes)
      return;
    this.#read();
    // One chunk may wait, which is all that most clients send; at the second the socket is left alone.
    if (isHeld && this.#hasRest && this.#exchange !== undefined) this.pauseReading();
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.#activeAtMs = 0;
    if (this.#endedAtMs > 0) this.#endedAtMs = this.#front.clock.monotonic();
    this.#writer.drained();
  }

  /** The client sent FIN: it left, unless the last reply is still on its way. */
  ended(): void {
    // Once that is out our own FIN follows, and the socket closes by itself.
    if (this.#endedAtMs > 0 && !this.#writer.isIdle) return;
    this.#transport.end();
  }

  /** The socket is gone. */
  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#writer.closed();
    this.#drop();
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    const gone = failure("downstream_closed", "the downstream closed the connection");
    exchange.aborted = true;
    exchange.flags = "DC";
    exchange.details = "downstream_remote_disconnect";
    exchange.onAbort?.(gone);
    this.#body?.fail(gone);
    this.#reply?.body.cancel();
    this.#endExchange(exchange);
  }

  /** Called a few times a second: closes what has waited too long. `nowMs` is monotonic. */
  sweep(nowMs: number): void {
    if (this.#endedAtMs > 0) {
      // A client that reads slowly gets the last reply whole, in the time that any other reply has.
      const isOut = this.#writer.isIdle;
      const waitMs = isOut ? LINGER_MS : this.#front.limits.streamIdleTimeoutMs;
      if (waitMs === 0 || nowMs - this.#endedAtMs < waitMs) return;
      if (isOut) this.#transport.end();
      else this.#transport.terminate();
      return;
    }
    if (this.#activeAtMs === 0) {
      this.#activeAtMs = nowMs;
      return;
    }
    const idleMs = nowMs - this.#activeAtMs;
    const { limits } = this.#front;
    if (this.#exchange !== undefined) {
      if (limits.streamIdleTimeoutMs > 0 && idleMs >= limits.streamIdleTimeoutMs) this.#stall(this.#exchange);
    } else if (this.#headStartedAtMs > 0) {
      if (limits.headTimeoutMs > 0 && nowMs - this.#headStartedAtMs >= limits.headTimeoutMs) {
        this.#refuse(failure("request_timeout", `no whole head within ${limits.headTimeoutMs} ms`));
      }
    } else if (
      (limits.idleTimeoutMs > 0 && idleMs >= limits.idleTimeoutMs) ||
      (this.#front.isDraining && idleMs >= DRAIN_IDLE_MS)
    ) {
      // Nothing was said that it could lose, and not every client closes as soon as it sees FIN.
      this.#transport.end();
    }
  }

  /** For the request's body: reads what came while nobody took it. */
  pump(): void {
    if (!this.#isReading) this.#read();
  }

  pauseReading(): void {
    if (this.#isPaused || this.#isClosed) return;
    this.#isPaused = true;
    this.#transport.pause();
  }

  resumeReading(): void {
    if (!this.#isPaused || this.#isClosed) return;
    this.#isPaused = false;
    this.#transport.resume();
  }

  /** RFC 9110 §10.1.1: said once somebody wants the body, and only while none of it came. */
  sayContinue(): void {
    if (this.#hasRest || this.#isClosed) return;
    this.#writer.writeText("HTTP/1.1 100 Continue\r\n\r\n");
    this.#writer.flush();
  }

  /** For the reply's sink: bytes went out. */
  moved(bytes: number): void {
    this.#activeAtMs = 0;
    if (this.#exchange !== undefined) this.#exchange.bytesSent += bytes;
  }

  /** For the reply's sink: the reply is out, or (with a failure) was cut. */
  replied(cut: Failure | undefined, trailers?: HeaderMap): void {
    const exchange = this.#exchange;
    if (exchange === undefined || this.#isClosed) return;
    exchange.replyTrailers = trailers;
    if (cut !== undefined) {
      exchange.flags = cut.kind === "response_timeout" ? "UT" : cut.kind === "stream_idle" ? "SI" : "UC";
      exchange.details =
        cut.kind === "response_timeout"
          ? "response_timeout"
          : "upstream_reset_after_response_started{connection_termination}";
      this.#endExchange(exchange);
      // A body that only the connection's end delimits would look whole after FIN.
      if (this.#sink.framing === "close") this.#transport.terminate();
      // What the client asks from here on must not be answered: it would read the answer as the rest of the cut body.
      else this.#close();
      return;
    }
    this.#endExchange(exchange);
    if (this.#closesAfter || (this.#body?.isRefused ?? false)) return this.#close();
    if (this.#body !== undefined && !this.#body.isComplete) {
      this.#discardedBytes = 0;
      this.#body.cancel();
    }
    if (!this.#isReading) this.#read();
    return undefined;
  }

  /** Takes what it can from `#rest`: bodies to their reader, heads to the service. Never runs inside itself. */
  #read(): void {
    this.#isReading = true;
    while (!this.#isClosed && this.#hasRest) {
      const body = this.#body;
      if (body !== undefined && !body.isComplete) {
        if (!body.isWanted) break;
        const from = this.#restAt;
        this.#restAt = body.feed(this.#rest, from);
        if (body.isRefused) {
          if (this.#exchange === undefined) this.#close();
          break;
        }
        if (
          body.isDiscarding &&
          !body.isComplete &&
          (this.#discardedBytes += this.#restAt - from) > DISCARD_MAX_BYTES
        ) {
          this.#close();
          break;
        }
      } else if (this.#exchange !== undefined || !this.#head()) {
        break;
      }
    }
    this.#isReading = false;
    if (!this.#hasRest) this.#drop();
    if (this.#isPaused && !this.#hasRest && !(this.#body?.isBlocked ?? false)) this.resumeReading();
  }

  /** Lets go of the chunk, so that it does not outlive its bytes' use. */
  #drop(): void {
    this.#rest = NO_BYTES;
    this.#restAt = 0;
  }

  /** Parses one head and starts its exchange; false where there is none yet. */
  #head(): boolean {
    const { limits, clock } = this.#front;
    const bytes = this.#rest;
    let start = this.#restAt;
    for (let line = 0; line < EMPTY_LINES_MAX && bytes[start] === 13 && bytes[start + 1] === 10; line++) start += 2;
    this.#restAt = start;
    if (start === bytes.length) return false;
    const after = this.#parser.parseRequest(bytes, start, limits);
    if (after === INCOMPLETE) {
      if (this.#headStartedAtMs === 0) this.#headStartedAtMs = clock.monotonic();
      this.resumeReading();
      return false;
    }
    this.#headStartedAtMs = 0;
    if (after < 0) {
      this.#refuse(failure(after === TOO_LARGE ? "head_too_large" : "bad_request", this.#parser.problem));
      return false;
    }
    this.#restAt = after;
    this.#start(bytes);
    return !this.#isClosed;
  }

  #start(bytes: Buffer): void {
    const parser = this.#parser;
    const { limits } = this.#front;
    const headers = new HeaderMap();
    headers.load(bytes, parser.offsets, parser.marks, parser.count);
    const target = readTarget(parser.method, parser.target, parser.host);
    if (target === undefined) {
      this.#refuse(failure("bad_request", `the target ${JSON.stringify(parser.target.slice(0, 100))} is not a path`));
      return;
    }
    if (target.authority !== parser.host) headers.set("Host", target.authority);
    const path = normalizePath(target.path, this.#front.http.pathNormalization);
    if (path === undefined) {
      this.#refuse(failure("bad_request", "the path holds %00"));
      return;
    }
    const body = parser.isChunked || parser.contentLength > 0 ? new RequestBody(this, parser, limits) : undefined;
    const exchange = new Exchange(
      this.#downstream,
      parser.method,
      path,
      target.authority,
      parser.minor === 1 ? "HTTP/1.1" : "HTTP/1.0",
      headers,
      body ?? EMPTY_BODY,
      this.#front.clock,
    );
    this.#exchange = exchange;
    this.#body = body;
    this.#closesAfter = parser.closes;
    if (limits.bodyMaxBytes > 0 && parser.contentLength > limits.bodyMaxBytes) {
      this.#closesAfter = true;
      this.#answer({
        ok: false,
        error: failure(
          "body_too_large",
          `the body is ${parser.contentLength} bytes, the limit is ${limits.bodyMaxBytes}`,
        ),
      });
      return;
    }
    let outcome: Outcome | Promise<Outcome>;
    try {
      outcome = this.#front.service(exchange);
    } catch (error) {
      return this.#onBug(error);
    }
    if (outcome instanceof Promise) outcome.then(this.#onOutcome, this.#onBug);
    else this.#answer(outcome);
    return undefined;
  }

  #answer(outcome: Outcome): void {
    const exchange = this.#exchange;
    const reply = outcome.ok ? outcome.value : this.#front.render(outcome.error);
    if (exchange === undefined || this.#isClosed || this.#reply !== undefined) {
      reply.body.cancel();
      return;
    }
    this.#reply = reply;
    exchange.status = reply.status;
    exchange.flags = reply.flags;
    exchange.details = reply.details;
    if (reply.closes || this.#front.isDraining || (this.#body?.isUncertain ?? false)) this.#closesAfter = true;
    const hasBody = exchange.method !== "HEAD" && reply.status !== 204 && reply.status !== 304;
    this.#sink.begin(hasBody ? reply.body.lengthBytes : 0, exchange.protocol, reply);
    if (this.#sink.framing === "close") this.#closesAfter = true;
    if (!this.#encode(exchange, reply, hasBody)) {
      reply.body.cancel();
      this.#endExchange(exchange);
      this.#close();
      return;
    }
    if (hasBody || reply.body.lengthBytes === 0) reply.body.pipe(this.#sink);
    else {
      reply.body.cancel();
      this.replied(undefined);
    }
  }

  #encode(exchange: Exchange, reply: Reply, hasBody: boolean): boolean {
    const isLength = hasBody && this.#sink.framing === "length";
    if (reply.status === 204) reply.headers.delete("content-length");
    else if (isLength && !fitsLength(reply.headers, reply.body.lengthBytes))
      reply.headers.set("Content-Length", String(reply.body.lengthBytes));
    let tail = "\r\n";
    if (this.#closesAfter) tail = "Connection: close\r\n\r\n";
    else if (exchange.protocol === "HTTP/1.0") tail = "Connection: keep-alive\r\n\r\n";
    if (hasBody && this.#sink.framing === "chunked") tail = `Transfer-Encoding: chunked\r\n${tail}`;
    const line = `HTTP/1.1 ${reply.status} ${reply.reason === "" ? (REASONS[reply.status] ?? "") : reply.reason}\r\n`;
    return this.#writer.writeHead(line, reply.headers, tail);
  }

  /** No byte moved for too long. Before the reply the waiting stage fails; after its head only the connection can tell. */
  #stall(exchange: Exchange): void {
    const isUpload = this.#body !== undefined && !this.#body.isComplete && this.#reply === undefined;
    const stalled = failure(
      isUpload ? "request_timeout" : "stream_idle",
      `no byte moved for ${this.#front.limits.streamIdleTimeoutMs} ms`,
    );
    this.#activeAtMs = 0;
    if (this.#reply === undefined) {
      if (isUpload) this.#closesAfter = true;
      exchange.onAbort?.(stalled);
      return;
    }
    this.#reply.body.cancel();
    this.replied(stalled);
  }

  /** Answers a request that never became an exchange, then closes: what follows it cannot be framed (RFC 9112 §9.6). */
  #refuse(problem: Failure): void {
    const { clock } = this.#front;
    this.#headStartedAtMs = 0;
    const exchange = new Exchange(this.#downstream, "-", "-", "-", "HTTP/1.1", new HeaderMap(), EMPTY_BODY, clock);
    this.#exchange = exchange;
    this.#body = undefined;
    this.#drop();
    this.#closesAfter = true;
    this.#answer({ ok: false, error: problem });
  }

  #endExchange(exchange: Exchange): void {
    this.#exchange = undefined;
    this.#reply = undefined;
    exchange.onAbort = undefined;
    exchange.bytesReceived = this.#body?.receivedBytes ?? 0;
    this.#front.observer.exchangeEnded(exchange);
  }

  #close(): void {
    this.#drop();
    this.#endedAtMs = this.#front.clock.monotonic();
    this.resumeReading();
    this.#writer.shutdown();
  }
}

/** Where a reply's body goes: framed, onto the connection. One for each connection. */
class ReplySink implements BodySink {
  framing: "length" | "chunked" | "close" = "length";
  readonly #server: Http1Server;
  readonly #writer: SocketWriter;
  #reply: Reply | undefined = undefined;

  constructor(server: Http1Server, writer: SocketWriter) {
    this.#server = server;
    this.#writer = writer;
    writer.onDrain = () => this.#reply?.body.resume();
  }

  begin(lengthBytes: number | undefined, protocol: Exchange["protocol"], reply: Reply): void {
    this.#reply = reply;
    if (lengthBytes !== undefined) this.framing = "length";
    else this.framing = protocol === "HTTP/1.1" ? "chunked" : "close";
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    this.#server.moved(end - start);
    return this.framing === "chunked"
      ? writeChunk(this.#writer, chunk, start, end)
      : this.#writer.write(chunk, start, end);
  }

  end(trailers: HeaderMap | undefined): void {
    this.#reply = undefined;
    if (this.framing === "chunked") writeLastChunk(this.#writer, trailers);
    this.#server.replied(undefined, trailers);
  }

  abort(cut: Failure): void {
    this.#reply = undefined;
    this.#server.replied(cut);
  }
}

/**
 * Whether the length that a head says is its body's. Only a reply without a body may say another (RFC 9110 §8.6), and a
 * filter that gives it a status which has one must not make the client take the next reply for it.
 */
function fitsLength(headers: HeaderMap, lengthBytes: number | undefined): boolean {
  return lengthBytes === 0 ? headers.get("content-length") === "0" : headers.has("content-length");
}

/** Path and authority of a request target (RFC 9112 §3.2); `undefined` where it is of no form that is served. */
function readTarget(
  method: string,
  target: string,
  host: string,
): { readonly path: string; readonly authority: string } | undefined {
  if (method === "CONNECT") return undefined;
  if (target.charCodeAt(0) === 47) return { path: target, authority: host };
  if (target === "*") return method === "OPTIONS" ? { path: "*", authority: host } : undefined;
  // RFC 9112 §3.2.2: the authority of an absolute target counts, not the Host field.
  const absolute = /^https?:\/\/([^/?]+)([/?].*)?$/iu.exec(target);
  const authority = absolute?.[1] ?? "";
  if (authority === "" || !AUTHORITY.test(authority)) return undefined;
  const path = absolute?.[2] ?? "/";
  return { path: path.startsWith("/") ? path : `/${path}`, authority };
}

/** Reason phrases for replies that brought none (RFC 9110 §15). */
const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  417: "Expectation Failed",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
