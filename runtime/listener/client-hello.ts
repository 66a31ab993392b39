// What a TLS client says first (RFC 8446 §4.1.2), read without answering it: the server's name decides the certificate or
// the cluster, and the protocols on offer tell mesh traffic from an application's own TLS. Pure.

/** The parts that routing needs. */
export interface ClientHello {
  /** SNI (RFC 6066 §3) in lower case; empty where the client sent none. */
  readonly serverName: string;
  /** ALPN (RFC 7301) in the client's order. */
  readonly alpn: readonly string[];
}

/** Bytes read before a ClientHello must be whole: one record of the largest size. With post-quantum keys it takes 2 KiB. */
export const CLIENT_HELLO_MAX_BYTES: number = 16 * 1024 + 5;

const RECORD_HEAD_BYTES = 5;
const RECORD_MAX_BYTES = 16 * 1024;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
/** Letters, digits, and what Istio's own names have: `outbound_.9080_._.reviews.default.svc.cluster.local`. */
const NAME = /^[A-Za-z0-9._-]{1,255}$/u;

/** Reads a ClientHello from the first bytes of a connection, whichever way records cut it. */
export function parseClientHello(bytes: Buffer): ClientHello | "incomplete" | "malformed" {
  const message = joinRecords(bytes);
  return typeof message === "string" ? message : (parseMessage(message) ?? "malformed");
}

/** The handshake message, without its own head. Most come in one record and are not copied. */
function joinRecords(bytes: Buffer): Buffer | "incomplete" | "malformed" {
  const parts: Buffer[] = [];
  let joinedBytes = 0;
  let wantedBytes = -1;
  for (let at = 0; at + RECORD_HEAD_BYTES <= bytes.length;) {
    const length = bytes.readUInt16BE(at + 3);
    const isHandshake = bytes[at] === HANDSHAKE && bytes[at + 1] === 3;
    if (!isHandshake || length === 0 || length > RECORD_MAX_BYTES) return "malformed";
    const part = bytes.subarray(at + RECORD_HEAD_BYTES, at + RECORD_HEAD_BYTES + length);
    parts.push(part);
    joinedBytes += part.length;
    if (wantedBytes < 0 && joinedBytes >= 4) {
      const head = parts.length === 1 ? part : Buffer.concat(parts);
      if (head[0] !== CLIENT_HELLO) return "malformed";
      wantedBytes = 4 + head.readUIntBE(1, 3);
      if (wantedBytes > RECORD_MAX_BYTES) return "malformed";
    }
    if (wantedBytes >= 0 && joinedBytes >= wantedBytes) {
      return (parts.length === 1 ? part : Buffer.concat(parts)).subarray(4, wantedBytes);
    }
    at += RECORD_HEAD_BYTES + length;
  }
  return bytes.length >= CLIENT_HELLO_MAX_BYTES ? "malformed" : "incomplete";
}

/** A position that cannot leave its bytes: every read answers -1 or `undefined` beyond the end. */
class Cursor {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.at === this.bytes.length;
  }

  /** An unsigned number of one or two bytes. */
  number(size: 1 | 2): number {
    const at = this.at;
    if (at + size > this.bytes.length) return -1;
    this.at += size;
    return size === 1 ? this.bytes.readUInt8(at) : this.bytes.readUInt16BE(at);
  }

  /** Bytes behind a length of that size. */
  vector(size: 1 | 2): Buffer | undefined {
    const length = this.number(size);
    return length < 0 ? undefined : this.take(length);
  }

  take(length: number): Buffer | undefined {
    if (this.at + length > this.bytes.length) return undefined;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

function parseMessage(message: Buffer): ClientHello | undefined {
  const cursor = new Cursor(message);
  // legacy_version and random.
  if (cursor.take(34) === undefined) return undefined;
  const session = cursor.vector(1);
  const ciphers = cursor.vector(2);
  const compressions = cursor.vector(1);
  if (session === undefined || ciphers === undefined || compressions === undefined) return undefined;
  if (cursor.isAtEnd) return { serverName: "", alpn: [] };
  const extensions = cursor.vector(2);
  if (extensions === undefined || !cursor.isAtEnd) return undefined;
  return parseExtensions(new Cursor(extensions));
}

function parseExtensions(extensions: Cursor): ClientHello | undefined {
  let serverName: string | undefined;
  let alpn: readonly string[] | undefined;
  while (!extensions.isAtEnd) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    if (type < 0 || body === undefined) return undefined;
    if (type === SERVER_NAME) {
      // Twice the same extension is forbidden (RFC 8446 §4.2): two readers could each believe another.
      if (serverName !== undefined) return undefined;
      serverName = parseServerName(new Cursor(body));
      if (serverName === undefined) return undefined;
    } else if (type === ALPN) {
      if (alpn !== undefined) return undefined;
      alpn = parseAlpn(new Cursor(body));
      if (alpn === undefined) return undefined;
    }
  }
  return { serverName: serverName ?? "", alpn: alpn ?? [] };
}

/** One name of type host_name; more than one is forbidden. */
function parseServerName(body: Cursor): string | undefined {
  const list = body.vector(2);
  if (list === undefined || !body.isAtEnd) return undefined;
  const names = new Cursor(list);
  const type = names.number(1);
  const name = names.vector(2)?.toString("latin1");
  return type === 0 && names.isAtEnd && name !== undefined && NAME.test(name) ? name.toLowerCase() : undefined;
}

function parseAlpn(body: Cursor): readonly string[] | undefined {
  const list = body.vector(2);
  if (list === undefined || !body.isAtEnd) return undefined;
  const names = new Cursor(list);
  const alpn: string[] = [];
  while (!names.isAtEnd) {
    const name = names.vector(1);
    if (name === undefined || name.length === 0) return undefined;
    alpn.push(name.toString("latin1"));
  }
  return alpn;
}
