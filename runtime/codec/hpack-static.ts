// The static table of HPACK (RFC 7541, Appendix A), and what each field's name means to a proxy. Lines are kept as they
// stand in a decoded head (`name: value CRLF`), so that a reference to one is one copy.

/** Entries of the static table; the dynamic table begins after it. */
export const STATIC_COUNT = 61;

/** What a name means to the decoder, the lowest bits of a note: `ORDINARY` fields are copied and nothing else. */
export const ORDINARY = 0;
export const METHOD = 1;
export const PATH = 2;
export const SCHEME = 3;
export const AUTHORITY = 4;
export const PROTOCOL = 5;
export const STATUS = 6;
/** A pseudo-header field that no RFC knows. */
export const UNKNOWN_PSEUDO = 7;
/** Up to here, names start with a colon. */
export const PSEUDO_LAST = 7;
export const HOST = 8;
export const COOKIE = 9;
export const CONTENT_LENGTH = 10;
export const EXPECT = 11;
export const TE = 12;
/** Fields of one connection, which make a message malformed (RFC 9113 §8.2.2). */
export const CONNECTION = 13;
/** Asks HTTP/1.1 for an upgrade to HTTP/2; means nothing here, and passed on it would ask the next hop for one. */
export const HTTP2_SETTINGS = 14;
/** A name that no field may have. */
export const BAD_NAME = 15;
/** The bits of a note that hold one of the above. */
export const KIND = 255;
/** Added to a note: the value is none that a field may have. */
export const BAD_VALUE = 256;
/** Added to a note: frames, routes or describes the content, so it is dropped from trailers (RFC 9110 §6.5.1). */
export const NOT_IN_TRAILERS = 512;
/** Added to a note: the value belongs to one message; inserted into a table, it would push out what repeats. */
export const UNIQUE = 1024;
/** Added to a note: the value is a secret, which is never indexed, here and on every later hop (RFC 7541 §7.1.3). */
export const SECRET = 2048;
/** Added to the note of one field: it came as one that is never indexed. */
export const NEVER = 4096;
/** Where in a note the first static entry of that name is, 0 for a name that has none. */
export const STATIC_SHIFT = 16;

const KINDS: readonly (readonly [string, number])[] = [
  [":method", METHOD],
  [":path", PATH],
  [":scheme", SCHEME],
  [":authority", AUTHORITY],
  [":protocol", PROTOCOL],
  [":status", STATUS],
  ["host", HOST | NOT_IN_TRAILERS],
  ["cookie", COOKIE],
  ["content-length", CONTENT_LENGTH | NOT_IN_TRAILERS | UNIQUE],
  ["expect", EXPECT | NOT_IN_TRAILERS],
  ["te", TE | NOT_IN_TRAILERS],
  ["connection", CONNECTION],
  ["keep-alive", CONNECTION],
  ["proxy-connection", CONNECTION],
  ["transfer-encoding", CONNECTION],
  ["upgrade", CONNECTION],
  ["http2-settings", HTTP2_SETTINGS | NOT_IN_TRAILERS],
  ["authorization", NOT_IN_TRAILERS | SECRET],
  ["proxy-authorization", SECRET],
  ["cache-control", NOT_IN_TRAILERS],
  ["content-encoding", NOT_IN_TRAILERS],
  ["content-range", NOT_IN_TRAILERS | UNIQUE],
  ["content-type", NOT_IN_TRAILERS],
  ["max-forwards", NOT_IN_TRAILERS],
  ["set-cookie", NOT_IN_TRAILERS | UNIQUE],
  ["trailer", NOT_IN_TRAILERS],
  ["age", UNIQUE],
  ["baggage", UNIQUE],
  ["content-md5", UNIQUE],
  ["date", UNIQUE],
  ["etag", UNIQUE],
  ["expires", UNIQUE],
  ["grpc-message", UNIQUE],
  ["grpc-status-details-bin", UNIQUE],
  ["grpc-timeout", UNIQUE],
  ["if-match", UNIQUE],
  ["if-modified-since", UNIQUE],
  ["if-none-match", UNIQUE],
  ["if-unmodified-since", UNIQUE],
  ["last-modified", UNIQUE],
  ["location", UNIQUE],
  ["range", UNIQUE],
  ["traceparent", UNIQUE],
  ["tracestate", UNIQUE],
  ["x-b3-parentspanid", UNIQUE],
  ["x-b3-spanid", UNIQUE],
  ["x-b3-traceid", UNIQUE],
  ["x-envoy-upstream-service-time", UNIQUE],
  ["x-request-id", UNIQUE],
];

const TOKEN = 1;
const VALUE = 2;
/** What a byte may be part of: 1 a name, 2 a value. */
const CLASS = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  // RFC 9113 §8.2.1: names hold no upper-case letters.
  const isName = byte < 128 && /[!#$%&'*+\-.^_`|~0-9a-z]/u.test(String.fromCodePoint(byte));
  // RFC 9110 §5.5, as in HTTP/1.1: visible characters, obs-text, space and tab.
  const isValue = byte === 9 || (byte >= 32 && byte !== 127);
  CLASS[byte] = (isName ? TOKEN : 0) | (isValue ? VALUE : 0);
}

