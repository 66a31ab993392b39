// One upstream HTTP/2 connection: many requests at once. A request that the upstream says it never looked at (GOAWAY,
// REFUSED_STREAM) may go out again; one that it may have looked at fails as its stream or its connection did.
import type { Http2Client as Http2ClientOptions } from "../contract/http2.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { freeChunk } from "./chunk.ts";
import { loadBlock } from "./hpack-block.ts";
import { REPLY_LIMITS } from "./http1-reply-body.ts";
import { ClientStream } from "./http2-client-stream.ts";
import { Http2Connection } from "./http2-connection.ts";
import {
  ENABLE_PUSH,
  ErrorCode,
  HEADER_TABLE_SIZE,
  MAX_FRAME_SIZE,
  MAX_HEADER_LIST_SIZE,
  PREFACE,
  STREAM_ID_MAX,
} from "./http2-frames.ts";
import type { Transport } from "./socket-writer.ts";
import type { Requester, Sending, UpstreamClient } from "./upstream-client.ts";

/** Streams opened before the peer has said how many it takes: RFC 9113 §6.5.2 asks it for no fewer. */
const UNSAID_STREAMS = 100;
/** After GOAWAY and FIN, the upstream has this long to close its side. */
const LINGER_MS = 5000;

/** What connections to one cluster tell each other. */
export interface PeerMemory {
  /** Streams that the upstream took at once when it last said so; what a new connection counts on until it says it too. */
  streamsMax: number;
}

/** A memory of nothing. */
export function newPeerMemory(): PeerMemory {
  return { streamsMax: UNSAID_STREAMS };
}

/** Who pools the connection. */
export interface Http2ClientOwner {
  /** It may take more requests than before, or no more at all. */
  roomChanged(): void;
}

/** The client side of one HTTP/2 connection. */
export class Http2Client extends Http2Connection<ClientStream> implements UpstreamClient {
  requests = 0;
  readonly mayRefuse = true;
  readonly localAddress: string;
  readonly #owner: Http2ClientOwner;
  readonly #streamsMax: number;
  readonly #memory: PeerMemory;
  #nextId = 1;
  #isRetired = false;
  #isGone = false;
  #linger: ReturnType<typeof setTimeout> | undefined = undefined;

  constructor(
    transport: Transport,
    localAddress: string,
    options: Http2ClientOptions,
    memory: PeerMemory,
    owner: Http2ClientOwner,
  ) {
    // One stream's reader, slow as it may be, must not hold the window that all the others share.
    super(transport, options, REPLY_LIMITS, true);
    this.localAddress = localAddress;
    this.#owner = owner;
    this.#memory = memory;
    this.#streamsMax = options.maxConcurrentStreams;
    this.writer.raw(PREFACE);
    const settings: [number, number][] = [
      [ENABLE_PUSH, 0],
      [MAX_HEADER_LIST_SIZE, REPLY_LIMITS.headMaxBytes],
    ];
    if (options.maxFrameBytes !== 16_384) settings.push([MAX_FRAME_SIZE, options.maxFrameBytes]);
    if (options.hpackTableBytes !== 4096) settings.push([HEADER_TABLE_SIZE, options.hpackTableBytes]);
    this.writer.settings(settings);
    this.openWindow();
  }

  get isOpen(): boolean {
    return !this.isOver;
  }

  get isIdle(): boolean {
    return this.streams.size === 0;
  }

