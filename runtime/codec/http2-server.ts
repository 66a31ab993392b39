// One downstream HTTP/2 connection: every stream of it is an exchange, many at once (RFC 9113). A client that breaks the
// rules or floods loses its connection; its neighbours on other connections do not notice.
import { EMPTY_BODY } from "../exchange/body.ts";
import { Exchange, type Downstream } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import type { Reply } from "../exchange/reply.ts";
import { freeChunk } from "./chunk.ts";
import { loadBlock, type FieldBlock } from "./hpack-block.ts";
import { renderDate } from "./http-date.ts";
import type { Front } from "./http1-server.ts";
import { Http2Connection, PING_PAYLOAD } from "./http2-connection.ts";
import {
  ENABLE_CONNECT_PROTOCOL,
  ErrorCode,
  HEADER_TABLE_SIZE,
  INITIAL_WINDOW_SIZE,
  MAX_CONCURRENT_STREAMS,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
  PREFACE,
  STREAM_ID_MAX,
} from "./http2-frames.ts";
import { ServerStream, type ServerStreamConnection } from "./http2-server-stream.ts";
import { normalizePath } from "./normalize.ts";
import type { Transport } from "./socket-writer.ts";

/** After GOAWAY and FIN, the client has this long to close its side. */
const LINGER_MS = 5000;
/** A GOAWAY with the last stream follows the first after a round trip, or after this long where no PING comes back. */
const DRAIN_WITHIN_MS = 1000;
/** Streams opened after the last GOAWAY that are passed over; more is a client that does not read. */
const STRAYS_MAX = 1000;
const CONTINUE = new HeaderMap();

type Drain = "no" | "announced" | "last_said";

/** The server side of one HTTP/2 connection. The listener calls `data`, `drained`, `ended`, `closed` and `sweep`. */
export class Http2Server extends Http2Connection<ServerStream> implements ServerStreamConnection {
  readonly #front: Front;
  readonly #downstream: Downstream;
  /** Bytes of the preface that came. */
  #prefaceBytes = 0;
  /** Monotonic; when the preface, a frame or a block began that is not whole, 0 where none is. */
  #partialSinceMs: number;
  /** Monotonic; since when no stream is open, to the sweep's precision. */
  #idleSinceMs = 0;
  /** Monotonic; when the last byte was written, 0 before. */
  #endedAtMs = 0;
  /** Monotonic; since when the socket takes nothing. */
  #congestedSinceMs = 0;
  #isGone = false;
  #drain: Drain = "no";
  #drainSinceMs = 0;
  /** Streams above it are not served. */
  #lastServed = STREAM_ID_MAX;
  #strays = 0;

  constructor(transport: Transport, downstream: Downstream, front: Front) {
    super(transport, front.limits.http2, front.limits);
    this.#front = front;
    this.#downstream = downstream;
    this.#partialSinceMs = front.clock.monotonic();
    const { http2, headMaxBytes } = front.limits;
    const hasUpgrades = front.http.upgrades.some((name) => name !== "connect");
    const settings: [number, number][] = [
      [MAX_CONCURRENT_STREAMS, http2.maxConcurrentStreams],
      [INITIAL_WINDOW_SIZE, http2.initialStreamWindowBytes],
      [MAX_HEADER_LIST_SIZE, headMaxBytes],
    ];
    if (hasUpgrades) settings.push([ENABLE_CONNECT_PROTOCOL, 1]);
    if (http2.maxFrameBytes !== 16_384) settings.push([MAX_FRAME_SIZE, http2.maxFrameBytes]);
    if (http2.hpackTableBytes !== 4096) settings.push([HEADER_TABLE_SIZE, http2.hpackTableBytes]);
    this.writer.settings(settings);
    this.openWindow();
  }

  get bodyMaxBytes(): number {
    return this.#front.limits.bodyMaxBytes;
  }

  protected override get heldMaxBytes(): number {
    return this.#front.limits.http2.maxHeldReplyBytes;
  }

