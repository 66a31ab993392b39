// One upstream connection: requests out, replies in, one at a time. Replies are framed by RFC 9112 §6.3 and nothing looser;
// a connection that said one byte too many is never used again.
import type { Body, BodySink } from "../exchange/body.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { Reply } from "../exchange/reply.ts";
import { freeChunk, headOf, LARGE_CHUNK_BYTES } from "./chunk.ts";
import { writeChunk, writeLastChunk } from "./http1-chunked.ts";
import { HeadParser, INCOMPLETE, TOO_LARGE } from "./http1-grammar.ts";
import { REPLY_LIMITS, ReplyBody, type ReplyConnection } from "./http1-reply-body.ts";
import { SocketWriter, type Transport } from "./socket-writer.ts";
import type { Requester, Sending, UpstreamClient } from "./upstream-client.ts";
import { acceptWebSocketKey, makeWebSocketKey } from "./websocket-key.ts";

/** Interim replies before the final one; more is an upstream that never answers. */
const INTERIM_MAX = 100;
/** An upstream that knows no `Expect` sends no 100: then the body follows all the same (RFC 9110 §10.1.1). */
const CONTINUE_WAIT_MS = 1000;
/** What a tunnel's end has queued may take this long. */
const LINGER_MS = 5000;
/** Before an upstream's own idle timeout, connections to it are closed by so much. */
const KEEP_ALIVE_MARGIN_MS = 1000;
const NO_BYTES = Buffer.alloc(0);
const CUT = "the upstream closed the connection before its reply was whole";

/** The client side of one HTTP/1.1 connection. Its owner calls `data`, `drained`, `ended` and `closed`. */
export class Http1Client implements ReplyConnection, Sending, UpstreamClient {
  /** Requests sent on it. */
  requests = 0;
  readonly mayRefuse = false;
  /**
   * How long the upstream says that it keeps an idle connection, milliseconds, less a margin for what is on its way; 0
   * where it says nothing. A request that meets its FIN half way may not be sent again (RFC 9110 §9.2.2).
   */
  idleMaxMs = 0;
  /** `127.0.0.1:54321` */
  readonly localAddress: string;

  readonly #isTcp: boolean;
  readonly #transport: Transport;
  readonly #writer: SocketWriter;
  readonly #parser = new HeadParser();
  #requester: Requester | undefined = undefined;
  #exchange: Exchange | undefined = undefined;
  #body: ReplyBody | undefined = undefined;
  #rest: Buffer = NO_BYTES;
  /** Position in `#rest` of the first byte that was not taken. */
  #restAt = 0;
  /** A head lies in `#rest`, which therefore lives as long as that does. */
  #isRestShared = false;
  #isPaused = false;
  #isClosed = false;
  /** The socket is gone while a reply's body was under way. */
  #isEof = false;
  #isSent = false;
  #isReplied = false;
  #closesAfter = false;
  #interims = 0;
  /** The connection carries what an upgrade or a CONNECT asked for, until both sides have ended. */
  #isTunnel = false;
  /** The body waits: for 100, or for a tunnel to be accepted. */
  #isHeld = false;
  #continueTimer: ReturnType<typeof setTimeout> | undefined = undefined;
  /** The `Sec-WebSocket-Key` that was made here; empty where the client has its own. */
  #webSocketKey = "";

  /** `isTcp`: the upstream speaks no HTTP; it takes a CONNECT, of which it never hears, and then its bytes. */
  constructor(transport: Transport, localAddress: string, isTcp = false) {
    this.#isTcp = isTcp;
    this.#transport = transport;
    this.localAddress = localAddress;
    this.#writer = new SocketWriter(transport);
  }

  get #hasRest(): boolean {
    return this.#restAt < this.#rest.length;
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  get isIdle(): boolean {
    return this.#requester === undefined;
  }

  get room(): number {
    return this.isOpen && this.isIdle ? 1 : 0;
  }