  get room(): number {
    if (this.isOver || this.#isRetired || this.#nextId >= STREAM_ID_MAX) return 0;
    const peerMax = this.hasSettings ? this.peer.maxConcurrentStreams : this.#memory.streamsMax;
    return Math.min(this.#streamsMax, peerMax) - this.streams.size;
  }

  send(exchange: Exchange, requester: Requester): Sending {
    const id = this.#nextId;
    const stream = new ClientStream(this, id, exchange, requester);
    this.#nextId = id + 2;
    this.requests++;
    this.guard.streamsOpened++;
    this.streams.add(stream);
    const isEnd = exchange.body.lengthBytes === 0 && exchange.upgrade === "";
    const problem = this.#writeHead(id, exchange, isEnd);
    if (problem === undefined) {
      stream.sent(isEnd);
    } else {
      this.forget(stream);
      stream.lost(problem);
    }
    return stream;
  }

  /** Takes no more requests; says so, and closes, when the last is over. */
  retire(): void {
    this.#isRetired = true;
    if (this.streams.size === 0) this.#end();
  }

  /** Closes it now. */
  close(): void {
    if (this.streams.size === 0) return this.#end();
    this.transport.terminate();
    return this.closed();
  }

  data(chunk: Buffer): void {
    if (this.isOver) return;
    this.isActive = true;
    this.reader.feed(chunk, 0);
    freeChunk(chunk);
  }

  drained(): void {
    this.isActive = true;
    this.writer.drained();
  }

  /** The upstream sent FIN: what it has not answered it will not. */
  ended(): void {
    this.transport.end();
  }

  closed(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#linger);
    this.isOver = true;
    this.reader.stop();
    this.writer.closed();
    this.loseAll("the upstream closed the connection");
  }

  sweep(nowMs: number): void {
    this.guard.swept();
    if (!this.isOver) this.sweepKeepalive(nowMs);
  }

  // What the connection leaves to its sides.

  protected override headersIn(id: number, isEnd: boolean, bytes: Buffer, start: number, end: number): void {
    const stream = this.streams.get(id);
    const isTrailers = stream?.isReplied ?? false;
    const block = this.decode(bytes, start, end, isTrailers ? "trailers" : "reply");
    if (block === undefined) return undefined;
    if (stream === undefined) {
      if (this.isIdleId(id)) this.fail(ErrorCode.PROTOCOL_ERROR, "HEADERS on an idle stream");
      else if (!this.wasResetByUs(id)) this.fail(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream");
      return undefined;
    }
    if (stream.isInEnded) return stream.broke(ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM");
    if (!isTrailers) return stream.replyIn(block, isEnd);
    if (!isEnd) return stream.broke(ErrorCode.PROTOCOL_ERROR, "trailers without END_STREAM");
    if (block.malformed !== "") return stream.broke(ErrorCode.PROTOCOL_ERROR, block.malformed);
    if (block.isTooLarge) return stream.broke(ErrorCode.ENHANCE_YOUR_CALM, "trailers beyond their limit");
    const trailers = new HeaderMap();
    loadBlock(block, trailers);
    return stream.receiveEnd(trailers);
  }

  protected override isIdleId(id: number): boolean {
    return id >= this.#nextId || (id & 1) === 0;
  }

  protected override goAwayIn(lastStreamId: number, code: number, debug: string): void {
    this.#isRetired = true;
    const refused = failure("upstream_closed", `GOAWAY ${code} ${debug}`, "always");
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId) continue;
      this.forget(stream);
      stream.lost(refused);
    }
    if (this.streams.size === 0) this.#end();
    this.#owner.roomChanged();
  }

  protected override settingsChanged(): void {
    this.#memory.streamsMax = Math.max(1, this.peer.maxConcurrentStreams);
    this.#owner.roomChanged();
  }

  protected override pongIn(): void {
    // That it came is all that was asked.
  }

  protected override streamClosed(): void {
    if (this.#isRetired && this.streams.size === 0) this.#end();
  }

  protected override resetIn(stream: ClientStream, code: number): void {
    this.forget(stream);
    stream.wasReset(code);
  }

  /** Nothing of a reply came: the request may never have been read. */
  protected override failureOf(message: string): Failure {
    return failure("upstream_closed", message, "if_reused");
  }

  protected override broken(): void {
    this.#awaitClose();
    this.#owner.roomChanged();
  }

  #writeHead(id: number, exchange: Exchange, isEnd: boolean): Failure | undefined {
    const { writer } = this;
    const { upgrade } = exchange;
    let head: Parameters<typeof this.encoder.encodeRequest>[2] = exchange;
    let protocol = "";
    if (upgrade !== "") {
      if (upgrade !== "connect" && this.hasSettings && !this.peer.allowsConnectProtocol)
        return failure("upstream_protocol", `the upstream takes no extended CONNECT, and ${upgrade} was asked for`);
      const { path, scheme, authority, headers } = exchange;
      head = { method: "CONNECT", path, scheme, authority, headers };
      if (upgrade !== "connect") protocol = upgrade;
    }
    if (exchange.expectsContinue) exchange.headers.set("expect", "100-continue");
    for (let turn = 0; turn < 2; turn++) {
      const start = writer.blockStart();
      const end = this.encoder.encodeRequest(writer.out, start, head, protocol);
      if (end >= 0) {
        writer.headers(start, end, id, isEnd);
        return undefined;
      }
      writer.makeRoom();
    }
    return failure("internal", "the request's head is larger than the send buffer");
  }

  #end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.reader.stop();
    this.writer.goAway(0, ErrorCode.NO_ERROR, "");
    this.writer.end();
    this.#awaitClose();
    this.#owner.roomChanged();
  }

  /** By a timer, as nobody sweeps the pool of a generation that is over. */
  #awaitClose(): void {
    if (!this.#isGone) this.#linger = setTimeout(() => this.transport.terminate(), LINGER_MS).unref();
  }
}
