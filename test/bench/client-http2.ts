// One HTTP/2 connection of the open-loop generator, by prior knowledge. It decodes no HPACK: a reply is good when its
// head begins with the static table's entry for status 200, which is how every proxy under test writes it.
import type { Socket } from "bun";
import type { OpenLoopOptions } from "./load.ts";
import type { Client, Lane, Settle } from "./open-loop.ts";
import {
  encodeField,
  encodeFrame,
  FRAME,
  HEAD_BYTES,
  indexedField,
  insertedField,
  PREFACE,
  STATUS_200,
} from "./wire-http2.ts";

const STREAMS_DEFAULT = 32;
/** The most that §6.9.1 allows: nothing that is measured here waits for this client. */
const WINDOW_BYTES = 2_147_483_647;
const STATIC_GET = 2;
const STATIC_PATH_ROOT = 4;
const STATIC_SCHEME_HTTP = 6;
const TABLE_FIRST = 62;

/** Opens a connection with `streams` lanes. */
export async function openHttp2(options: OpenLoopOptions, settle: Settle): Promise<Client> {
  const client = new Http2Connection(options, settle);
  client.socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: options.port,
    socket: {
      data: (_socket, chunk) => client.take(chunk),
      drain: () => client.flush(),
      close: () => client.fail(),
    },
  });
  return client;
}

class Http2Connection implements Client {
  socket: Socket | undefined;
  readonly lanes: readonly Lane[];
  readonly #settle: Settle;
  readonly #open = new Map<number, { lane: Lane; isGood: boolean }>();
  readonly #heads: { readonly first: Buffer; readonly later: Buffer };
  #nextStream = 1;
  #out: Buffer[] = [];
  #rest: Buffer = Buffer.alloc(0);

  constructor(options: OpenLoopOptions, settle: Settle) {
    this.#settle = settle;
    this.#heads = encodeHeads(options);
    this.lanes = Array.from({ length: options.streams ?? STREAMS_DEFAULT }, () => {
      const lane: Lane = { dueAtMs: 0, send: () => this.#send(lane) };
      return lane;
    });
    const window = Buffer.alloc(6);
    window.writeUInt16BE(4, 0);
    window.writeUInt32BE(WINDOW_BYTES, 2);
    const credit = Buffer.alloc(4);
    credit.writeUInt32BE(WINDOW_BYTES - 65_535);
    this.#out.push(PREFACE, encodeFrame(FRAME.settings, 0, window), encodeFrame(FRAME.windowUpdate, 0, credit));
  }

  take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes.length - at < HEAD_BYTES + length) break;
      this.#takeFrame(bytes, at, length);
      at += HEAD_BYTES + length;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    this.flush();
  }

  flush(): void {
    if (this.#out.length === 0 || this.socket === undefined) return;
    const bytes = Buffer.concat(this.#out);
    const written = this.socket.write(bytes);
    this.#out = written < bytes.length ? [bytes.subarray(Math.max(written, 0))] : [];
  }

  fail(): void {
    for (const { lane } of this.#open.values()) this.#settle(lane, false);
    this.#open.clear();
  }

  close(): void {
    this.#open.clear();
    this.socket?.terminate();
  }

  #send(lane: Lane): void {
    const stream = this.#nextStream;
    const frame = Buffer.from(stream === 1 ? this.#heads.first : this.#heads.later);
    frame.writeUInt32BE(stream, 5);
    this.#nextStream += 2;
    this.#open.set(stream, { lane, isGood: false });
    this.#out.push(frame);
  }

  #takeFrame(bytes: Buffer, at: number, length: number): void {
    const type = bytes[at + 3];
    const flags = bytes[at + 4] ?? 0;
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    if (type === FRAME.settings && (flags & FRAME.ack) === 0) {
      this.#out.push(encodeFrame(FRAME.settings, FRAME.ack, Buffer.alloc(0)));
    } else if (type === FRAME.ping && (flags & FRAME.ack) === 0) {
      this.#out.push(encodeFrame(FRAME.ping, FRAME.ack, bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length)));
    }
    const open = this.#open.get(stream);
    if (open === undefined) return;
    if (type === FRAME.headers && !open.isGood) open.isGood = isStatus200(bytes, at + HEAD_BYTES);
    const isReset = type === FRAME.reset;
    if (!isReset && ((type !== FRAME.headers && type !== FRAME.data) || (flags & FRAME.endStream) === 0)) return;
    this.#open.delete(stream);
    this.#settle(open.lane, open.isGood && !isReset);
  }
}

/** Skips changes of the table's size (RFC 7541 §6.3), which come first, and are one byte where the size is below 31. */
function isStatus200(bytes: Buffer, at: number): boolean {
  let next = at;
  while (((bytes[next] ?? 0) & 0xe0) === 0x20) {
    const isLong = ((bytes[next] ?? 0) & 0x1f) === 0x1f;
    next++;
    if (isLong) while (((bytes[next++] ?? 0) & 0x80) !== 0);
  }
  return bytes[next] === STATUS_200;
}

/** The first request of a connection puts its fields into the server's table, the later ones refer to them, as browsers do. */
function encodeHeads(options: OpenLoopOptions): { readonly first: Buffer; readonly later: Buffer } {
  const fields = Object.entries({ ":authority": `127.0.0.1:${options.port}`, ...options.headers });
  const path = options.path ?? "/";
  const start = [
    indexedField(STATIC_GET),
    indexedField(STATIC_SCHEME_HTTP),
    path === "/" ? indexedField(STATIC_PATH_ROOT) : encodeField(":path", path),
  ];
  const inserted = fields.map(([name, value]) => insertedField(name.toLowerCase(), value));
  const indexed = fields.map((_field, at) => indexedField(TABLE_FIRST + fields.length - 1 - at));
  const encode = (rest: readonly Buffer[]) =>
    encodeFrame(FRAME.headers, FRAME.endHeaders | FRAME.endStream, Buffer.concat([...start, ...rest]));
  return { first: encode(inserted), later: encode(indexed) };
}
