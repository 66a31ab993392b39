// One upstream connection: requests out, replies in, one at a time. Replies are framed by RFC 9112 §6.3 and nothing looser;
// a connection that said one byte too many is never used again.
import type { Body, BodySink } from "../exchange/body.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { Reply } from "../exchange/reply.ts";
import { writeChunk, writeLastChunk } from "./http1-chunked.ts";
import { HeadParser, INCOMPLETE, TOO_LARGE } from "./http1-grammar.ts";
import { REPLY_LIMITS, ReplyBody, type ReplyConnection } from "./http1-reply-body.ts";
import { SocketWriter, type Transport } from "./socket-writer.ts";
import type { Requester, Sending, UpstreamClient } from "./upstream-client.ts";

/** Interim replies before the final one; more is an upstream that never answers. */
const INTERIM_MAX = 100;
const NO_BYTES = Buffer.alloc(0);
const CUT = "the upstream closed the connection before its reply was whole";

/** The client side of one HTTP/1.1 connection. Its owner calls `data`, `drained`, `ended` and `closed`. */
export class Http1Client implements ReplyConnection, Sending, UpstreamClient {
  /** Requests sent on it. */
  requests = 0;
  /** `127.0.0.1:54321` */
  readonly localAddress: string;

  readonly #transport: Transport;
  readonly #writer: SocketWriter;
  readonly #parser = new HeadParser();
  #requester: Requester | undefined = undefined;
  #exchange: Exchange | undefined = undefined;
  #body: ReplyBody | undefined = undefined;
  #rest: Buffer = NO_BYTES;
  /** Position in `#rest` of the first byte that was not taken. */
  #restAt = 0;
  #isPaused = false;
  #isClosed = false;
  /** The socket is gone while a reply's body was under way. */
  #isEof = false;
  #isSent = false;
  #isReplied = false;
  #closesAfter = false;
  #interims = 0;

  constructor(transport: Transport, localAddress: string) {
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
    const { body } = exchange;
    const isChunked = body.lengthBytes === undefined;
    const line = `${exchange.method} ${exchange.path} HTTP/1.1\r\n`;
    const tail = isChunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
    const fits = this.#writer.writeHead(line, exchange.headers, tail);
    if (fits) body.pipe(new RequestSink(this, this.#writer, body, isChunked));
    else this.#fail(failure("internal", "the request's head is larger than the send buffer"));
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

  /** The upstream sent FIN. It does not read on for long either, so that is its end (RFC 9112 §9.6). */
  ended(): void {
    this.#transport.end();
  }

  /** The socket is gone; what was read from it still counts. */
  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#writer.closed();
    if (this.#requester === undefined) return;
    if (this.#body !== undefined) {
      this.#isEof = true;
      if (this.#body.isPiped) this.#readToEnd();
      return;
    }
    // Nothing of a reply came: the request may never have been read, and an idle connection that closes looks the same.
    this.#fail(failure("upstream_closed", CUT, this.#hasRest ? "never" : "if_reused"));
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
  }

  /** For the request's sink: the rest of it will not come, so the upstream must not take it for whole. */
  broken(cause: Failure): void {
    this.#fail(cause);
  }

  /** For the reply's body: it is whole. */
  bodyEnded(): void {
    this.#body = undefined;
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
    this.#drop();
  }

  #drop(): void {
    this.#rest = NO_BYTES;
    this.#restAt = 0;
  }

  /** The body is complete: whether anything follows it is looked at before the connection goes back. */
  #settle(body: ReplyBody): void {
    if (this.#hasRest) this.#closesAfter = true;
    this.#drop();
    body.finish();
  }

  #head(): boolean {
    const bytes = this.#rest;
    const after = this.#parser.parseReply(bytes, this.#restAt, REPLY_LIMITS);
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
    const { status } = this.#parser;
    if (status < 200) {
      if (status === 101 || ++this.#interims > INTERIM_MAX) {
        this.#fail(
          failure(
            "upstream_protocol",
            status === 101 ? "the upstream switched protocols without being asked" : "too many interim replies",
          ),
        );
        return false;
      }
      return true;
    }
    this.#reply(bytes);
    return true;
  }

  #reply(bytes: Buffer): void {
    const parser = this.#parser;
    const headers = new HeaderMap();
    headers.load(bytes, parser.offsets, parser.marks, parser.count);
    this.#isReplied = true;
    this.#closesAfter = parser.closes;
    const isBodiless = this.#exchange?.method === "HEAD" || parser.status === 204 || parser.status === 304;
    const body = new ReplyBody(this, parser, isBodiless);
    if (body.framing === "close") this.#closesAfter = true;
    this.#body = body;
    this.#requester?.replied(new Reply(parser.status, parser.reason, headers, body));
  }

  #release(): void {
    const requester = this.#requester;
    const isReusable = !this.#closesAfter && !this.#isClosed && !this.#hasRest;
    this.#requester = undefined;
    this.#exchange = undefined;
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
    if (this.#isReplied) body?.broke(cause);
    else requester.failed(cause);
  }
}

/** Where a request's body goes: framed, onto the connection. */
class RequestSink implements BodySink {
  readonly #client: Http1Client;
  readonly #writer: SocketWriter;
  readonly #isChunked: boolean;

  constructor(client: Http1Client, writer: SocketWriter, body: Body, isChunked: boolean) {
    this.#client = client;
    this.#writer = writer;
    this.#isChunked = isChunked;
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
