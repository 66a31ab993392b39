// Frames on their way into one socket. All that one turn of the loop writes on a connection, whichever of its streams it
// belongs to and whichever sockets it came from, leaves in one system call: a connection that has something to say takes a
// buffer, and once every socket that was ready has been read, each such buffer is sent and put back. Microtasks run after
// each socket's callback, which is too early: requests of two hundred connections would go upstream in as many writes.
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  FRAME_HEAD_BYTES,
  GOAWAY,
  HEADERS,
  PING,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
  writeFrameHead,
  writeUint32,
  DEFAULT_FRAME_MAX_BYTES,
} from "./http2-frames.ts";
import { SocketQueue } from "./socket-queue.ts";
import type { Transport } from "./socket-writer.ts";

/** Replies of a few streams; whoever writes more goes on in a large one. Hundreds of connections may write in one turn. */
const SMALL_BYTES = 4 * 1024;
const LARGE_BYTES = 64 * 1024;
/** Where a header block begins, so much is free: nearly every one fits. */
const BLOCK_BYTES = 1024;
/** Buffers that are kept for the next turn. */
const SPARE_SMALL_MAX = 256;
const SPARE_LARGE_MAX = 8;
const NO_BYTES = Buffer.alloc(0);

const spareSmall: Buffer[] = [];
const spareLarge: Buffer[] = [];
let dirty: FrameWriter[] = [];
let flushing: FrameWriter[] = [];
let isFlushDue = false;

function flushDirty(): void {
  isFlushDue = false;
  const writers = dirty;
  dirty = flushing;
  flushing = writers;
  for (const writer of writers) writer.flush();
  writers.length = 0;
}

/** Writes frames to one socket, in order. */
export class FrameWriter {
  /** Everything that waited was sent, after `isCongested` was true. */
  onDrain: (() => void) | undefined = undefined;
  /** The largest payload that the peer takes. */
  frameMaxBytes = DEFAULT_FRAME_MAX_BYTES;
  /** Frames written since the socket last took everything; what Envoy bounds as outbound frames. */
  queuedFrames = 0;
  /** Those of them that only answer the peer's own frames: acknowledgements and resets. */
  queuedControlFrames = 0;

  readonly #queue: SocketQueue;
  #out: Buffer = NO_BYTES;
  #position = 0;
  #isDirty = false;
  /** Where the last frame begins, if it is DATA and still here; -1 where not. */
  #lastDataAt = -1;
  #lastDataStream = 0;

  constructor(transport: Transport) {
    this.#queue = new SocketQueue(transport);
  }

