// What both sides of an HTTP/2 connection do alike (RFC 9113): frames are checked and told apart, settings applied, pings
// answered, windows kept, header blocks joined within a bound. A rule that concerns one stream costs that stream, every
// other one the connection: HPACK and flow control are of the connection as a whole, and cannot be guessed at.
import type { Http2Options } from "../contract/http2.ts";
import type { Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import type { BlockKind, FieldBlock } from "./hpack-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import type { HeadLimits } from "./http1-grammar.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  DEFAULT_WINDOW_BYTES,
  END_HEADERS,
  END_STREAM,
  ErrorCode,
  GOAWAY,
  HEADERS,
  PADDED,
  PING,
  PRIORITY,
  PRIORITY_FLAG,
  PUSH_PROMISE,
  readUint31,
  readUint32,
  RST_STREAM,
  SETTINGS,
  WINDOW_MAX_BYTES,
  WINDOW_UPDATE,
} from "./http2-frames.ts";
import { FloodGuard } from "./http2-guards.ts";
import { FrameReader, type FrameHandler } from "./http2-reader.ts";
import { PeerSettings } from "./http2-settings.ts";
import { StreamRing } from "./http2-stream-ring.ts";
import type { Http2Stream, StreamConnection } from "./http2-stream.ts";
import { FrameWriter } from "./http2-writer.ts";
import type { Transport } from "./socket-writer.ts";

/** Streams that were reset and may still have frames in flight, remembered. */
const RESETS_REMEMBERED = 128;
/** What is left of a PRIORITY field in a HEADERS frame. */
const PRIORITY_BYTES = 5;
const NOTHING = Buffer.alloc(0);
/** What our PINGs carry. */
export const PING_PAYLOAD: Buffer = Buffer.from("vespid\0\0", "latin1");
/** CONTINUATION frames of one block: what a block of the allowed size needs at the smallest frame that any sender makes. */
const CONTINUATIONS_MAX = 64;

/** What a stream that SETTINGS gives another window costs, in frames that cost nothing else. */
const STREAM_WEIGHT = 1 / 16;
/** Windows of one upstream connection together, where they are larger than they were at first. */
const OPEN_WINDOWS_BYTES = 16 * 1024 * 1024;
/** What waits for the windows of all peers together; beyond it, none may have more waiting than its fair share. */
const HELD_MAX_BYTES = 256 * 1024 * 1024;
const FAIR_SHARE_BYTES = 1024 * 1024;
let heldByAllBytes = 0;

/** One connection, seen from either side. */
export abstract class Http2Connection<S extends Http2Stream> implements FrameHandler, StreamConnection {
  readonly writer: FrameWriter;
  readonly firstStreamWindow: number;
  /** What the peer still takes over all streams. */
  sendWindow = DEFAULT_WINDOW_BYTES;
  /** Nothing more is read: the connection broke a rule, or is closed. */
  isOver = false;

  protected readonly transport: Transport;
  protected readonly options: Http2Options;
  protected readonly reader: FrameReader;
  protected readonly encoder: HpackEncoder = new HpackEncoder();
  protected readonly peer: PeerSettings = new PeerSettings();
  protected readonly guard: FloodGuard;
  protected readonly streams: StreamRing<S> = new StreamRing<S>();
  /** The highest stream that the peer has opened. */
  protected lastPeerStream = 0;
  /** A PING of ours is unanswered; monotonic, 0 where none is. */
  protected pingedAtMs = 0;
  /** Bytes came since the last sweep. */
  protected isActive = true;

