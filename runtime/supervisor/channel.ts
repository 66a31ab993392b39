// Frames on a stream socket: four bytes of length, then JSON. Between a supervisor and its workers alone, yet bounded.

/** The longest frame taken: a snapshot is at most 16 MiB, a scrape of very many series some tens. */
const FRAME_MAX_BYTES = 256 * 1024 * 1024;
/** What may wait for the other side; beyond it the channel is closed. */
const QUEUE_MAX_BYTES = 2 * FRAME_MAX_BYTES;
const LENGTH_BYTES = 4;

/** The socket below; a `Bun.Socket` fits. */
export interface ChannelSocket {
  write(bytes: Uint8Array, offset: number, length: number): number;
  terminate(): void;
}

/** One end. Its owner passes on what the socket tells: data, drain, close. */
export class Channel {
  readonly #socket: ChannelSocket;
  readonly #heard: (message: unknown) => void;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isClosed = false;

  /** `heard` is given what each frame says. */
  constructor(socket: ChannelSocket, heard: (message: unknown) => void) {
    this.#socket = socket;
    this.#heard = heard;
  }

  /** Everything was handed to the kernel. */
  get isIdle(): boolean {
    return this.#queuedBytes === 0;
  }

  send(message: object): void {
    if (this.#isClosed) return;
    const json = Buffer.from(JSON.stringify(message));
    const frame = Buffer.allocUnsafe(LENGTH_BYTES + json.length);
    frame.writeUInt32BE(json.length, 0);
    json.copy(frame, LENGTH_BYTES);
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    if (this.#queuedBytes > QUEUE_MAX_BYTES || json.length > FRAME_MAX_BYTES) this.close();
    else if (this.#queue.length === 1) this.drained();
  }

  /** The socket has room. */
  drained(): void {
    for (;;) {
      const first = this.#queue[0];
      if (first === undefined) return;
      const sent = this.#socket.write(first, 0, first.length);
      if (sent < 0) return this.close();
      this.#queuedBytes -= sent;
      if (sent < first.length) {
        this.#queue[0] = first.subarray(sent);
        return;
      }
      this.#queue.shift();
    }
  }

  /** `chunk` is the receiver's to keep. */
  received(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#receivedBytes += chunk.length;
    while (!this.#isClosed && this.#receivedBytes >= LENGTH_BYTES) {
      const length = this.#peekLength();
      if (length > FRAME_MAX_BYTES) return this.close();
      if (this.#receivedBytes < LENGTH_BYTES + length) return;
      const frame = this.#take(LENGTH_BYTES + length).toString("utf8", LENGTH_BYTES);
      let message: unknown;
      try {
        message = JSON.parse(frame);
      } catch {
        return this.close();
      }
      this.#heard(message);
    }
  }

  /** Nothing more is sent or heard. */
  close(): void {
    if (this.#isClosed) return;
    this.closed();
    this.#socket.terminate();
  }

  /** The socket is gone. */
  closed(): void {
    this.#isClosed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#received = [];
    this.#receivedBytes = 0;
  }

  #peekLength(): number {
    const [first] = this.#received;
    if (first !== undefined && first.length >= LENGTH_BYTES) return first.readUInt32BE(0);
    return this.#join().readUInt32BE(0);
  }

  #join(): Buffer {
    const joined = Buffer.concat(this.#received, this.#receivedBytes);
    this.#received = [joined];
    return joined;
  }

  #take(length: number): Buffer {
    const joined = this.#received.length === 1 ? (this.#received[0] ?? this.#join()) : this.#join();
    const rest = joined.subarray(length);
    this.#received = rest.length === 0 ? [] : [rest];
    this.#receivedBytes = rest.length;
    return joined.subarray(0, length);
  }
}