  /** Bytes came. */
  data(chunk: Buffer): void {
    if (this.isOver) return;
    this.isActive = true;
    let start = 0;
    if (this.#prefaceBytes < PREFACE.length) {
      start = Math.min(chunk.length, PREFACE.length - this.#prefaceBytes);
      if (PREFACE.compare(chunk, 0, start, this.#prefaceBytes, this.#prefaceBytes + start) !== 0) {
        this.fail(ErrorCode.PROTOCOL_ERROR, "not the preface of HTTP/2");
        return;
      }
      this.#prefaceBytes += start;
      if (this.#prefaceBytes < PREFACE.length) return;
    }
    this.reader.feed(chunk, start);
    freeChunk(chunk);
    if (!this.isMidBlock && !this.reader.isMidFrame && this.hasSettings) this.#partialSinceMs = 0;
    else if (this.#partialSinceMs === 0) this.#partialSinceMs = this.#front.clock.monotonic();
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.isActive = true;
    this.#congestedSinceMs = 0;
    if (this.#endedAtMs > 0) this.#endedAtMs = this.#front.clock.monotonic();
    this.writer.drained();
  }

  /** The client sent FIN: nothing more comes, and no client of HTTP/2 waits for more. */
  ended(): void {
    this.transport.end();
  }

  /** The socket is gone. */
  closed(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.isOver = true;
    this.reader.stop();
    this.writer.closed();
    this.loseAll("the downstream closed the connection");
  }

  /** Called a few times a second: closes what has waited too long. `nowMs` is monotonic. */
  sweep(nowMs: number): void {
    const { limits } = this.#front;
    this.guard.swept();
    if (this.#endedAtMs > 0 || this.isOver) {
      this.#linger(nowMs);
      return;
    }
    if (this.writer.isCongested) {
      // A client that reads nothing at all holds whatever waits for it.
      if (this.#congestedSinceMs === 0) this.#congestedSinceMs = nowMs;
      else if (limits.streamIdleTimeoutMs > 0 && nowMs - this.#congestedSinceMs >= limits.streamIdleTimeoutMs)
        return this.transport.terminate();
    }
    if (this.#partialSinceMs > 0 && limits.headTimeoutMs > 0 && nowMs - this.#partialSinceMs >= limits.headTimeoutMs) {
      this.fail(ErrorCode.ENHANCE_YOUR_CALM, `a part of a frame and no more within ${limits.headTimeoutMs} ms`);
      return;
    }
    if (this.#front.isDraining) this.#sweepDrain(nowMs);
    if (this.isOver) return;
    this.sweepKeepalive(nowMs);
    if (this.streams.size > 0) this.#sweepStreams(nowMs);
    else this.#sweepIdle(nowMs);
  }

  // What streams ask.

  sayContinue(stream: ServerStream): void {
    stream.expectsContinue = false;
    this.sendInterim(stream, 100, CONTINUE);
  }

  sendInterim(stream: ServerStream, status: number, headers: HeaderMap): void {
    if (status === 101) return;
    this.#sendBlock(stream.id, status, headers, false);
  }

  sendHead(stream: ServerStream, reply: Reply, isEnd: boolean): boolean {
    const { headers } = reply;
    if (reply.status === 204) headers.delete("content-length");
    else if (reply.body.lengthBytes === 0 && isEnd && stream.exchange?.method !== "HEAD" && reply.status !== 304) {
      // A filter that gives a reply without a body another status must not leave it another's length.
      const length = headers.get("content-length");
      if (length !== undefined && length !== "0") headers.set("content-length", "0");
    }
    // RFC 9110 §6.6.1: whoever passes on a reply without a date gives it one.
    if (!headers.has("date")) headers.append("date", renderDate(this.#front.clock.now()));
    if (reply.status === 101) headers.delete("sec-websocket-accept");
    // RFC 8441 §4: what HTTP/1.1 says by 101 is a success here.
    const isSent = this.#sendBlock(stream.id, reply.status === 101 ? 200 : reply.status, headers, isEnd);
    if (this.writer.isCongested) this.checkOutbound();
    return isSent;
  }

  render(cause: Failure): Reply {
    return this.#front.render(cause);
  }

  over(exchange: Exchange): void {
    this.#front.observer.exchangeEnded(exchange);
  }

  countPremature(stream: ServerStream): void {
    const { http2 } = this.#front.limits;
    if (this.#front.clock.monotonic() - stream.openedAtMs >= http2.prematureResetMinStreamLifetimeMs) return;
    this.isFlooded(this.guard.premature(http2));
  }

  // What the connection leaves to its sides.

  protected override headersIn(id: number, isEnd: boolean, bytes: Buffer, start: number, end: number): void {
    const stream = this.streams.get(id);
    if (stream !== undefined) return this.#trailers(stream, isEnd, bytes, start, end);
    if ((id & 1) === 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "a client's stream with an even number");
    const isNew = id > this.lastPeerStream;
    const block = this.decode(bytes, start, end, "request");
    if (block === undefined) return undefined;
    if (!isNew) {
      if (!this.wasResetByUs(id)) this.fail(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream");
      return undefined;
    }
    this.lastPeerStream = id;
    if (id > this.#lastServed) {
      if (++this.#strays > STRAYS_MAX) this.fail(ErrorCode.ENHANCE_YOUR_CALM, "streams after GOAWAY");
      return undefined;
    }
    this.guard.streamsOpened++;
    if (this.streams.size >= this.#front.limits.http2.maxConcurrentStreams)
      return this.resetId(id, ErrorCode.REFUSED_STREAM);
    return this.#open(id, isEnd, block);
  }

  protected override isIdleId(id: number): boolean {
    return id > this.lastPeerStream || (id & 1) === 0;
  }

  protected override goAwayIn(): void {
    // The client opens no more streams; those that are open go on, and it closes when they are over.
  }

  protected override settingsChanged(): void {
    // Nothing here depends on them but what was applied.
  }

  protected override pongIn(): void {
    if (this.#drain === "announced") this.#sayLast();
  }

  protected override streamClosed(): void {
    this.#idleSinceMs = 0;
    if (this.#drain === "last_said" && this.streams.size === 0) this.#end();
  }

  protected override resetIn(stream: ServerStream, code: number): void {
    this.forget(stream);
    stream.wasReset(code);
    this.countPremature(stream);
  }

  protected override failureOf(message: string): Failure {
    return failure("downstream_closed", message);
  }

  protected override broken(): void {
    this.#endedAtMs = this.#front.clock.monotonic();
  }

  #sendBlock(id: number, status: number, headers: HeaderMap, isEnd: boolean): boolean {
    const { writer } = this;
    for (let turn = 0; turn < 2; turn++) {
      const start = writer.blockStart();
      const end = this.encoder.encodeReply(writer.out, start, status, headers);
      if (end >= 0) {
        writer.headers(start, end, id, isEnd);
        return true;
      }
      writer.makeRoom();
    }
    return false;
  }

  #trailers(stream: ServerStream, isEnd: boolean, bytes: Buffer, start: number, end: number): void {
    const block = this.decode(bytes, start, end, "trailers");
    if (block === undefined) return undefined;
    if (stream.isInEnded) return stream.broke(ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM");
    if (!isEnd) return stream.broke(ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM");
    if (block.malformed !== "") return stream.broke(ErrorCode.PROTOCOL_ERROR, block.malformed);
    if (block.isTooLarge) return stream.broke(ErrorCode.ENHANCE_YOUR_CALM, "trailers beyond their limit");
    const trailers = new HeaderMap();
    loadBlock(block, trailers);
    return stream.receiveEnd(trailers);
  }

  #open(id: number, isEnd: boolean, block: FieldBlock): void {
    const stream = new ServerStream(this, id, isEnd ? -1 : block.contentLength);
    this.streams.add(stream);
    if (block.malformed !== "" || (isEnd && block.contentLength > 0)) {
      stream.exchange = this.#unreadable();
      stream.openedAtMs = stream.exchange.startedMonoMs;
      const problem = block.malformed === "" ? "content-length without DATA" : block.malformed;
      return stream.broke(ErrorCode.PROTOCOL_ERROR, problem);
    }
    if (block.isTooLarge) {
      stream.exchange = this.#unreadable();
      stream.openedAtMs = stream.exchange.startedMonoMs;
      if (isEnd) stream.receiveEnd(undefined);
      return stream.answer({ ok: false, error: failure("head_too_large", "the head is beyond its limits") });
    }
    return this.#serve(stream, isEnd, block);
  }

  #serve(stream: ServerStream, isEnd: boolean, block: FieldBlock): void {
    const { clock, http, limits, service } = this.#front;
    const headers = new HeaderMap();
    loadBlock(block, headers);
    const isConnect = block.method === "CONNECT";
    const path = isConnect && block.protocol === "" ? "" : normalizePath(block.path, http.pathNormalization);
    const exchange = new Exchange(
      this.#downstream,
      // An extended CONNECT is what HTTP/1.1 asks for with a GET (RFC 8441 §5).
      isConnect && block.protocol !== "" ? "GET" : block.method,
      path ?? block.path,
      block.authority,
      "HTTP/2",
      headers,
      isEnd && !isConnect ? EMPTY_BODY : stream,
      clock,
    );
    stream.exchange = exchange;
    stream.openedAtMs = exchange.startedMonoMs;
    if (isConnect) exchange.upgrade = block.protocol === "" ? "connect" : block.protocol.toLowerCase();
    const expectsContinue = block.expectsContinue && !isEnd;
    if (expectsContinue) {
      stream.expectsContinue = http.expectContinue === "answer";
      exchange.expectsContinue = http.expectContinue === "upstream";
    }
    if (isEnd) stream.receiveEnd(undefined);
    const refused =
      path === undefined
        ? failure("bad_request", `the path ${JSON.stringify(block.path.slice(0, 100))} holds %00`)
        : this.#refusal(exchange, block, expectsContinue && http.expectContinue === "refuse", limits.bodyMaxBytes);
    return refused === undefined ? stream.serve(exchange, service) : stream.answer({ ok: false, error: refused });
  }

  #refusal(exchange: Exchange, block: FieldBlock, isRefused: boolean, bodyMaxBytes: number): Failure | undefined {
    const { upgrade } = exchange;
    // As over HTTP/1.1 (RFC 9110 §9.3.6). Passed on with an upgrade that the upstream refuses, the length would be that of
    // the first bytes of whatever request comes next on its connection.
    if (upgrade !== "" && block.contentLength >= 0) return failure("bad_request", "a CONNECT came with a length");
    if (block.expectsUnknown || isRefused) return failure("expectation_failed", "the expectation cannot be met");
    if (upgrade !== "" && !this.#front.http.upgrades.includes(upgrade))
      return failure("no_route", `CONNECT for ${upgrade} is not allowed here`);
    if (bodyMaxBytes > 0 && block.contentLength > bodyMaxBytes)
      return failure("body_too_large", `the body is ${block.contentLength} bytes, the limit is ${bodyMaxBytes}`);
    return undefined;
  }

  /** What is told of a request that never became one. */
  #unreadable(): Exchange {
    return new Exchange(this.#downstream, "-", "-", "-", "HTTP/2", new HeaderMap(), EMPTY_BODY, this.#front.clock);
  }

  #linger(nowMs: number): void {
    if (this.#isGone) return;
    if (this.#endedAtMs === 0) this.#endedAtMs = nowMs;
    const waitMs = this.writer.isIdle ? LINGER_MS : this.#front.limits.streamIdleTimeoutMs;
    if (waitMs > 0 && nowMs - this.#endedAtMs >= waitMs) this.transport.terminate();
  }

  #sweepStreams(nowMs: number): void {
    const { requestTimeoutMs, streamIdleTimeoutMs } = this.#front.limits;
    if (streamIdleTimeoutMs === 0 && requestTimeoutMs === 0) return;
    for (const stream of this.streams.all()) {
      if (stream.activeAtMs === 0) stream.activeAtMs = nowMs;
      else if (streamIdleTimeoutMs > 0 && nowMs - stream.activeAtMs >= streamIdleTimeoutMs)
        stream.stall(streamIdleTimeoutMs);
      if (requestTimeoutMs > 0 && nowMs - stream.openedAtMs >= requestTimeoutMs) stream.overdue(requestTimeoutMs);
    }
  }

  #sweepIdle(nowMs: number): void {
    const { idleTimeoutMs } = this.#front.limits;
    if (this.#idleSinceMs === 0) this.#idleSinceMs = nowMs;
    else if (idleTimeoutMs > 0 && nowMs - this.#idleSinceMs >= idleTimeoutMs) this.#sayLast();
  }

  /** RFC 9113 §6.8: first "no more", then, a round trip later, which was the last that is served. */
  #sweepDrain(nowMs: number): void {
    if (this.#drain === "no") {
      this.#drain = "announced";
      this.#drainSinceMs = nowMs;
      this.writer.goAway(STREAM_ID_MAX, ErrorCode.NO_ERROR, "");
      this.writer.ping(0, PING_PAYLOAD, 0);
    } else if (this.#drain === "announced" && nowMs - this.#drainSinceMs >= DRAIN_WITHIN_MS) {
      this.#sayLast();
    }
  }

  #sayLast(): void {
    if (this.#drain === "last_said") return;
    this.#drain = "last_said";
    this.#lastServed = this.lastPeerStream;
    this.writer.goAway(this.lastPeerStream, ErrorCode.NO_ERROR, "");
    if (this.streams.size === 0) this.#end();
  }

  #end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#endedAtMs = this.#front.clock.monotonic();
    this.reader.stop();
    this.writer.end();
  }
}
