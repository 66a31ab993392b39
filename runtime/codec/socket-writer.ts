// Bytes on their way into one socket. What one turn of the loop writes leaves in one system call: small pieces gather in a
// buffer that all connections share, and a microtask at the end of the turn sends it. System calls are most of what a
// request costs, so this is where its price is decided.

import type { HeaderMap } from "../exchange/headers.ts";

/** What a codec needs of a socket; Bun's sockets have it. */
export interface Transport {
  /** Bytes accepted, 0 when the kernel's buffer is full, below 0 when the socket is closed. Nothing is buffered here. */
  write(bytes: Uint8Array, offset: number, length: number): number;
  pause(): void;
  resume(): void;
  /** Sends FIN after what was written; what the peer sends is still read. Once its FIN came too, the socket is closed. */
  shutdown(): void;
  /** Closes both directions: FIN after what was written, and RST should the peer send more, which can cost it what it has yet to read. */
  end(): void;
  /** Sends RST. */
  terminate(): void;
}

/** Pieces up to this size are gathered; larger ones go to the socket as they are, unless a head waits that they fit behind. */
const GATHER_MAX_BYTES = 16 * 1024;

/** A head and a chunk of 64 KB: to copy that costs less than the write that it saves. */
const gather = Buffer.allocUnsafeSlow(72 * 1024);
let gathered = 0;
let owner: SocketWriter | undefined;
let isFlushDue = false;

function encodeHead(start: number, line: string, headers: HeaderMap, tail: string): number {
  if (start + line.length > gather.length) return -1;
  return headers.write(gather, start + gather.latin1Write(line, start), tail);
}

function flushGathered(): void {
  isFlushDue = false;
  owner?.flush();
}

/**
 * Writes to one socket, in order. What the kernel does not take waits in a queue, and `write` answers false from then on:
 * a source that pauses at once keeps the queue at one turn's chunk.
 */
export class SocketWriter {
  /** The queue is empty again after `write` answered false. */
  onDrain: (() => void) | undefined = undefined;

  readonly #transport: Transport;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Bytes of the queue's first buffer that were sent. */
  #sentOfFirst = 0;
  /** What follows the last byte: FIN alone, or the socket's end. */
  #ending: "shutdown" | "end" | undefined = undefined;
  #isClosed = false;
  #isPausing = false;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Nothing waits for the socket. */
  get isIdle(): boolean {
    return this.#queuedBytes === 0 && owner !== this;
  }

  /** The kernel takes no more: what is written waits in the queue. */
  get isBlocked(): boolean {
    return this.#queuedBytes > 0;
  }

  /** Gathers a head: a start line, the fields, then `tail`. False when it is larger than the whole buffer. */
  writeHead(line: string, headers: HeaderMap, tail: string): boolean {
    this.#own();
    let position = encodeHead(gathered, line, headers, tail);
    if (position < 0 && gathered > 0) {
      this.flush();
      this.#own();
      position = encodeHead(0, line, headers, tail);
    }
    if (position < 0) return false;
    gathered = position;
    return true;
  }

  /** Takes bytes; the caller may use them again at once. False: pause until `onDrain`. */
  write(bytes: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (length <= GATHER_MAX_BYTES || (owner === this && gathered + length <= gather.length)) {
      this.#own();
      if (gathered + length > gather.length) {
        this.flush();
        this.#own();
      }
      gathered += bytes.copy(gather, gathered, start, end);
    } else {
      if (owner === this) this.flush();
      this.#send(bytes, start, end);
    }
    if (this.#queuedBytes === 0) return true;
    this.#isPausing = true;
    return false;
  }

  /** As `write`, for text that is Latin-1. */
  writeText(text: string): void {
    this.#own();
    if (gathered + text.length > gather.length) {
      this.flush();
      this.#own();
    }
    gathered += gather.latin1Write(text, gathered);
  }

  /** Sends what this turn gathered; called by the end of the turn at the latest. */
  flush(): void {
    if (owner !== this) return;
    const length = gathered;
    gathered = 0;
    owner = undefined;
    if (length > 0) this.#send(gather, 0, length);
  }

  /** The socket has room again. */
  drained(): void {
    while (this.#queue.length > 0) {
      const first = this.#queue[0] ?? gather;
      const sent = this.#transport.write(first, this.#sentOfFirst, first.length - this.#sentOfFirst);
      if (sent < 0) return this.closed();
      this.#sentOfFirst += sent;
      this.#queuedBytes -= sent;
      if (this.#sentOfFirst < first.length) return undefined;
      this.#queue.shift();
      this.#sentOfFirst = 0;
    }
    if (this.#ending !== undefined) this.#transport[this.#ending]();
    if (!this.#isPausing) return undefined;
    this.#isPausing = false;
    this.onDrain?.();
    return undefined;
  }

  /** Sends FIN after everything was sent, and goes on reading; what is written from here on is dropped. */
  shutdown(): void {
    this.#finish("shutdown");
  }

  /** Closes the socket after everything was sent; what is written from here on is dropped. */
  end(): void {
    this.#finish("end");
  }

  /** The socket is gone: what waits is dropped. */
  closed(): void {
    this.#isClosed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (owner !== this) return;
    owner = undefined;
    gathered = 0;
  }

  #finish(how: "shutdown" | "end"): void {
    this.flush();
    this.#ending = how;
    if (this.#queuedBytes === 0 && !this.#isClosed) this.#transport[how]();
  }

  #own(): void {
    if (owner === this) return;
    owner?.flush();
    // oxlint-disable-next-line typescript/no-this-alias -- whose bytes the shared buffer holds is what this records
    owner = this;
    if (isFlushDue) return;
    isFlushDue = true;
    queueMicrotask(flushGathered);
  }

  #send(bytes: Buffer, start: number, end: number): void {
    if (this.#isClosed || this.#ending !== undefined) return;
    let from = start;
    if (this.#queuedBytes === 0) {
      const sent = this.#transport.write(bytes, start, end - start);
      if (sent < 0) return this.closed();
      from += sent;
      if (from === end) return undefined;
    }
    const rest = Buffer.from(bytes.subarray(from, end));
    this.#queue.push(rest);
    this.#queuedBytes += rest.length;
    return undefined;
  }
}