  readonly #decoder: HpackDecoder;
  readonly #ownWindow: number;
  readonly #isWindowOpen: boolean;
  #receiveWindow: number;
  #uncredited = 0;
  /** Bytes of all streams that wait for a window. */
  #heldBytes = 0;
  #hasSettings = false;
  /** The DATA frame that is being read: its stream, where that takes it, and what of it was not content. */
  #dataStream: S | undefined = undefined;
  #dataRest = 0;
  /** The stream whose header block is not whole; 0 where none is. */
  #blockStream = 0;
  #blockFlags = 0;
  #block: Buffer[] = [];
  #blockBytes = 0;
  readonly #blockMaxBytes: number;
  /** Nothing before the first: most connections reset no stream. */
  #resets: Int32Array | undefined = undefined;
  #resetCount = 0;
  /** Monotonic; since when nothing came, to the sweep's precision. */
  #quietSinceMs = 0;
  #blocked: S[] = [];
  #draining: Http2Stream[] = [];

  /**
   * With `isWindowOpen`, what comes is given back at once on the connection, and only streams bound what is held. They
   * begin with the window that HTTP/2 has by default, so that many whose reader never reads hold little.
   */
  constructor(transport: Transport, options: Http2Options, limits: HeadLimits, isWindowOpen = false) {
    this.transport = transport;
    this.options = options;
    this.#isWindowOpen = isWindowOpen;
    this.writer = new FrameWriter(transport);
    this.writer.onDrain = () => this.#onDrain();
    this.reader = new FrameReader(this);
    this.guard = new FloodGuard(options);
    this.firstStreamWindow = isWindowOpen ? DEFAULT_WINDOW_BYTES : options.initialStreamWindowBytes;
    this.#ownWindow = options.initialConnectionWindowBytes;
    this.#receiveWindow = this.#ownWindow;
    // Compression cannot make a block larger than its fields; padding and table updates are little.
    this.#blockMaxBytes = limits.headMaxBytes + 1024;
    this.#decoder = new HpackDecoder(limits);
  }

  get peerStreamWindow(): number {
    return this.peer.initialWindowBytes;
  }

  /** The part of a header block that has come waits for its rest. */
  protected get isMidBlock(): boolean {
    return this.#blockStream !== 0;
  }

  protected get hasSettings(): boolean {
    return this.#hasSettings;
  }

  /** Opens the connection's own window beyond what every connection begins with. */
  protected openWindow(): void {
    const more = this.#ownWindow - DEFAULT_WINDOW_BYTES;
    if (more > 0) this.writer.windowUpdate(0, more);
  }

  // What streams ask.

