// Bytes become frames, whatever pieces they arrive in. DATA is handed on as it comes, without waiting for the frame to be
// whole and without a copy; every other frame is whole when its handler sees it, and no longer than was announced.
import { DATA, FRAME_HEAD_BYTES, PADDED, readUint31 } from "./http2-frames.ts";

/** Who takes frames. */
export interface FrameHandler {
  /** A frame's head is here, its payload not yet. False where the frame breaks the connection. */
  begins(lengthBytes: number, type: number, flags: number, streamId: number): boolean;
  /** The whole payload of a frame other than DATA; its bytes are valid during the call only. */
  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** A DATA frame begins: `lengthBytes` is its whole payload, padding included, as flow control counts it. */
  dataBegins(flags: number, streamId: number, lengthBytes: number): void;
  /** A piece of the DATA frame that began. */
  dataPiece(bytes: Buffer, start: number, end: number): void;
  /** The DATA frame is over. */
  dataEnds(flags: number): void;
  /** The padding is longer than the frame (RFC 9113 §6.1). */
  badPadding(): void;
}

const NOTHING = Buffer.alloc(0);

/** Cuts one connection's bytes into frames. */
export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headBytes = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Payload that is still to come. */
  #remaining = 0;
  #isInFrame = false;
  /** For DATA: padding at its end; below 0 while its length byte is still to come. */
  #padding = 0;
  /** The first part of a payload that is not whole yet. */
  #held = NOTHING;
  #heldBytes = 0;
  #isStopped = false;

  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  /** A part of a frame is here and the rest is not. */
  get isMidFrame(): boolean {
    return this.#isInFrame || this.#headBytes > 0;
  }

  /** Takes nothing more, not even what is left of the chunk at hand. */
  stop(): void {
    this.#isStopped = true;
    this.#held = NOTHING;
  }

  /** Takes a chunk from `start` on. */
  feed(chunk: Buffer, start: number): void {
    let at = start;
    const end = chunk.length;
    while (!this.#isStopped) {
      if (!this.#isInFrame) {
        at = this.#readHead(chunk, at, end);
        if (!this.#isInFrame) return;
      }
      at = this.#type === DATA ? this.#readData(chunk, at, end) : this.#readWhole(chunk, at, end);
      if (this.#isInFrame) return;
    }
  }

  #readHead(chunk: Buffer, start: number, end: number): number {
    let at = start;
    let head = chunk;
    let from = at;
    if (this.#headBytes === 0 && end - at >= FRAME_HEAD_BYTES) {
      at += FRAME_HEAD_BYTES;
    } else {
      const taken = Math.min(FRAME_HEAD_BYTES - this.#headBytes, end - at);
      if (taken > 0) chunk.copy(this.#head, this.#headBytes, at, at + taken);
      this.#headBytes += taken;
      at += taken;
      if (this.#headBytes < FRAME_HEAD_BYTES) return at;
      head = this.#head;
      from = 0;
    }
    this.#headBytes = 0;
    const length = ((head[from] ?? 0) << 16) | ((head[from + 1] ?? 0) << 8) | (head[from + 2] ?? 0);
    this.#type = head[from + 3] ?? 0;
    this.#flags = head[from + 4] ?? 0;
    this.#streamId = readUint31(head, from + 5);
    if (!this.#handler.begins(length, this.#type, this.#flags, this.#streamId)) {
      this.stop();
      return at;
    }
    this.#isInFrame = true;
    this.#remaining = length;
    this.#heldBytes = 0;
    if (this.#type === DATA) {
      this.#padding = (this.#flags & PADDED) === 0 ? 0 : -1;
      this.#handler.dataBegins(this.#flags, this.#streamId, length);
    }
    return at;
  }

  #readData(chunk: Buffer, start: number, end: number): number {
    let at = start;
    if (this.#padding < 0) {
      if (this.#remaining === 0) return this.#refusePadding(at);
      if (at === end) return at;
      this.#padding = chunk[at++] ?? 0;
      this.#remaining--;
      if (this.#padding > this.#remaining) return this.#refusePadding(at);
    }
    const piece = Math.min(this.#remaining - this.#padding, end - at);
    if (piece > 0) {
      this.#handler.dataPiece(chunk, at, at + piece);
      at += piece;
      this.#remaining -= piece;
    }
    if (this.#remaining > this.#padding) return at;
    const padding = Math.min(this.#remaining, end - at);
    at += padding;
    this.#padding -= padding;
    this.#remaining -= padding;
    if (this.#remaining > 0) return at;
    this.#isInFrame = false;
    if (!this.#isStopped) this.#handler.dataEnds(this.#flags);
    return at;
  }

  #refusePadding(at: number): number {
    this.#isInFrame = false;
    this.stop();
    this.#handler.badPadding();
    return at;
  }

  #readWhole(chunk: Buffer, start: number, end: number): number {
    const length = this.#remaining;
    if (this.#heldBytes === 0 && end - start >= length) {
      this.#isInFrame = false;
      this.#handler.frame(this.#type, this.#flags, this.#streamId, chunk, start, start + length);
      return start + length;
    }
    if (this.#heldBytes === 0) this.#held = Buffer.allocUnsafe(length);
    const taken = Math.min(length - this.#heldBytes, end - start);
    chunk.copy(this.#held, this.#heldBytes, start, start + taken);
    this.#heldBytes += taken;
    if (this.#heldBytes < length) return start + taken;
    const held = this.#held;
    this.#held = NOTHING;
    this.#isInFrame = false;
    this.#handler.frame(this.#type, this.#flags, this.#streamId, held, 0, length);
    return start + taken;
  }
}
