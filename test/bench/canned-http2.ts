// An HTTP/2 upstream that is never what limits a measurement: it counts streams and answers each with the same bytes.
// Prior knowledge, no TLS, no HPACK decoder: of a request it sees that it ended. It keeps the windows of RFC 9113 §5.2.
// Its one argument is CannedOptions as JSON; it prints `LISTENING PORT`.
import type { Socket } from "bun";
import { encodeField, encodeFrame, FRAME, HEAD_BYTES, indexedField, insertedField, PREFACE } from "./wire-http2.ts";

/** What it answers. */
export interface CannedOptions {
  readonly port: number;
  /** `grpc`: a message and its trailers. */
  readonly kind: "plain" | "grpc";
  readonly bodyBytes: number;
}

const WINDOW_BYTES = 16 * 1024 * 1024;
/** Credit goes back in portions, not for each frame. */
const CREDIT_BYTES = 1024 * 1024;

/** A reply as bytes; stream identifiers are written in when it is sent. */
interface Template {
  readonly bytes: Buffer;
  /** Where the frames begin. */
  readonly frames: readonly number[];
  /** What it takes of the client's windows: the payload of DATA. */
  readonly windowBytes: number;
}

/** Listens; returns the port. */
export function serveCanned(options: CannedOptions): number {
  // The first reply on a connection fills the client's table, the later ones refer to it, as Go's server does.
  const first = buildReply(options, insertedField);
  const later = buildReply(options, (_name, _value, index) => indexedField(index));
  const listener = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: options.port,
    socket: {
      open: (socket) => {
        socket.data = new Connection(socket, first, later);
      },
      data: (socket, chunk) => socket.data.take(chunk),
      drain: (socket) => socket.data.flush(),
    },
  });
  return listener.port;
}

const TABLE_FIRST = 62;

function buildReply(
  { kind, bodyBytes }: CannedOptions,
  encode: (name: string, value: string, index: number) => Buffer,
): Template {
  const isGrpc = kind === "grpc";
  const fields: readonly (readonly [string, string])[] = isGrpc
    ? [["content-type", "application/grpc"]]
    : [
        ["server", "canned"],
        ["date", "Mon, 01 Jan 2024 00:00:00 GMT"],
        ["content-type", "text/plain"],
        ["content-length", String(bodyBytes)],
      ];
  const body = Buffer.alloc(bodyBytes, "x");
  const message = Buffer.alloc(5);
  message.writeUInt32BE(bodyBytes, 1);
  // `:status: 200` is entry 8 of the static table; the newest entry of the dynamic one has the lowest index.
  const head = [
    indexedField(8),
    ...fields.map(([name, value], at) => encode(name, value, TABLE_FIRST + fields.length - 1 - at)),
  ];
  const frames = [
    encodeFrame(FRAME.headers, FRAME.endHeaders, Buffer.concat(head)),
    encodeFrame(FRAME.data, isGrpc ? 0 : FRAME.endStream, isGrpc ? Buffer.concat([message, body]) : body),
  ];
  if (isGrpc) {
    frames.push(encodeFrame(FRAME.headers, FRAME.endHeaders | FRAME.endStream, encodeField("grpc-status", "0")));
  }
  let at = 0;
  const starts = frames.map((frame) => (at += frame.length) - frame.length);
  return { bytes: Buffer.concat(frames), frames: starts, windowBytes: isGrpc ? message.length + bodyBytes : bodyBytes };
}

class Connection {
  readonly #socket: Socket<Connection>;
  readonly #later: Template;
  #next: Template;
  #rest: Buffer = Buffer.alloc(0);
  #out: Buffer = Buffer.alloc(256 * 1024);
  #outEnd = 0;
  #isGreeted = false;
  #received = 0;
  #window = 65_535;
  /** Streams whose reply waits for the connection's window. */
  readonly #held: number[] = [];

