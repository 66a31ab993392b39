// The static table of HPACK (RFC 7541, Appendix A), and what each field's name means to a proxy. Lines are kept as they
// stand in a decoded head (`name: value CRLF`), so that a reference to one is one copy.

/** Entries of the static table; the dynamic table begins after it. */
export const STATIC_COUNT = 61;

/** What a name means to the decoder: `ORDINARY` fields are copied and nothing else. */
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
/** The bits of a noted kind that hold one of the above. */
export const KIND = 255;
/** Added to a kind: the value is none that a field may have. */
export const BAD_VALUE = 256;
/** Added to a kind: frames, routes or describes the content, so it is dropped from trailers (RFC 9110 §6.5.1). */
export const NOT_IN_TRAILERS = 512;

const KINDS: ReadonlyMap<string, number> = new Map([
  [":method", METHOD],
  [":path", PATH],
  [":scheme", SCHEME],
  [":authority", AUTHORITY],
  [":protocol", PROTOCOL],
  [":status", STATUS],
  ["host", HOST | NOT_IN_TRAILERS],
  ["cookie", COOKIE],
  ["content-length", CONTENT_LENGTH | NOT_IN_TRAILERS],
  ["expect", EXPECT | NOT_IN_TRAILERS],
  ["te", TE | NOT_IN_TRAILERS],
  ["connection", CONNECTION],
  ["keep-alive", CONNECTION],
  ["proxy-connection", CONNECTION],
  ["transfer-encoding", CONNECTION],
  ["upgrade", CONNECTION],
  ["http2-settings", HTTP2_SETTINGS | NOT_IN_TRAILERS],
  ["authorization", NOT_IN_TRAILERS],
  ["cache-control", NOT_IN_TRAILERS],
  ["content-encoding", NOT_IN_TRAILERS],
  ["content-range", NOT_IN_TRAILERS],
  ["content-type", NOT_IN_TRAILERS],
  ["max-forwards", NOT_IN_TRAILERS],
  ["set-cookie", NOT_IN_TRAILERS],
  ["trailer", NOT_IN_TRAILERS],
]);

/** Names of each length that mean something, so that most names are told apart by length alone. */
const BY_LENGTH: readonly (readonly (readonly [string, number])[])[] = Array.from({ length: 18 }, (_, length) =>
  [...KINDS].filter(([name]) => name.length === length),
);

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

/** What the name in these bytes means. */
export function kindOfName(bytes: Buffer, start: number, end: number): number {
  if (end === start) return BAD_NAME;
  const isPseudo = bytes[start] === 58;
  for (let at = isPseudo ? start + 1 : start; at < end; at++) {
    if (((CLASS[bytes[at] ?? 0] ?? 0) & TOKEN) === 0) return BAD_NAME;
  }
  const named = BY_LENGTH[end - start];
  if (named !== undefined) {
    for (let index = 0; index < named.length; index++) {
      const entry = named[index];
      if (entry !== undefined && spells(bytes, start, entry[0])) return entry[1];
    }
  }
  return isPseudo ? UNKNOWN_PSEUDO : ORDINARY;
}

/** Whether the bytes may stand as a value: no control character, no space or tab at an end (RFC 9113 §8.2.1). */
export function isCleanValue(bytes: Buffer, start: number, end: number): boolean {
  if (end === start) return true;
  let common = VALUE;
  for (let at = start; at < end; at++) common &= CLASS[bytes[at] ?? 0] ?? 0;
  return common !== 0 && !isBlank(bytes[start] ?? 0) && !isBlank(bytes[end - 1] ?? 0);
}

function isBlank(byte: number): boolean {
  return byte === 32 || byte === 9;
}

function spells(bytes: Buffer, start: number, name: string): boolean {
  for (let index = 0; index < name.length; index++) if (bytes[start + index] !== name.charCodeAt(index)) return false;
  return true;
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
/** Four numbers for each static entry from 1: start of its line, end of its name, end of its value, kind. */
export const STATIC_SLOTS: Int32Array = new Int32Array((STATIC_COUNT + 1) * 4);
let line = 0;
for (const [index, [name, value]] of STATIC_FIELDS.entries()) {
  const nameEnd = line + name.length;
  STATIC_SLOTS.set([line, nameEnd, nameEnd + 2 + value.length, KINDS.get(name) ?? ORDINARY], (index + 1) * 4);
  line = nameEnd + value.length + 4;
}
