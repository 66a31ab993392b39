// What a connection speaks, from its first bytes. Pure. What any HTTP server might take for a request is HTTP/1 here, so that
// nothing reaches an application around the codec's checks by being written oddly; the codec refuses it.

/** What the first bytes are; `undefined` where more are needed. */
export type Detected = "http1" | "http2" | "tls" | "tcp" | undefined;

/** RFC 9113 §3.4. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/** A first line longer than this is HTTP where it begins like a request line, since no other text protocol has such lines. */
export const FIRST_LINE_MAX_BYTES: number = 8 * 1024;

const TAB = 9;
const LF = 10;
const CR = 13;
const FILE_SEPARATOR = 28;
const SPACE = 32;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;

/** A method that everybody knows, then the beginning of a target: known without waiting for the line's end. What stands between is whatever some server takes for a space: Python's splits at 0xA0 too. */
const REQUEST_START =
  /^(?:GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|TRACE|PROPFIND|REPORT|SEARCH)[^!-~]+(?:[/*]|https?:)|^CONNECT[^!-~]+[!-~]+:\d+[^!-~]/iu;
const HTTP_VERSION = /HTTP\/\d/iu;
/** Enough of a line to match `REQUEST_START`. */
const START_BYTES = 320;

/** Names the protocol of a connection that begins with `bytes`. */
export function detect(bytes: Buffer): Detected {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === HANDSHAKE) return detectTls(bytes);
  if (startsLike(bytes, PREFACE)) return bytes.length >= PREFACE.length ? "http2" : undefined;
  return detectHttp1(bytes);
}

/** A handshake record of SSL 3 or later that begins with a ClientHello. */
function detectTls(bytes: Buffer): Detected {
  if (bytes.length > 1 && bytes[1] !== 3) return "tcp";
  if (bytes.length < 6) return undefined;
  return bytes[5] === CLIENT_HELLO ? "tls" : "tcp";
}

function startsLike(bytes: Buffer, pattern: Buffer): boolean {
  const length = Math.min(bytes.length, pattern.length);
  return bytes.compare(pattern, 0, length, 0, length) === 0;
}

/** Servers skip empty lines before a request (RFC 9112 §2.2), and some skip whatever else is blank. */
function detectHttp1(bytes: Buffer): Detected {
  let start = 0;
  while (start < bytes.length && isBlank(bytes[start])) start++;
  // Node skips as many empty lines as come, so that any number of them may be followed by a request.
  if (start === bytes.length) return bytes.length > FIRST_LINE_MAX_BYTES ? "http1" : undefined;
  const lineEnd = bytes.indexOf(LF, start);
  const end = lineEnd < 0 ? bytes.length : lineEnd;
  if (REQUEST_START.test(bytes.latin1Slice(start, Math.min(end, start + START_BYTES)))) return "http1";
  if (lineEnd >= 0) return HTTP_VERSION.test(bytes.latin1Slice(start, end)) ? "http1" : "tcp";
  if (!isText(bytes, start)) return HTTP_VERSION.test(bytes.latin1Slice(start, end)) ? "http1" : "tcp";
  return bytes.length - start > FIRST_LINE_MAX_BYTES ? "http1" : undefined;
}

/** White space to any server: from tab to CR, from file separator to space (Python's `str.split`). */
function isBlank(byte = 0): boolean {
  return (byte >= TAB && byte <= CR) || (byte >= FILE_SEPARATOR && byte <= SPACE);
}

/** No control characters but blanks: what a line of text may still become. */
function isText(bytes: Buffer, start: number): boolean {
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < SPACE && !isBlank(byte)) return false;
  }
  return true;
}