  constructor(socket: Socket<Connection>, first: Template, later: Template) {
    this.#socket = socket;
    this.#next = first;
    this.#later = later;
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    if (!this.#isGreeted && bytes.length >= PREFACE.length) {
      at = PREFACE.length;
      this.#isGreeted = true;
      const settings = Buffer.alloc(12);
      settings.writeUInt16BE(3, 0);
      settings.writeUInt32BE(1000, 2);
      settings.writeUInt16BE(4, 6);
      settings.writeUInt32BE(WINDOW_BYTES, 8);
      this.#write(encodeFrame(FRAME.settings, 0, settings), 0);
      this.#write(encodeCredit(WINDOW_BYTES), 0);
    }
    while (this.#isGreeted && bytes.length - at >= HEAD_BYTES) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes.length - at < HEAD_BYTES + length) break;
      this.#takeFrame(bytes, at, length);
      at += HEAD_BYTES + length;
    }
    // A copy: the chunk's memory is Bun's.
    this.#rest = Buffer.from(bytes.subarray(at));
    this.flush();
  }

  #takeFrame(bytes: Buffer, at: number, length: number): void {
    const type = bytes[at + 3];
    const flags = bytes[at + 4] ?? 0;
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    if (type === FRAME.headers || type === FRAME.data) {
      const isEnd = (flags & FRAME.endStream) !== 0;
      if (type === FRAME.data) this.#giveCredit(length, isEnd ? 0 : stream);
      if (isEnd) this.#held.push(stream);
      this.#answer();
    } else if (type === FRAME.settings && (flags & FRAME.ack) === 0) {
      this.#write(encodeFrame(FRAME.settings, FRAME.ack, Buffer.alloc(0)), 0);
    } else if (type === FRAME.ping && (flags & FRAME.ack) === 0) {
      const payload = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
      this.#write(encodeFrame(FRAME.ping, FRAME.ack, payload), 0);
    } else if (type === FRAME.windowUpdate && stream === 0) {
      this.#window += bytes.readUInt32BE(at + HEAD_BYTES) & 0x7fffffff;
      this.#answer();
    }
  }

  /** Streams start with `WINDOW_BYTES`: a longer request gets its credit back with the connection's. */
  #giveCredit(length: number, stream: number): void {
    this.#received += length;
    if (this.#received < CREDIT_BYTES) return;
    this.#write(encodeCredit(this.#received), 0);
    if (stream !== 0) this.#write(encodeCredit(this.#received), stream);
    this.#received = 0;
  }

  #answer(): void {
    let answered = 0;
    for (const stream of this.#held) {
      const { bytes, frames, windowBytes } = this.#next;
      if (this.#window < windowBytes) break;
      this.#window -= windowBytes;
      const at = this.#reserve(bytes.length);
      bytes.copy(this.#out, at);
      for (const start of frames) this.#out.writeUInt32BE(stream, at + start + 5);
      this.#next = this.#later;
      answered++;
    }
    this.#held.splice(0, answered);
  }

  #write(frame: Buffer, stream: number): void {
    const at = this.#reserve(frame.length);
    frame.copy(this.#out, at);
    this.#out.writeUInt32BE(stream, at + 5);
  }

  #reserve(length: number): number {
    const at = this.#outEnd;
    if (at + length > this.#out.length) {
      this.#out = Buffer.concat([this.#out.subarray(0, at)], Math.max(this.#out.length * 2, at + length));
    }
    this.#outEnd = at + length;
    return at;
  }

  flush(): void {
    if (this.#outEnd === 0) return;
    const written = this.#socket.write(this.#out, 0, this.#outEnd);
    if (written <= 0) return;
    this.#out.copyWithin(0, written, this.#outEnd);
    this.#outEnd -= written;
  }
}

function encodeCredit(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return encodeFrame(FRAME.windowUpdate, 0, payload);
}

if (import.meta.main) {
  const options: CannedOptions = JSON.parse(process.argv[2] ?? "{}");
  console.log(`LISTENING ${serveCanned(options)}`);
}