  credit(bytes: number): void {
    if (!this.#isWindowOpen) this.#credit(bytes);
  }

  #credit(bytes: number): void {
    this.#uncredited += bytes;
    if (this.#uncredited * 2 < this.#ownWindow || this.isOver) return;
    this.#receiveWindow += this.#uncredited;
    this.writer.windowUpdate(0, this.#uncredited);
    this.#uncredited = 0;
  }

  dataSent(frames: number): void {
    this.guard.dataFramesSent += frames;
    if (this.writer.isCongested) this.checkOutbound();
  }

  block(stream: Http2Stream): void {
    if (stream.isBlocked) return;
    stream.isBlocked = true;
    const own = this.streams.get(stream.id);
    if (own !== undefined) this.#blocked.push(own);
  }

  awaitDrain(stream: Http2Stream): void {
    if (!this.#draining.includes(stream)) this.#draining.push(stream);
  }

  /** What a stream's window grows to: many streams share what few may have each. */
  get openStreamWindow(): number {
    const { initialStreamWindowBytes } = this.options;
    if (!this.#isWindowOpen) return initialStreamWindowBytes;
    return Math.min(initialStreamWindowBytes, Math.floor(OPEN_WINDOWS_BYTES / this.streams.size));
  }

  hold(bytes: number): boolean {
    this.#heldBytes += bytes;
    heldByAllBytes += bytes;
    const waitingBytes = this.#heldBytes + this.writer.queuedBytes;
    return waitingBytes <= this.heldMaxBytes && (heldByAllBytes <= HELD_MAX_BYTES || waitingBytes <= FAIR_SHARE_BYTES);
  }

  /** What may wait for the peer. Towards an upstream it is bounded by what downstream connections may send. */
  protected get heldMaxBytes(): number {
    return Infinity;
  }

  sendTrailers(stream: Http2Stream, trailers: HeaderMap): void {
    const { writer } = this;
    for (let turn = 0; turn < 2; turn++) {
      const start = writer.blockStart();
      const end = this.encoder.encodeTrailers(writer.out, start, trailers);
      // Empty trailers end a stream as no trailers do.
      if (end === start) break;
      if (end > start) return writer.headers(start, end, stream.id, true);
      writer.makeRoom();
    }
    return writer.endData(stream.id);
  }

  forget(stream: Http2Stream): void {
    if (this.#dataStream === stream) this.#dataStream = undefined;
    const own = this.streams.get(stream.id);
    if (own !== undefined) this.streams.delete(own);
    stream.drop();
    this.streamClosed();
  }

  reset(stream: Http2Stream, code: number): void {
    if (stream.isClosed) return;
    this.resetId(stream.id, code);
    this.forget(stream);
  }

  /** Resets a stream, known or not; frames of it that are in flight are nobody's fault. */
  protected resetId(id: number, code: number): void {
    this.#resets ??= new Int32Array(RESETS_REMEMBERED);
    this.#resets[this.#resetCount++ % RESETS_REMEMBERED] = id;
    this.writer.reset(id, code);
    this.checkOutbound();
  }

  protected wasResetByUs(id: number): boolean {
    return this.#resets?.includes(id) ?? false;
  }

  // What the two sides do differently.

  /** A whole header block came; `isEnd` is END_STREAM. */
  protected abstract headersIn(id: number, isEnd: boolean, bytes: Buffer, start: number, end: number): void;
  /** Whether that stream was never opened (RFC 9113 §5.1): frames on it are the connection's fault. */
  protected abstract isIdleId(id: number): boolean;
  protected abstract goAwayIn(lastStreamId: number, code: number, debug: string): void;
  protected abstract settingsChanged(): void;
  protected abstract pongIn(): void;
  /** One stream less. */
  protected abstract streamClosed(): void;
  /** A peer reset a stream that is open. */
  protected abstract resetIn(stream: S, code: number): void;
  /** The connection is over; what its streams are told. */
  protected abstract failureOf(message: string): Failure;

  // Frames.

  begins(lengthBytes: number, type: number, flags: number, streamId: number): boolean {
    if (lengthBytes > this.options.maxFrameBytes)
      return this.fail(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${lengthBytes} bytes`);
    if (!this.#hasSettings && (type !== SETTINGS || (flags & ACK) !== 0))
      return this.fail(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    // RFC 9113 §6.10: nothing comes between the frames of one block.
    if (this.#blockStream !== 0 && (type !== CONTINUATION || streamId !== this.#blockStream))
      return this.fail(ErrorCode.PROTOCOL_ERROR, "a frame inside a header block");
    const isUseless =
      (type === DATA && lengthBytes === 0 && (flags & END_STREAM) === 0) ||
      ((type === HEADERS || type === CONTINUATION) && lengthBytes === 0 && (flags & END_HEADERS) === 0);
    if (type === DATA || type === HEADERS || type === CONTINUATION) return this.#calm(this.guard.framed(isUseless));
    return true;
  }

  dataBegins(_flags: number, streamId: number, lengthBytes: number): void {
    this.#dataStream = undefined;
    this.#dataRest = lengthBytes;
    if (streamId === 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0");
    this.#receiveWindow -= lengthBytes;
    if (this.#receiveWindow < 0)
      return void this.fail(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window");
    if (this.#isWindowOpen) this.#credit(lengthBytes);
    const stream = this.streams.get(streamId);
    if (stream === undefined) return this.#strayData(streamId);
    if (stream.isInEnded) {
      stream.broke(ErrorCode.STREAM_CLOSED, "DATA after END_STREAM");
      return undefined;
    }
    if (!stream.admits(lengthBytes)) {
      stream.broke(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window");
      return undefined;
    }
    this.#dataStream = stream;
    return undefined;
  }

  dataPiece(bytes: Buffer, start: number, end: number): void {
    this.#dataRest -= end - start;
    if (this.#dataStream === undefined) this.credit(end - start);
    else this.#dataStream.receive(bytes, start, end);
  }

  dataEnds(flags: number): void {
    const stream = this.#dataStream;
    this.#dataStream = undefined;
    // Padding counts as DATA does, and nobody takes it.
    if (this.#dataRest > 0) {
      if (stream === undefined) this.credit(this.#dataRest);
      else stream.credit(this.#dataRest);
    }
    if (stream !== undefined && (flags & END_STREAM) !== 0) stream.receiveEnd(undefined);
  }

  badPadding(): void {
    this.fail(ErrorCode.PROTOCOL_ERROR, "padding longer than its frame");
  }

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case HEADERS:
        return this.#headersFrame(flags, streamId, bytes, start, end);
      case CONTINUATION:
        return this.#continuation(flags, bytes, start, end);
      case WINDOW_UPDATE:
        return this.#windowUpdate(streamId, bytes, start, end);
      case RST_STREAM:
        return this.#reset(streamId, bytes, start, end);
      case SETTINGS:
        return this.#settings(flags, streamId, bytes, start, end);
      case PING:
        return this.#ping(flags, streamId, bytes, start, end);
      case PRIORITY:
        return this.#priority(streamId, bytes, start, end);
      case GOAWAY:
        if (streamId !== 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream");
        if (end - start < 8) return void this.fail(ErrorCode.FRAME_SIZE_ERROR, "a short GOAWAY");
        return this.goAwayIn(
          readUint31(bytes, start),
          readUint32(bytes, start + 4),
          bytes.latin1Slice(start + 8, Math.min(end, start + 8 + 100)),
        );
      case PUSH_PROMISE:
        // A client must not send one, and as a client we have said that we take none (RFC 9113 §8.4).
        return void this.fail(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE");
      default:
        // RFC 9113 §5.5: unknown frames are for extensions that nobody agreed on.
        return undefined;
    }
  }

  /** Decodes a block; `undefined` where it breaks the connection, which was then ended. */
  protected decode(bytes: Buffer, start: number, end: number, kind: BlockKind): FieldBlock | undefined {
    const block = this.#decoder.decode(bytes, start, end, kind);
    if (block === undefined) this.fail(ErrorCode.COMPRESSION_ERROR, "a header block that cannot be decoded");
    return block;
  }

  /** Ends the connection: GOAWAY, every stream is told, then the socket closes. Always false. */
  protected fail(code: ErrorCode, message: string): false {
    if (this.isOver) return false;
    this.isOver = true;
    this.reader.stop();
    this.writer.goAway(this.lastPeerStream, code, message);
    this.writer.end();
    this.loseAll(message);
    this.broken();
    // A peer that does not read is not waited for: what it has not read would stay here.
    if (this.writer.isCongested) this.transport.terminate();
    return false;
  }

  /** The connection was ended by a rule. */
  protected abstract broken(): void;

  /** Every stream ends with the connection. */
  protected loseAll(message: string): void {
    const gone = this.failureOf(message);
    for (const stream of this.streams.all()) {
      this.forget(stream);
      stream.lost(gone);
    }
  }

  /** Asks a peer that was silent whether it is still there, and ends the connection where it does not say so. */
  protected sweepKeepalive(nowMs: number): void {
    const { connectionKeepaliveIntervalMs, connectionKeepaliveTimeoutMs } = this.options;
    if (connectionKeepaliveIntervalMs === 0) return;
    if (this.isActive) {
      this.isActive = false;
      this.#quietSinceMs = nowMs;
    } else if (this.pingedAtMs > 0) {
      if (nowMs - this.pingedAtMs >= connectionKeepaliveTimeoutMs) this.transport.terminate();
    } else if (nowMs - this.#quietSinceMs >= connectionKeepaliveIntervalMs) {
      this.pingedAtMs = nowMs;
      this.writer.ping(0, PING_PAYLOAD, 0);
    }
  }

  /** False, and the connection is ended, where there is a flood. */
  #calm(flood: string): boolean {
    return flood === "" || this.fail(ErrorCode.ENHANCE_YOUR_CALM, `too many ${flood}`);
  }

  protected isFlooded(flood: string): boolean {
    return !this.#calm(flood);
  }

  protected checkOutbound(): void {
    const { writer } = this;
    // Streams that hold too much were reset before; it is heads that come here.
    if (writer.queuedBytes > 2 * this.heldMaxBytes) return void this.#calm("bytes that are not read");
    if (this.guard.outbound(writer.queuedFrames, writer.queuedControlFrames) === "") return undefined;
    // What was written in this turn has not been offered yet.
    writer.flush();
    return void this.#calm(this.guard.outbound(writer.queuedFrames, writer.queuedControlFrames));
  }

  /** DATA for a stream that is not open: in flight when it was reset, or a fault. */
  #strayData(id: number): void {
    if (this.isIdleId(id)) this.fail(ErrorCode.PROTOCOL_ERROR, "DATA on an idle stream");
    else if (!this.wasResetByUs(id)) this.resetId(id, ErrorCode.STREAM_CLOSED);
  }

  #headersFrame(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    let from = start;
    let to = end;
    if (streamId === 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0");
    if ((flags & PADDED) !== 0) {
      to -= bytes[from++] ?? 0;
      if (start === end || to < from) return void this.fail(ErrorCode.PROTOCOL_ERROR, "padding longer than its frame");
    }
    let isSelfish = false;
    if ((flags & PRIORITY_FLAG) !== 0) {
      if (to - from < PRIORITY_BYTES) return void this.fail(ErrorCode.FRAME_SIZE_ERROR, "a short HEADERS");
      isSelfish = readUint31(bytes, from) === streamId;
      from += PRIORITY_BYTES;
    }
    // RFC 9113 has no priorities any more; RFC 7540 §5.3.1 made this an error, and no honest client does it.
    if (isSelfish) return void this.fail(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself");
    if ((flags & END_HEADERS) !== 0) return this.headersIn(streamId, (flags & END_STREAM) !== 0, bytes, from, to);
    this.#blockStream = streamId;
    this.#blockFlags = flags;
    this.#blockBytes = 0;
    this.#keepBlock(bytes, from, to);
    return undefined;
  }

  #continuation(flags: number, bytes: Buffer, start: number, end: number): void {
    if (this.#blockStream === 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    if (!this.#keepBlock(bytes, start, end) || (flags & END_HEADERS) === 0) return undefined;
    const block = this.#block.length === 1 ? (this.#block[0] ?? NOTHING) : Buffer.concat(this.#block);
    const id = this.#blockStream;
    this.#blockStream = 0;
    this.#block = [];
    return this.headersIn(id, (this.#blockFlags & END_STREAM) !== 0, block, 0, block.length);
  }

  /** Keeps a part of a block; false, and the connection ends, where it is beyond the bound (CVE-2024-27316 and its kin). */
  #keepBlock(bytes: Buffer, start: number, end: number): boolean {
    this.#blockBytes += end - start;
    if (this.#blockBytes > this.#blockMaxBytes || this.#block.length > CONTINUATIONS_MAX)
      return this.fail(ErrorCode.ENHANCE_YOUR_CALM, "a header block beyond its limit");
    this.#block.push(Buffer.from(bytes.subarray(start, end)));
    return true;
  }

  #windowUpdate(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) return void this.fail(ErrorCode.FRAME_SIZE_ERROR, "a WINDOW_UPDATE that is not 4 bytes");
    if (!this.#calm(this.guard.windowUpdate())) return undefined;
    const increment = readUint31(bytes, start);
    if (streamId === 0) {
      if (increment === 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "a WINDOW_UPDATE of 0");
      this.sendWindow += increment;
      if (this.sendWindow > WINDOW_MAX_BYTES)
        return void this.fail(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is beyond 2^31 - 1");
      this.#pumpBlocked();
      return undefined;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isIdleId(streamId)) this.fail(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
      return undefined;
    }
    if (increment === 0) stream.broke(ErrorCode.PROTOCOL_ERROR, "a WINDOW_UPDATE of 0");
    else if (!stream.grow(increment))
      stream.broke(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is beyond 2^31 - 1");
    else if (stream.hasPending) this.#pumpBlocked();
    return undefined;
  }

  #reset(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) return void this.fail(ErrorCode.FRAME_SIZE_ERROR, "a RST_STREAM that is not 4 bytes");
    if (streamId === 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on stream 0");
    const stream = this.streams.get(streamId);
    if (stream !== undefined) return this.resetIn(stream, readUint32(bytes, start));
    if (this.isIdleId(streamId)) this.fail(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream");
    return undefined;
  }

  #settings(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream");
    if ((flags & ACK) !== 0) {
      if (end !== start) this.fail(ErrorCode.FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with payload");
      return undefined;
    }
    if (!this.#calm(this.guard.control())) return undefined;
    const before = this.peer.initialWindowBytes;
    const problem = this.peer.apply(bytes, start, end);
    if (problem !== undefined) return void this.fail(problem.code, problem.message);
    this.#hasSettings = true;
    this.encoder.setPeerTableMax(this.peer.headerTableBytes);
    this.writer.frameMaxBytes = this.peer.frameMaxBytes;
    this.writer.settingsAck();
    this.checkOutbound();
    const change = this.peer.initialWindowBytes - before;
    if (change !== 0) {
      // Each stream is gone through, and may send a byte: 15 bytes of a client's cost 0.2 ms where it has 1000 open.
      if (!this.#calm(this.guard.control(this.streams.size * STREAM_WEIGHT))) return undefined;
      for (const stream of this.streams.all()) {
        if (!stream.grow(change))
          return void this.fail(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is beyond 2^31 - 1");
      }
      this.#pumpBlocked();
    }
    this.settingsChanged();
    return undefined;
  }

  #ping(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId !== 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "PING on a stream");
    if (end - start !== 8) return void this.fail(ErrorCode.FRAME_SIZE_ERROR, "a PING that is not 8 bytes");
    if ((flags & ACK) !== 0) {
      this.pingedAtMs = 0;
      this.pongIn();
      return undefined;
    }
    if (!this.#calm(this.guard.control())) return undefined;
    this.writer.ping(ACK, bytes, start);
    this.checkOutbound();
    return undefined;
  }

  #priority(streamId: number, bytes: Buffer, start: number, end: number): void {
    if (streamId === 0) return void this.fail(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0");
    if (!this.#calm(this.guard.priority())) return undefined;
    const stream = this.streams.get(streamId);
    const isShort = end - start !== PRIORITY_BYTES;
    if (!isShort && readUint31(bytes, start) !== streamId) return undefined;
    const code = isShort ? ErrorCode.FRAME_SIZE_ERROR : ErrorCode.PROTOCOL_ERROR;
    const message = isShort ? "a PRIORITY that is not 5 bytes" : "a stream that depends on itself";
    if (stream === undefined) this.fail(code, message);
    else stream.broke(code, message);
    return undefined;
  }

  /** Sends what the windows take now, each stream in its turn. */
  #pumpBlocked(): void {
    if (this.#blocked.length === 0) return;
    const blocked = this.#blocked;
    this.#blocked = [];
    for (const stream of blocked) {
      stream.isBlocked = false;
      if (!stream.isClosed && !stream.pump()) this.block(stream);
    }
  }

  #onDrain(): void {
    const draining = this.#draining;
    this.#draining = [];
    for (const stream of draining) if (!stream.isClosed) stream.source?.resume();
  }
}