  /** The socket does not take what was sent already: whoever can wait should. */
  get isCongested(): boolean {
    return this.#queue.queuedBytes > 0;
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  get isIdle(): boolean {
    return this.#queue.queuedBytes === 0 && this.#position === 0;
  }

  /** Raw bytes: the preface. */
  raw(bytes: Buffer): void {
    const at = this.#room(bytes.length);
    this.#position = at + bytes.copy(this.#out, at);
  }

  settings(pairs: readonly (readonly [number, number])[]): void {
    let at = this.#frame(pairs.length * 6, SETTINGS, 0, 0);
    for (const [id, value] of pairs) {
      this.#out[at] = id >>> 8;
      this.#out[at + 1] = id;
      at = writeUint32(this.#out, at + 2, value);
    }
  }

  settingsAck(): void {
    this.#frame(0, SETTINGS, ACK, 0);
    this.#control();
  }

  /** `payload` is eight bytes. */
  ping(flags: number, payload: Buffer, start: number): void {
    const at = this.#frame(8, PING, flags, 0);
    payload.copy(this.#out, at, start, start + 8);
    if (flags === ACK) this.#control();
  }

  windowUpdate(streamId: number, increment: number): void {
    const at = this.#frame(4, WINDOW_UPDATE, 0, streamId);
    writeUint32(this.#out, at, increment);
  }

  reset(streamId: number, code: number): void {
    const at = this.#frame(4, RST_STREAM, 0, streamId);
    writeUint32(this.#out, at, code);
    this.#control();
  }

  goAway(lastStreamId: number, code: number, debug: string): void {
    const at = this.#frame(8 + debug.length, GOAWAY, 0, 0);
    writeUint32(this.#out, writeUint32(this.#out, at, lastStreamId), code);
    this.#out.latin1Write(debug, at + 8);
  }

  /** Where a header block may be written in `out`; an encoder that finds too little room calls `makeRoom` and asks again. */
  blockStart(): number {
    return this.#room(BLOCK_BYTES) + FRAME_HEAD_BYTES;
  }

  /** Sends what was gathered, and takes as large a buffer as there is. */
  makeRoom(): void {
    this.flush();
    this.#out = spareLarge.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES);
  }

  /** The buffer, for encoders; another one after each flush. */
  get out(): Buffer {
    return this.#out;
  }

  /** A block lies in `out` from `block` to `end`: puts frame heads to it, as many as the peer's limit asks for. */
  headers(block: number, end: number, streamId: number, isEnd: boolean): void {
    const at = block - FRAME_HEAD_BYTES;
    const flags = isEnd ? END_STREAM : 0;
    this.#lastDataAt = -1;
    this.queuedFrames++;
    if (end - block <= this.frameMaxBytes) {
      writeFrameHead(this.#out, at, end - block, HEADERS, flags | END_HEADERS, streamId);
      this.#position = end;
      return;
    }
    const bytes = Buffer.from(this.#out.subarray(block, end));
    let type = HEADERS;
    for (let from = 0; from < bytes.length; from += this.frameMaxBytes) {
      const to = Math.min(from + this.frameMaxBytes, bytes.length);
      const last = to === bytes.length ? END_HEADERS : 0;
      const payload = this.#frame(to - from, type, last | (type === HEADERS ? flags : 0), streamId);
      bytes.copy(this.#out, payload, from, to);
      type = CONTINUATION;
    }
  }

  /** DATA in as many frames as the peer's limit asks for; `end - start` is within both windows. Returns the number of frames. */
  data(streamId: number, bytes: Buffer, start: number, end: number): number {
    let frames = 0;
    let from = start;
    while (from < end) {
      // A frame that fits what is left of the buffer saves a write, unless it would be a splinter.
      const left = this.#out.length - this.#position - FRAME_HEAD_BYTES;
      const isNearlyFull = this.#out.length === LARGE_BYTES && left >= SPLINTER_BYTES;
      const most = isNearlyFull ? Math.min(this.frameMaxBytes, left) : this.frameMaxBytes;
      const length = Math.min(end - from, most, LARGE_BYTES - FRAME_HEAD_BYTES);
      const at = this.#frame(length, DATA, 0, streamId);
      bytes.copy(this.#out, at, from, from + length);
      this.#lastDataAt = at - FRAME_HEAD_BYTES;
      this.#lastDataStream = streamId;
      from += length;
      frames++;
    }
    return frames;
  }

  /** Ends a stream: on its last DATA frame where that has not left yet. */
  endData(streamId: number): void {
    if (this.#lastDataAt >= 0 && this.#lastDataStream === streamId) {
      this.#out[this.#lastDataAt + 4] = END_STREAM;
      this.#lastDataAt = -1;
      return;
    }
    this.#frame(0, DATA, END_STREAM, streamId);
  }

  /** Sends what this turn gathered; called by the end of the turn at the latest. */
  flush(): void {
    const length = this.#position;
    const out = this.#out;
    this.#isDirty = false;
    if (out.length === 0) return;
    this.#position = 0;
    this.#lastDataAt = -1;
    if (length > 0 && this.#queue.send(out, 0, length)) {
      this.queuedFrames = 0;
      this.queuedControlFrames = 0;
    }
    this.#out = NO_BYTES;
    giveBack(out);
  }

  /** The socket has room again. */
  drained(): void {
    if (this.#queue.queuedBytes === 0 || !this.#queue.drained()) return;
    this.queuedFrames = 0;
    this.queuedControlFrames = 0;
    this.onDrain?.();
  }

  /** Sends FIN after everything was sent, and goes on reading; what is written from here on is dropped. */
  end(): void {
    this.flush();
    this.#queue.end();
  }

  /** The socket is gone: what waits is dropped. */
  closed(): void {
    this.#queue.closed();
    this.#position = 0;
    this.flush();
  }

  #control(): void {
    this.queuedControlFrames++;
  }

  /** Writes a frame's head; where its payload goes. */
  #frame(lengthBytes: number, type: number, flags: number, streamId: number): number {
    const at = this.#room(FRAME_HEAD_BYTES + lengthBytes);
    this.#lastDataAt = -1;
    this.queuedFrames++;
    const payload = writeFrameHead(this.#out, at, lengthBytes, type, flags, streamId);
    this.#position = payload + lengthBytes;
    return payload;
  }

  /** Makes room for so many bytes; where they go. */
  #room(bytes: number): number {
    if (this.#position + bytes > this.#out.length) this.#enlarge(bytes);
    if (!this.#isDirty) {
      this.#isDirty = true;
      dirty.push(this);
      if (!isFlushDue) {
        isFlushDue = true;
        setImmediate(flushDirty);
      }
    }
    return this.#position;
  }

  #enlarge(bytes: number): void {
    const small = this.#out;
    if (small.length === LARGE_BYTES) this.flush();
    if (small.length === 0 && bytes <= SMALL_BYTES) {
      this.#out = spareSmall.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES);
      return;
    }
    this.#out = spareLarge.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES);
    if (small.length !== SMALL_BYTES) return;
    small.copy(this.#out, 0, 0, this.#position);
    giveBack(small);
  }
}

function giveBack(buffer: Buffer): void {
  const isLarge = buffer.length === LARGE_BYTES;
  const spare = isLarge ? spareLarge : spareSmall;
  if (spare.length < (isLarge ? SPARE_LARGE_MAX : SPARE_SMALL_MAX)) spare.push(buffer);
}

/** What is left of a buffer is used for a part of a body from this size on. */
const SPLINTER_BYTES = 1024;
