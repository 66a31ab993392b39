// One downstream connection: bytes in, exchanges out, replies back, one after the other in the order they came (RFC 9112
// §9.3.2). While an exchange waits, the socket is not read further than one chunk, so a client cannot queue without bound.
import type { ListenerHttp, ListenerLimits } from "../contract/listener.ts";
import { EMPTY_BODY } from "../exchange/body.ts";
import {
  Exchange,
  type Clock,
  type Downstream,
  type InterimSink,
  type Outcome,
  type Service,
} from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { deliver, type OutcomeTaker } from "../exchange/later.ts";
import type { Observer } from "../exchange/observer.ts";
import type { Reply } from "../exchange/reply.ts";
import { freeChunk, headOf, LARGE_CHUNK_BYTES } from "./chunk.ts";
import { renderDate } from "./http-date.ts";
import { HeadParser, INCOMPLETE, TOO_LARGE } from "./http1-grammar.ts";
import { reasonFor } from "./http1-reasons.ts";
import { ReplySink } from "./http1-reply-sink.ts";
import { RequestBody, TUNNEL_FRAMING, type RequestConnection } from "./http1-request-body.ts";
import { readTarget } from "./http1-target.ts";
import { normalizePath } from "./normalize.ts";
import { SocketWriter, type Transport } from "./socket-writer.ts";
import { acceptWebSocketKey } from "./websocket-key.ts";

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
/** …and for this long. */
const DISCARD_MAX_MS = 5000;
/** While draining, a connection without a request closes after this long, so that a request under way still lands. */
const DRAIN_IDLE_MS = 1000;
/** After FIN, the client has this long to close its side; what it still sends is dropped, so that no RST eats the reply (RFC 9112 §9.6). */
const LINGER_MS = 5000;
/** Empty lines before a request line that are skipped (RFC 9112 §2.2). */
const EMPTY_LINES_MAX = 2;
const NO_BYTES = Buffer.alloc(0);

/** The server side of one HTTP/1.1 connection. The listener calls `data`, `drained`, `ended`, `closed` and `sweep`. */
export class Http1Server implements RequestConnection, OutcomeTaker, InterimSink {
  readonly #front: Front;
  readonly #downstream: Downstream;
  readonly #transport: Transport;
  readonly #writer: SocketWriter;
  readonly #parser = new HeadParser();
  readonly #sink: ReplySink;

