// The frames of HTTP/2 (RFC 9113 §4, §6): their numbers, and how a frame's head is written.

/** Bytes before each payload: length (24 bits), type, flags, stream (31 bits). */
export const FRAME_HEAD_BYTES = 9;
/** What a client sends before its first frame (RFC 9113 §3.4). */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Frame types (RFC 9113 §6). */
export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

/** Flags; `ACK` shares its bit with `END_STREAM`. */
export const END_STREAM = 0x1;
export const ACK = 0x1;
export const END_HEADERS = 0x4;
export const PADDED = 0x8;
export const PRIORITY_FLAG = 0x20;

/** Settings (RFC 9113 §6.5.2, RFC 8441 §3). */
export const HEADER_TABLE_SIZE = 1;
export const ENABLE_PUSH = 2;
export const MAX_CONCURRENT_STREAMS = 3;
export const INITIAL_WINDOW_SIZE = 4;
export const MAX_FRAME_SIZE = 5;
export const MAX_HEADER_LIST_SIZE = 6;
export const ENABLE_CONNECT_PROTOCOL = 8;

/** A stream, and what a peer may have in flight on it, before any SETTINGS (RFC 9113 §6.9.2). */
export const DEFAULT_WINDOW_BYTES = 65_535;
/** The largest window (RFC 9113 §6.9.1) and the largest stream id. */
export const WINDOW_MAX_BYTES = 0x7fff_ffff;
export const STREAM_ID_MAX = 0x7fff_ffff;
/** Payload that every peer takes (RFC 9113 §4.2), and the largest it may ask for. */
export const DEFAULT_FRAME_MAX_BYTES = 16_384;
export const FRAME_MAX_BYTES = 16_777_215;

/** Error codes (RFC 9113 §7), as RST_STREAM and GOAWAY carry them. */
export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;
/** One of them; a peer may send others. */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Writes a frame's head at `at`; the payload goes after it, at the position returned. */
export function writeFrameHead(
  out: Buffer,
  at: number,
  lengthBytes: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  out[at] = lengthBytes >>> 16;
  out[at + 1] = lengthBytes >>> 8;
  out[at + 2] = lengthBytes;
  out[at + 3] = type;
  out[at + 4] = flags;
  return writeUint32(out, at + 5, streamId);
}

/** Writes 32 bits in network order; the position after them. */
export function writeUint32(out: Buffer, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** Reads 32 bits in network order, as an unsigned number. */
export function readUint32(bytes: Buffer, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** Reads 31 bits: stream ids and increments have a reserved bit before them that is ignored. */
export function readUint31(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] ?? 0) & 0x7f) * 0x1_00_00_00 +
    (((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0))
  );
}