/** Names and values of the entries 1 to 61. */
export const STATIC_FIELDS: readonly (readonly [string, string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** `name: value CRLF` of each static entry, one after the other. */
export const STATIC_BYTES: Buffer = Buffer.from(
  STATIC_FIELDS.map(([name, value]) => `${name}: ${value}\r\n`).join(""),
  "latin1",
);

/** Notes by name: of all that mean something and all that the static table has. */
const NOTES = new Map<string, number>(KINDS);
for (let index = STATIC_COUNT; index > 0; index--) {
  const name = STATIC_FIELDS[index - 1]?.[0] ?? "";
  NOTES.set(name, ((NOTES.get(name) ?? ORDINARY) & ((1 << STATIC_SHIFT) - 1)) | (index << STATIC_SHIFT));
}

/** Four numbers for each static entry from 1: start of its line, end of its name, end of its value, note. */
export const STATIC_SLOTS: Int32Array = new Int32Array((STATIC_COUNT + 1) * 4);
let line = 0;
for (const [index, [name, value]] of STATIC_FIELDS.entries()) {
  const nameEnd = line + name.length;
  STATIC_SLOTS.set([line, nameEnd, nameEnd + 2 + value.length, NOTES.get(name) ?? ORDINARY], (index + 1) * 4);
  line = nameEnd + value.length + 4;
}

/** The names of `NOTES` by `hashOf`: where each begins in `NAMES`, its length (0 where none is) and its note. */
const HASHES = 256;
const NAMES: Buffer = Buffer.from([...NOTES.keys()].join(""), "latin1");
const STARTS = new Uint16Array(HASHES);
const NAME_LENGTHS = new Uint8Array(HASHES);
const NOTE_BY_HASH = new Int32Array(HASHES);
let start = 0;
for (const [name, note] of NOTES) {
  let slot = hashOf(NAMES, start, start + name.length);
  while (NAME_LENGTHS[slot] !== 0) slot = (slot + 1) & (HASHES - 1);
  STARTS[slot] = start;
  NAME_LENGTHS[slot] = name.length;
  NOTE_BY_HASH[slot] = note;
  start += name.length;
}

/** Different for each of the names above; the factors were tried until it was. */
function hashOf(bytes: Buffer, from: number, end: number): number {
  const length = end - from;
  const middle = bytes[from + (length >>> 1)] ?? 0;
  return (length * 42 + middle * 6 + (bytes[end - 1] ?? 0) * 11 + (bytes[from] ?? 0)) & (HASHES - 1);
}

/** What the name in these bytes means: a kind, what may be done with the value, the static entry. */
export function noteOfBytes(bytes: Buffer, from: number, end: number): number {
  const length = end - from;
  if (length === 0) return BAD_NAME;
  for (let slot = hashOf(bytes, from, end); NAME_LENGTHS[slot] !== 0; slot = (slot + 1) & (HASHES - 1)) {
    if (NAME_LENGTHS[slot] === length && spellsName(STARTS[slot] ?? 0, bytes, from, length))
      return NOTE_BY_HASH[slot] ?? 0;
  }
  const isPseudo = bytes[from] === 58;
  for (let at = isPseudo ? from + 1 : from; at < end; at++) {
    if (((CLASS[bytes[at] ?? 0] ?? 0) & TOKEN) === 0) return BAD_NAME;
  }
  return isPseudo ? UNKNOWN_PSEUDO : ORDINARY;
}

/** As `noteOfBytes`, for a name in lower case that a field may have. */
export function noteOfText(name: string): number {
  return NOTES.get(name) ?? ORDINARY;
}

function spellsName(known: number, bytes: Buffer, from: number, length: number): boolean {
  for (let at = 0; at < length; at++) if (NAMES[known + at] !== bytes[from + at]) return false;
  return true;
}

/** Whether the bytes may stand in a value: no control character but tab (RFC 9113 §8.2.1). */
export function isText(bytes: Buffer, from: number, end: number): boolean {
  // Negative once a byte was below 32 or was 127; then it is looked at whether all of those were tabs.
  let odd = 0;
  for (let at = from; at < end; at++) {
    const byte = bytes[at] ?? 0;
    odd |= (byte - 32) | ((byte ^ 127) - 1);
  }
  if (odd < 0) {
    for (let at = from; at < end; at++) if (((CLASS[bytes[at] ?? 0] ?? 0) & VALUE) === 0) return false;
  }
  return true;
}

/** Whether a value neither starts nor ends blank (RFC 9113 §8.2.1). */
export function isTrimmed(bytes: Buffer, from: number, end: number): boolean {
  return end === from || (!isBlank(bytes[from] ?? 0) && !isBlank(bytes[end - 1] ?? 0));
}

function isBlank(byte: number): boolean {
  return byte === 32 || byte === 9;
}