  #exchange: Exchange | undefined = undefined;
  #body: RequestBody | undefined = undefined;
  #reply: Reply | undefined = undefined;
  /** Bytes that were read and not yet taken: a part of a head, of a body nobody reads yet, or later requests. */
  #rest: Buffer = NO_BYTES;
  /** Position in `#rest` of the first byte that was not taken. */
  #restAt = 0;
  /** A head lies in `#rest`, which therefore lives as long as that does. */
  #isRestShared = false;
  #isReading = false;
  #isPaused = false;
  #isClosed = false;
  #closesAfter = false;
  #discardedBytes = 0;
  /** Monotonic; when the rest of a request nobody wants began to be dropped. */
  #discardingSinceMs = 0;
  /** The connection carries what an upgrade or a CONNECT asked for, until both sides have ended. */
  #isTunnel = false;
  /** In a tunnel: the upstream half-closed, and so did we. */
  #isReplyOver = false;
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
    this.#isRestShared = false;
    // A head is parsed again only when a line ended, so that one sent byte by byte costs no more than its lines.
    if (this.#headStartedAtMs > 0 && chunk.indexOf(10) < 0 && this.#rest.length < this.#front.limits.headMaxBytes)
      return;
    this.#read();
    // One chunk may wait, which is all that most clients send; at the second the socket is left alone.
    if (isHeld && this.#hasRest && (this.#exchange !== undefined || this.#writer.isBlocked)) this.pauseReading();
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.#activeAtMs = 0;
    if (this.#endedAtMs > 0) this.#endedAtMs = this.#front.clock.monotonic();
    this.#writer.drained();
    if (this.#hasRest && !this.#isReading) this.#read();
  }

  /** The client sent FIN: it left, unless this is a tunnel or the last reply is still on its way. */
  ended(): void {
    // Once that is out our own FIN follows, and the socket closes by itself.
    if (this.#endedAtMs > 0 && !this.#writer.isIdle) return;
    if (!this.#isTunnel || this.#exchange === undefined) return this.#transport.end();
    this.#activeAtMs = 0;
    this.#body?.finish();
    return undefined;
  }

  /** The socket is gone; `isReset` where the client did not end it in order. */
  closed(isReset = false): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#writer.closed();
    this.#drop();
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    if (this.#isReplyOver && !isReset) {
      // After our own FIN the client's closes the socket, and this is how it is told.
      this.#body?.finish();
      this.#endExchange(exchange);
      return;
    }
    const gone = failure("downstream_closed", "the downstream closed the connection");
    exchange.aborted = true;
    exchange.flags = "DC";
    exchange.details = "downstream_remote_disconnect";
    exchange.waiter?.aborted(gone);
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
    // A client that drips its bytes is never idle: the other bounds hold for it all the same.
    if (this.#activeAtMs === 0) this.#activeAtMs = nowMs;
    const idleMs = nowMs - this.#activeAtMs;
    const { limits } = this.#front;
    const exchange = this.#exchange;
    if (exchange !== undefined) {
      if (limits.streamIdleTimeoutMs > 0 && idleMs >= limits.streamIdleTimeoutMs)
        this.#stall(exchange, `no byte moved for ${limits.streamIdleTimeoutMs} ms`);
      else if (
        limits.requestTimeoutMs > 0 &&
        this.#isUpload &&
        nowMs - exchange.startedMonoMs >= limits.requestTimeoutMs
      )
        this.#stall(exchange, `no whole request within ${limits.requestTimeoutMs} ms`);
    } else if (this.#discardingSinceMs > 0 && !(this.#body?.isComplete ?? true)) {
      if (nowMs - this.#discardingSinceMs >= DISCARD_MAX_MS) this.#close();
    } else if (this.#writer.isBlocked) {
      // The last reply is on its way to a client that reads slowly: it has the time of any other.
      if (limits.streamIdleTimeoutMs > 0 && idleMs >= limits.streamIdleTimeoutMs) this.#transport.terminate();
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

  /** For the body of a tunnel: before it was accepted there is none; after, the upstream is gone. */
  tunnelCancelled(): void {
    const exchange = this.#exchange;
    if (!this.#isTunnel) this.#dropTunnel();
    else if (exchange !== undefined && this.#isReplyOver)
      this.replied(failure("upstream_closed", "the tunnel was cut"));
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
    if (this.#isTunnel && cut === undefined) return this.#halfClose(exchange);
    if (cut !== undefined) {
      exchange.flags = cut.kind === "response_timeout" ? "UT" : cut.kind === "stream_idle" ? "SI" : "UC";
      exchange.details =
        cut.kind === "response_timeout"
          ? "response_timeout"
          : "upstream_reset_after_response_started{connection_termination}";
      this.#endExchange(exchange);
      if (this.#isTunnel) this.#body?.fail(cut);
      // A body that only the connection's end delimits would look whole after FIN.
      if (this.#sink.framing === "close" || this.#isTunnel) this.#transport.terminate();
      // What the client asks from here on must not be answered: it would read the answer as the rest of the cut body.
      else this.#close();
      return;
    }
    this.#endExchange(exchange);
    if (this.#closesAfter || (this.#body?.isRefused ?? false)) return this.#close();
    if (this.#body !== undefined && !this.#body.isComplete) {
      this.#discardedBytes = 0;
      this.#discardingSinceMs = this.#front.clock.monotonic();
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
        // A client that asks and does not read would have its replies pile up here: what it asked first goes out first.
      } else if (this.#exchange !== undefined || this.#writer.isBlocked || !this.#head()) {
        break;
      }
    }
    this.#isReading = false;
    if (!this.#hasRest) this.#free();
    if (this.#isPaused && !this.#hasRest && !(this.#body?.isBlocked ?? false)) this.resumeReading();
  }

  /** All of the chunk was passed on. */
  #free(): void {
    const rest = this.#rest;
    this.#drop();
    if (!this.#isRestShared) freeChunk(rest);
  }

  /** Lets go of the chunk, so that it does not outlive its bytes' use. */
  #drop(): void {
    this.#rest = NO_BYTES;
    this.#restAt = 0;
  }

  /** Parses one head and starts its exchange; false where there is none yet. */
  #head(): boolean {
    const { limits, clock } = this.#front;
    let bytes = this.#rest;
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
    if (start === 0 && bytes.length >= LARGE_CHUNK_BYTES) bytes = headOf(bytes, after);
    else this.#isRestShared = true;
    this.#start(bytes);
    return !this.#isClosed;
  }

  #start(bytes: Buffer): void {
    const parser = this.#parser;
    const { http, limits } = this.#front;
    const headers = new HeaderMap();
    headers.load(bytes, parser.offsets, parser.marks, parser.count);
    const hasContent = parser.isChunked || parser.contentLength > 0;
    const target = readTarget(parser.method, parser.target, parser.hosts === 0 ? http.hostForHttp10 : parser.host);
    const path = target === undefined ? undefined : normalizePath(target.path, http.pathNormalization);
    if (target === undefined || path === undefined) {
      const problem = target === undefined ? "is not of a form that its method may have" : "holds %00";
      this.#refuse(failure("bad_request", `the target ${JSON.stringify(parser.target.slice(0, 100))} ${problem}`));
      return;
    }
    // Only HTTP/1.0 may leave it out, and an upstream must not have to guess.
    if (parser.hosts === 0 && target.authority === "")
      return this.#refuse(failure("bad_request", "there is no Host field"));
    if (target.authority !== parser.host || parser.hosts === 0) headers.set("Host", target.authority);
    const isConnect = parser.method === "CONNECT";
    // RFC 9110 §9.3.6: it has no content, and what would look like one is the tunnel.
    if (isConnect && (hasContent || parser.contentLength === 0))
      return this.#refuse(failure("bad_request", "a CONNECT came with a length"));
    let upgrade = isConnect ? "connect" : parser.upgrade;
    // One with content goes on as a plain request: the rest of its content and the tunnel would follow each other.
    if (upgrade !== "" && (hasContent || !http.upgrades.includes(upgrade))) upgrade = "";
    const framing = upgrade === "" ? parser : TUNNEL_FRAMING;
    const body = hasContent || upgrade !== "" ? new RequestBody(this, framing, limits) : undefined;
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
    exchange.upgrade = upgrade;
    // RFC 9110 §15.2: an HTTP/1.0 client knows no interim replies.
    if (parser.minor === 1) exchange.interims = this;
    exchange.isProxyForm = parser.target.charCodeAt(0) !== 47 && parser.target !== "*";
    this.#exchange = exchange;
    this.#body = body;
    this.#closesAfter = parser.closes;
    const expectsContinue = parser.expectsContinue && hasContent && parser.minor === 1;
    if (parser.expectsMore || (expectsContinue && http.expectContinue === "refuse"))
      return this.answer({ ok: false, error: failure("expectation_failed", "the expectation cannot be met") });
    exchange.expectsContinue = expectsContinue && http.expectContinue === "upstream";
    if (isConnect && upgrade === "") {
      this.#closesAfter = true;
      return this.answer({ ok: false, error: failure("no_route", "CONNECT is not allowed here") });
    }
    if (limits.bodyMaxBytes > 0 && parser.contentLength > limits.bodyMaxBytes) {
      this.#closesAfter = true;
      this.answer({
        ok: false,
        error: failure(
          "body_too_large",
          `the body is ${parser.contentLength} bytes, the limit is ${limits.bodyMaxBytes}`,
        ),
      });
      return;
    }
    let answer: ReturnType<Service>;
    try {
      answer = this.#front.service(exchange);
    } catch (error) {
      return this.bug(error);
    }
    return deliver(answer, this);
  }

  /** For a service that threw. */
  bug(error: unknown): void {
    this.answer({ ok: false, error: failure("internal", String(error)) });
  }

  /** For the service: what became of the exchange. */
  answer(outcome: Outcome): void {
    const exchange = this.#exchange;
    const reply = outcome.ok ? outcome.value : this.#front.render(outcome.error);
    if (exchange === undefined || this.#isClosed || this.#reply !== undefined) {
      reply.body.cancel();
      return;
    }
    if (exchange.upgrade !== "")
      this.#isTunnel = reply.status === 101 || (reply.status < 300 && exchange.method === "CONNECT");
    if (reply.status < 200 && !this.#isTunnel) {
      // A filter's mistake: an interim status ends nothing, and the client would wait for more.
      reply.body.cancel();
      return this.answer({ ok: false, error: failure("internal", `${reply.status} is not a final status`) });
    }
    if (exchange.upgrade !== "" && !this.#isTunnel) this.#dropTunnel();
    this.#reply = reply;
    exchange.status = reply.status;
    exchange.flags = reply.flags;
    exchange.details = reply.details;
    if (reply.closes || this.#front.isDraining || (this.#body?.isUncertain ?? false)) this.#closesAfter = true;
    const hasBody = exchange.method !== "HEAD" && reply.status !== 204 && reply.status !== 304;
    if (this.#isTunnel) this.#sink.beginTunnel(reply);
    else this.#sink.begin(hasBody ? reply.body.lengthBytes : 0, exchange.protocol, reply);
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
    if (this.#isTunnel) tail = this.#openTunnel(exchange, reply);
    else if (this.#closesAfter) tail = "Connection: close\r\n\r\n";
    else if (exchange.protocol === "HTTP/1.0") tail = "Connection: keep-alive\r\n\r\n";
    if (hasBody && this.#sink.framing === "chunked") tail = `Transfer-Encoding: chunked\r\n${tail}`;
    // RFC 9110 §6.6.1: whoever passes on a reply without a date gives it one.
    if (!reply.headers.has("date")) tail = `Date: ${renderDate(this.#front.clock.now())}\r\n${tail}`;
    return this.#writer.writeHead(statusLine(reply), reply.headers, tail);
  }

  /** Fields of this hop for the head that opens a tunnel. */
  #openTunnel(exchange: Exchange, reply: Reply): string {
    // RFC 9110 §9.3.6, §15.2.2: no content, whatever it says; the tunnel begins after the head.
    reply.headers.delete("content-length");
    if (exchange.upgrade === "connect") return "\r\n";
    const key = exchange.upgrade === "websocket" ? exchange.headers.get("sec-websocket-key") : undefined;
    // An upstream that speaks HTTP/2 has no answer to the client's key.
    if (key !== undefined && !reply.headers.has("sec-websocket-accept"))
      reply.headers.set("Sec-WebSocket-Accept", acceptWebSocketKey(key));
    return `Connection: Upgrade\r\nUpgrade: ${exchange.upgrade}\r\n\r\n`;
  }

  /** Passes an interim reply on; one that the client has no room for is left out, as it may be (RFC 9110 §15.2). */
  interim(status: number, headers: HeaderMap): void {
    if (this.#isClosed || this.#exchange === undefined || this.#reply !== undefined || this.#writer.isBlocked) return;
    if (status === 100) this.#body?.continued();
    headers.delete("content-length");
    this.#writer.writeHead(`HTTP/1.1 ${status} ${reasonFor(status)}\r\n`, headers, "\r\n");
  }

  /** The upgrade was not accepted: the exchange is as any other, and the next request follows it. */
  #dropTunnel(): void {
    if (this.#body !== undefined) this.#body.isComplete = true;
    // Whether these bytes are the next request or the tunnel's, only the client knows.
    if (this.#hasRest) this.#closesAfter = true;
  }

  /** The upstream sent FIN in a tunnel: so do we, and what the client still says goes on its way. */
  #halfClose(exchange: Exchange): void {
    if (this.#body?.isComplete ?? true) {
      this.#endExchange(exchange);
      this.#close();
      return;
    }
    this.#isReplyOver = true;
    this.#writer.shutdown();
  }

  /** A request's body is under way and nobody answered yet. */
  get #isUpload(): boolean {
    const body = this.#body;
    return body !== undefined && !body.isComplete && !body.isTunnel && this.#reply === undefined;
  }

  /** Time is up for the whole exchange. Before the reply the waiting stage fails; after its head only the connection can tell. */
  #stall(exchange: Exchange, problem: string): void {
    const isUpload = this.#isUpload;
    const stalled = failure(isUpload ? "request_timeout" : "stream_idle", problem);
    this.#activeAtMs = 0;
    if (this.#reply === undefined) {
      if (isUpload) this.#closesAfter = true;
      exchange.waiter?.aborted(stalled);
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
    this.answer({ ok: false, error: problem });
  }

  #endExchange(exchange: Exchange): void {
    this.#exchange = undefined;
    this.#reply = undefined;
    exchange.waiter = undefined;
    exchange.interims = undefined;
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

/** What `statusLine` said last: most replies begin alike, and to put a text together costs more than to find it. */
let lastStatus = 0;
let lastReason = "";
let lastLine = "";

function statusLine({ status, reason }: Reply): string {
  if (status !== lastStatus || reason !== lastReason) {
    lastStatus = status;
    lastReason = reason;
    lastLine = `HTTP/1.1 ${status} ${reason === "" ? reasonFor(status) : reason}\r\n`;
  }
  return lastLine;
}

/**
 * Whether the length that a head says is its body's. Only a reply without a body may say another (RFC 9110 §8.6), and a
 * filter that gives it a status which has one must not make the client take the next reply for it.
 */
function fitsLength(headers: HeaderMap, lengthBytes: number | undefined): boolean {
  return lengthBytes === 0 ? headers.get("content-length") === "0" : headers.has("content-length");
}