  /** Sends the head, then the body as it comes. The connection must be idle. */
  send(exchange: Exchange, requester: Requester): Sending {
    this.#exchange = exchange;
    this.#requester = requester;
    this.#isSent = false;
    this.#isReplied = false;
    this.#closesAfter = false;
    this.#interims = 0;
    this.requests++;
    const { body, upgrade } = exchange;
    if (this.#isTcp) return this.#acceptTunnel(upgrade);
    const isChunked = body.lengthBytes === undefined && upgrade === "";
    let line = `${exchange.method} ${exchange.path} HTTP/1.1\r\n`;
    let tail = isChunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
    if (upgrade === "connect") line = `CONNECT ${exchange.authority} HTTP/1.1\r\n`;
    else if (upgrade !== "") tail = this.#askUpgrade(exchange);
    // Bytes behind a head that does not tell of them would be read as the next request (RFC 9112 §6.3).
    else if (isUntold(exchange)) tail = `Content-Length: ${body.lengthBytes}\r\n\r\n`;
    if (exchange.expectsContinue) tail = `Expect: 100-continue\r\n${tail}`;
    const fits = this.#writer.writeHead(line, exchange.headers, tail);
    if (!fits) {
      this.#fail(failure("internal", "the request's head is larger than the send buffer"));
      return this;
    }
    // Before an upgrade is accepted, what the client sends ahead of it would be read as the next request.
    this.#isHeld = upgrade !== "" || exchange.expectsContinue;
    if (!this.#isHeld) body.pipe(new RequestSink(this, this.#writer, body, isChunked ? "chunked" : "plain"));
    else if (upgrade !== "") this.#isSent = true;
    else this.#continueTimer = setTimeout(() => this.#pipeHeld(), CONTINUE_WAIT_MS);
    return this;
  }

  /** For an upstream that speaks no HTTP: as if it had accepted. */
  #acceptTunnel(upgrade: string): this {
    this.#isSent = true;
    this.#isHeld = true;
    if (upgrade === "connect") this.data(Buffer.from("HTTP/1.1 200 OK\r\n\r\n"));
    else this.#fail(failure("upstream_protocol", "the cluster's protocol is tcp, which takes CONNECT alone"));
    return this;
  }

  /** Closes after the request under way. */
  retire(): void {
    this.#closesAfter = true;
    if (this.isIdle) this.close();
  }

  /** Bytes came. */
  data(chunk: Buffer): void {
    const isHeld = this.#hasRest;
    this.#rest = isHeld ? Buffer.concat([this.#rest.subarray(this.#restAt), chunk]) : chunk;
    this.#restAt = 0;
    this.#isRestShared = false;
    this.#read();
    // One chunk may wait for its reader, as it nearly always comes in the same turn; at the second the socket is left alone.
    if (isHeld && this.#hasRest && this.#body !== undefined) this.pauseReading();
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.#writer.drained();
  }

  /** Nothing here waits for time: attempts and the pool do. */
  sweep(): void {}

  /** The upstream sent FIN. But for a tunnel, it does not read on for long either, so that is its end (RFC 9112 §9.6). */
  ended(): void {
    if (!this.#isTunnel || this.#requester === undefined) return this.#transport.end();
    this.#isEof = true;
    if (this.#body?.isPiped === true) this.#readToEnd();
    return undefined;
  }

  /** The socket is gone; what was read from it still counts. `isReset` where the upstream did not end it in order. */
  closed(isReset = false): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#writer.closed();
    if (this.#requester === undefined) return;
    // A body that only the connection's end delimits is whole after FIN, and cut after RST.
    const isCut = isReset && (this.#isTunnel || this.#body?.framing === "close");
    if (this.#isTunnel && this.#body === undefined && this.#isSent && !isCut) return this.#release();
    if (isCut || (this.#isTunnel && !this.#isSent)) return this.#fail(failure("upstream_closed", CUT));
    if (this.#body !== undefined) {
      this.#isEof = true;
      if (this.#body.isPiped) this.#readToEnd();
      return;
    }
    // Nothing of a reply came: the request may never have been read, and an idle connection that closes looks the same.
    this.#fail(failure("upstream_closed", CUT, this.#hasRest ? "never" : "if_reused"));
    return undefined;
  }

  /** Gives up on the exchange; the connection cannot be used again. */
  abandon(): void {
    this.#requester = undefined;
    this.#body = undefined;
    this.close();
  }

  /** Closes a connection that is idle (FIN) or broken (RST, so that the upstream stops working on it). */
  close(): void {
    this.#drop();
    if (this.#isClosed) return;
    clearTimeout(this.#continueTimer);
    if (this.#isTunnel && this.#exchange === undefined && this.#writer.isBlocked) {
      // A tunnel that ended in order: what the upstream has yet to read still goes out, within bounds.
      this.#writer.end();
      setTimeout(() => this.#transport.terminate(), LINGER_MS).unref();
      return;
    }
    this.#isClosed = true;
    this.#writer.closed();
    if (this.#exchange === undefined) this.#transport.end();
    else this.#transport.terminate();
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

  /** For the reply's body: somebody reads it now. */
  pump(): void {
    this.resumeReading();
    if (this.#isEof) this.#readToEnd();
    else this.#read();
  }

  /** For the request's sink: all of it went out. */
  sent(): void {
    this.#isSent = true;
    if (!this.#isTunnel) return;
    this.#writer.shutdown();
    if (this.#body === undefined) this.#release();
  }

  /** For the request's sink: the rest of it will not come, so the upstream must not take it for whole. */
  broken(cause: Failure): void {
    this.#fail(cause);
  }

  /** For the reply's body: it is whole. */
  bodyEnded(): void {
    this.#body = undefined;
    if (this.#isTunnel) return this.#isSent ? this.#release() : undefined;
    // An early reply: the request's rest is unwanted, and the connection cannot be framed again.
    if (!this.#isSent) return this.abandonAndRelease();
    return this.#release();
  }

  /** For the reply's body: its reader or its framing gave up. */
  abandonAndRelease(): void {
    const requester = this.#requester;
    this.#requester = undefined;
    this.#body = undefined;
    this.#exchange?.body.cancel();
    this.close();
    requester?.released(false);
  }

  /** The connection's end is how some bodies end (RFC 9112 §6.3, case 8); for the others it cuts them. */
  #readToEnd(): void {
    this.#read();
    const body = this.#body;
    if (body === undefined) return;
    if (body.framing === "close") body.finish();
    else this.#fail(failure("upstream_closed", CUT));
  }

  #read(): void {
    while (this.#hasRest) {
      const body = this.#body;
      if (this.#requester === undefined) {
        // Bytes that nobody asked for (RFC 9112 §9.2): never attribute them to the next request.
        this.close();
        return;
      }
      if (!this.#isReplied) {
        if (!this.#head()) return;
      } else if (body === undefined || body.isReading || !body.isPiped) {
        return;
      } else {
        this.#restAt = body.feed(this.#rest, this.#restAt);
        if (body.isDone) this.#settle(body);
      }
    }
    this.#free();
  }

  /** All of the chunk was passed on. */
  #free(): void {
    const rest = this.#rest;
    this.#drop();
    if (!this.#isRestShared) freeChunk(rest);
  }

  #drop(): void {
    this.#rest = NO_BYTES;
    this.#restAt = 0;
  }

  /** The body is complete: whether anything follows it is looked at before the connection goes back. */
  #settle(body: ReplyBody): void {
    if (this.#hasRest) this.#closesAfter = true;
    this.#free();
    body.finish();
  }

  #head(): boolean {
    const start = this.#restAt;
    let bytes = this.#rest;
    const after = this.#parser.parseReply(bytes, start, REPLY_LIMITS);
    if (after === INCOMPLETE) return false;
    if (after < 0) {
      this.#fail(
        failure(
          "upstream_protocol",
          after === TOO_LARGE ? this.#parser.problem : `the reply is not HTTP/1.1: ${this.#parser.problem}`,
        ),
      );
      return false;
    }
    this.#restAt = after;
    if (start === 0 && bytes.length >= LARGE_CHUNK_BYTES) bytes = headOf(bytes, after);
    else this.#isRestShared = true;
    const { status } = this.#parser;
    if (status >= 200) {
      this.#reply(bytes, this.#exchange?.upgrade === "connect" && status < 300);
      return true;
    }
    if (status !== 101) return this.#interim(bytes);
    const problem = this.#checkSwitch(bytes);
    if (problem !== undefined) {
      this.#fail(failure("upstream_protocol", problem));
      return false;
    }
    this.#reply(bytes, true);
    return true;
  }

  /** 1xx goes on to the client; a 100 that nobody asked for ends here, as the proxy says its own. */
  #interim(bytes: Buffer): boolean {
    const parser = this.#parser;
    const exchange = this.#exchange;
    if (++this.#interims > INTERIM_MAX) {
      this.#fail(failure("upstream_protocol", "too many interim replies"));
      return false;
    }
    if (parser.status !== 100 || (exchange?.expectsContinue ?? false)) {
      const headers = new HeaderMap();
      headers.load(bytes, parser.offsets, parser.marks, parser.count);
      exchange?.interims?.interim(parser.status, headers);
    }
    if (parser.status === 100 && exchange?.upgrade === "") this.#pipeHeld();
    return true;
  }

  /** Why a 101 is not what was asked for; `undefined` where it is (RFC 9110 §15.2.2, RFC 6455 §4.1). */
  #checkSwitch(bytes: Buffer): string | undefined {
    const { upgrade, offsets, marks, count } = this.#parser;
    const asked = this.#exchange?.upgrade ?? "";
    if (asked === "" || asked === "connect") return "the upstream switched protocols without being asked";
    if (upgrade !== asked) return `the upstream switched to ${JSON.stringify(upgrade)}, asked was ${asked}`;
    if (this.#webSocketKey === "") return undefined;
    const headers = new HeaderMap();
    headers.load(bytes, offsets, marks, count);
    const isProof = headers.get("sec-websocket-accept") === acceptWebSocketKey(this.#webSocketKey);
    return isProof ? undefined : "the upstream did not prove that it speaks WebSocket";
  }

  /** The end of a head that asks for an upgrade; what a client that speaks HTTP/2 does not send is made here (RFC 8441 §5). */
  #askUpgrade({ protocol, upgrade, headers }: Exchange): string {
    let tail = `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`;
    this.#webSocketKey = "";
    if (upgrade !== "websocket" || protocol !== "HTTP/2" || headers.has("sec-websocket-key")) return tail;
    this.#webSocketKey = makeWebSocketKey();
    if (!headers.has("sec-websocket-version")) tail = `Sec-WebSocket-Version: 13\r\n${tail}`;
    return `Sec-WebSocket-Key: ${this.#webSocketKey}\r\n${tail}`;
  }

  #pipeHeld(): void {
    const body = this.#exchange?.body;
    if (!this.#isHeld || body === undefined || this.#isClosed) return;
    this.#isHeld = false;
    clearTimeout(this.#continueTimer);
    const framing = body.lengthBytes === undefined ? "chunked" : "plain";
    body.pipe(new RequestSink(this, this.#writer, body, this.#isTunnel ? "tunnel" : framing));
  }

  #reply(bytes: Buffer, isTunnel: boolean): void {
    clearTimeout(this.#continueTimer);
    const parser = this.#parser;
    const headers = new HeaderMap();
    headers.load(bytes, parser.offsets, parser.marks, parser.count);
    this.#isReplied = true;
    // `retire` may have been called meanwhile.
    this.#closesAfter ||= parser.closes;
    if (parser.keepAliveTimeoutS > 0)
      this.idleMaxMs = Math.max(1, parser.keepAliveTimeoutS * 1000 - KEEP_ALIVE_MARGIN_MS);
    this.#isTunnel = isTunnel;
    const isBodiless = this.#exchange?.method === "HEAD" || parser.status === 204 || parser.status === 304;
    const body = new ReplyBody(this, parser, isTunnel ? "tunnel" : isBodiless ? "none" : "plain");
    if (body.framing === "close") this.#closesAfter = true;
    this.#body = body;
    this.#requester?.replied(new Reply(parser.status, parser.reason, headers, body));
    if (!isTunnel) return;
    this.#isSent = false;
    this.#pipeHeld();
  }

  #release(): void {
    const requester = this.#requester;
    const isReusable = !this.#closesAfter && !this.#isClosed && !this.#hasRest;
    this.#requester = undefined;
    this.#exchange = undefined;
    this.#isHeld = false;
    if (isReusable) this.resumeReading();
    else this.close();
    requester?.released(isReusable);
  }

  #fail(cause: Failure): void {
    const requester = this.#requester;
    const body = this.#body;
    this.#requester = undefined;
    this.#body = undefined;
    this.close();
    if (requester === undefined) return;
    requester.released(false);
    if (this.#isTunnel && body === undefined) this.#exchange?.body.cancel();
    if (this.#isReplied) body?.broke(cause);
    else requester.failed(cause);
  }
}

/** How a request's body is written: as it is, in chunks, or as it is until FIN. */
type Framing = "plain" | "chunked" | "tunnel";

/** Whether a body has a length that no field of its head tells, as one may have that a filter made. */
function isUntold({ body, headers }: Exchange): boolean {
  return body.lengthBytes !== undefined && body.lengthBytes > 0 && !headers.has("content-length");
}

/** Where a request's body goes: framed, onto the connection. */
class RequestSink implements BodySink {
  readonly #client: Http1Client;
  readonly #writer: SocketWriter;
  readonly #isChunked: boolean;

  constructor(client: Http1Client, writer: SocketWriter, body: Body, framing: Framing) {
    this.#client = client;
    this.#writer = writer;
    this.#isChunked = framing === "chunked";
    writer.onDrain = () => body.resume();
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    if (!this.#client.isOpen) return true;
    return this.#isChunked ? writeChunk(this.#writer, chunk, start, end) : this.#writer.write(chunk, start, end);
  }

  end(trailers: HeaderMap | undefined): void {
    if (this.#isChunked) writeLastChunk(this.#writer, trailers);
    this.#client.sent();
  }

  abort(cause: Failure): void {
    this.#client.broken(cause);
  }
}
