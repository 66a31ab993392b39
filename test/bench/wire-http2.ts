// The few bytes of HTTP/2 (RFC 9113) and HPACK (RFC 7541) that a load generator and a canned upstream need. Apart from
// the proxy's own codec on purpose: what measures it shares no mistake with it.

/** What a client says first. */
export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Bytes before a frame's payload. */
export const HEAD_BYTES = 9;

/** Frame types and flags. */
export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  endStream: 1,
  ack: 1,
  endHeaders: 4,
} as const;

/** A frame of stream 0; who sends it writes another identifier at byte 5. */
export function encodeFrame(type: number, flags: number, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEAD_BYTES + payload.length);
  frame.writeUIntBE(payload.length, 0, 3);
  frame[3] = type;
  frame[4] = flags;
  frame.set(payload, HEAD_BYTES);
  return frame;
}

/** A field that is in a table (RFC 7541 §6.1), index below 127. */
export function indexedField(index: number): Buffer {
  return Buffer.of(0x80 | index);
}

/** A field that enters the dynamic table (§6.2.1), name and value as they are. */
export function insertedField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x40), encodeString(name), encodeString(value)]);
}

/** A field that enters no table (§6.2.2). */
export function encodeField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), encodeString(name), encodeString(value)]);
}

/** Without Huffman coding (§5.2), below 127 + 128 bytes. */
function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (bytes.length >= 255) throw new Error(`field of ${bytes.length} bytes, limit is 254`);
  const length = bytes.length < 127 ? Buffer.of(bytes.length) : Buffer.of(127, bytes.length - 127);
  return Buffer.concat([length, bytes]);
}

/** `:status: 200` as an indexed field (RFC 7541, appendix A, entry 8). */
export const STATUS_200 = 0x88;
