// What a socket did not take yet, in order. Writers gather; this is what stands between them and the kernel.
import type { Transport } from "./socket-writer.ts";

/** The bytes that wait for one socket. */
export class SocketQueue {
  /** Bytes that wait. */
  queuedBytes = 0;
  isClosed = false;
  readonly #transport: Transport;
  #queue: Buffer[] = [];
  /** Bytes of the queue's first buffer that were sent. */
  #sentOfFirst = 0;
  #isEnding = false;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Sends bytes, or keeps a copy of those that the socket does not take. False where some wait now. */
  send(bytes: Buffer, start: number, end: number): boolean {
    if (this.isClosed || this.#isEnding) return true;
    let from = start;
    if (this.queuedBytes === 0) {
      const sent = this.#transport.write(bytes, start, end - start);
      if (sent < 0) {
        this.closed();
        return true;
      }
      from += sent;
      if (from === end) return true;
    }
    const rest = Buffer.from(bytes.subarray(from, end));
    this.#queue.push(rest);
    this.queuedBytes += rest.length;
    return false;
  }

  /** The socket has room again. True once nothing waits. */
  drained(): boolean {
    while (this.#queue.length > 0) {
      const first = this.#queue[0] ?? NOTHING;
      const sent = this.#transport.write(first, this.#sentOfFirst, first.length - this.#sentOfFirst);
      if (sent < 0) {
        this.closed();
        return false;
      }
      this.#sentOfFirst += sent;
      this.queuedBytes -= sent;
      if (this.#sentOfFirst < first.length) return false;
      this.#queue.shift();
      this.#sentOfFirst = 0;
    }
    if (this.#isEnding && !this.isClosed) this.#transport.shutdown();
    return true;
  }

  /** Sends FIN after everything was sent, and goes on reading; what is sent from here on is dropped. */
  end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    if (this.queuedBytes === 0 && !this.isClosed) this.#transport.shutdown();
  }

  /** The socket is gone: what waits is dropped. */
  closed(): void {
    this.isClosed = true;
    this.#queue = [];
    this.queuedBytes = 0;
  }
}

const NOTHING = Buffer.alloc(0);
