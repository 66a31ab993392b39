// HTTP/1.1 heads, strictly (RFC 9112). Whatever two implementations could frame differently is refused here: a proxy that
// guesses is how requests are smuggled. One pass over the bytes, nothing allocated: results are fields of the parser,
// valid until its next call. Who is on a connection mostly sends the same fields again; those need no second pass.
import { latin1, matchesName } from "../exchange/headers.ts";

/** The head is not complete; call again with more bytes. */
export const INCOMPLETE = -1;
/** The head is refused; `problem` says why. */
export const REFUSED = -2;
/** The head is beyond its limits; `problem` says which. */
export const TOO_LARGE = -3;

export interface HeadLimits {
  /** Start line and fields together, bytes. */
  readonly headMaxBytes: number;
  readonly headersMax: number;
}

const TOKEN = 1;
const VALUE = 2;
const TARGET = 4;
const CR = 13;
const LF = 10;
const SPACE = 32;
const TAB = 9;
const COLON = 58;

const CLASS = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const isToken = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/u.test(String.fromCodePoint(byte)) && byte < 128;
  // RFC 9110 §5.5: visible characters, obs-text, space and tab.
  const isValue = byte === TAB || (byte >= SPACE && byte !== 127);
  // RFC 9112 §3.2: no space; a fragment is never sent (RFC 9110 §4.2.5), and some servers cut the path at it.
  const isTarget = byte > SPACE && byte < 127 && byte !== 35;
  CLASS[byte] = (isToken ? TOKEN : 0) | (isValue ? VALUE : 0) | (isTarget ? TARGET : 0);
}

const KEEP = 0;
const DROP = 1;
/** A longer field section is parsed each time: what a parser holds of a connection that is idle. */
const KEPT_MAX_BYTES = 1024;
const NO_BYTES = Buffer.alloc(0);
const NO_MARKS = new Uint8Array(0);
/** Options that the `Connection` fields of a head may hold together. */
const OPTIONS_MAX = 64;

/** Parses request heads, reply heads and trailer sections. One for each connection and direction. */
export class HeadParser {
  /** Four offsets a field: name start and end, value start and end. */
  offsets: Int32Array = new Int32Array(32 * 4);
  /** 1 for fields of this hop, which are not passed on (RFC 9110 §7.6.1). */
  marks: Uint8Array = new Uint8Array(32);
  count = 0;

  method = "";
  target = "";
  status = 0;
  reason = "";
  /** HTTP/1.`minor`. */
  minor = 1;
  /** Value of `Host`, without spaces around it. */
  host = "";
  /** `Content-Length`, -1 where there is none. */
  contentLength = -1;
  isChunked = false;
  /** `Connection: close`, or HTTP/1.0 without `keep-alive`. */
  closes = false;
  expectsContinue = false;
  /** An expectation that is not known (RFC 9110 §10.1.1). */
  expectsMore = false;
  /** Fields named `Host`. */
  hosts = 0;
  /** Seconds that `Keep-Alive: timeout=` says; 0 where it says none. */
  keepAliveTimeoutS = 0;
  /** What `Upgrade` names, in lower case, where `Connection` asks for it and it is one protocol; else empty (RFC 9110 §7.8). */
  upgrade = "";
  /** Why the last head was refused. */
  problem = "";

  #checkedHost = "";
  #lengths = 0;
  #encodings = 0;
  #connectionFields = 0;
  #saysKeepAlive = false;
  #saysUpgrade = false;
  /** Index of the `Upgrade` field, -1 where there is none, -2 where there are several. */
  #upgradeField = -1;
  /** A field was refused while it was stored. */
  #isBroken = false;
  /** White space follows the length on its line. */
  #isLengthPadded = false;

  /** The field section that the results are of, empty line included, and what else they depend on; length 0 where they are of none. */
  #kept: Buffer = NO_BYTES;
  #keptLength = 0;
  #keptMinor = 1;
  #keptLimits: HeadLimits | undefined = undefined;
  /** `marks` as they were parsed: whoever took them may have changed some since. */
  #keptMarks: Uint8Array = NO_MARKS;
  /** Where that section began when `offsets` were last set. */
  #keptAt = 0;
  /** No head was read yet. */
  #isFirst = true;

  /** Position after the head, `INCOMPLETE`, `REFUSED` or `TOO_LARGE`. */
  parseRequest(bytes: Buffer, start: number, limits: HeadLimits): number {
    const limit = Math.min(bytes.length, start + limits.headMaxBytes);
    let position = start;
    while (position < limit && ((CLASS[bytes[position] ?? 0] ?? 0) & TOKEN) !== 0) position++;
    if (position === limit) return this.#outOfBytes(bytes, start, limits);
    if (bytes[position] !== SPACE || position === start) return this.#refuse("the method is not a token");
    this.method = internMethod(bytes, start, position);
    const targetStart = ++position;
    while (position < limit && ((CLASS[bytes[position] ?? 0] ?? 0) & TARGET) !== 0) position++;
    if (position === limit) return this.#outOfBytes(bytes, start, limits);
    if (bytes[position] !== SPACE || position === targetStart)
      return this.#refuse("the target holds a character that it may not");
    const targetEnd = position++;
    if (position + 10 > limit) {
      return startsLike(bytes, position, limit)
        ? this.#outOfBytes(bytes, start, limits)
        : this.#refuse("the version is not HTTP/1.0 or HTTP/1.1");
    }
    if (!this.#version(bytes, position) || bytes[position + 8] !== CR || bytes[position + 9] !== LF) {
      return this.#refuse("the version is not HTTP/1.0 or HTTP/1.1");
    }
    position = this.#fields(bytes, position + 10, start, limits);
    if (position < 0) return position;
    this.target = latin1(bytes, targetStart, targetEnd);
    return this.#frameRequest() ? position : REFUSED;
  }

  /** As `parseRequest`. Framing is left to the caller, who knows the request's method. */
  parseReply(bytes: Buffer, start: number, limits: HeadLimits): number {
    const limit = Math.min(bytes.length, start + limits.headMaxBytes);
    if (start + 13 > limit) {
      return startsLike(bytes, start, limit)
        ? this.#outOfBytes(bytes, start, limits)
        : this.#refuse("the status line does not start with HTTP/1.0 or HTTP/1.1");
    }
    if (!this.#version(bytes, start)) return this.#refuse("the status line does not start with HTTP/1.0 or HTTP/1.1");
    const status =
      ((bytes[start + 9] ?? 0) - 48) * 100 + ((bytes[start + 10] ?? 0) - 48) * 10 + ((bytes[start + 11] ?? 0) - 48);
    if (bytes[start + 8] !== SPACE || !isDigits(bytes, start + 9, start + 12) || status < 100)
      return this.#refuse("the status is not three digits");
    this.status = status;
    let position = start + 12;
    if (bytes[position] === SPACE) position++;
    else if (bytes[position] !== CR) return this.#refuse("the status is not followed by a space");
    const reasonStart = position;
    while (position < limit && ((CLASS[bytes[position] ?? 0] ?? 0) & VALUE) !== 0) position++;
    if (position + 1 >= limit) return this.#outOfBytes(bytes, start, limits);
    if (bytes[position] !== CR || bytes[position + 1] !== LF) return this.#refuse("the status line ends without CRLF");
    this.reason = internReason(bytes, reasonStart, position);
    position = this.#fields(bytes, position + 2, start, limits);
    if (position < 0) return position;
    return this.#frame() ? position : REFUSED;
  }

  /** Parses a trailer section (RFC 9112 §7.1.2), which ends with an empty line. Fields that frame or route are marked as not passed on (RFC 9110 §6.5.1). */
  parseTrailers(bytes: Buffer, start: number, limits: HeadLimits): number {
    this.#keptLength = 0;
    const position = this.#fields(bytes, start, start, limits);
    this.#keptLength = 0;
    if (position < 0) return position;
    for (let field = 0; field < this.count; field++) {
      const nameStart = this.offsets[field * 4] ?? 0;
      const name = latin1(bytes, nameStart, this.offsets[field * 4 + 1] ?? 0).toLowerCase();
      if (NOT_IN_TRAILERS.has(name)) this.marks[field] = DROP;
    }
    return position;
  }

  #reset(): void {
    this.#keptLength = 0;
    this.count = 0;
    this.host = "";
    this.contentLength = -1;
    this.isChunked = false;
    this.closes = false;
    this.expectsContinue = false;
    this.expectsMore = false;
    this.hosts = 0;
    this.keepAliveTimeoutS = 0;
    this.upgrade = "";
    this.#lengths = 0;
    this.#encodings = 0;
    this.#connectionFields = 0;
    this.#saysKeepAlive = false;
    this.#saysUpgrade = false;
    this.#upgradeField = -1;
    this.#isBroken = false;
    this.#isLengthPadded = false;
  }

  #refuse(problem: string): number {
    this.problem = problem;
    return REFUSED;
  }

  #outOfBytes(bytes: Buffer, start: number, limits: HeadLimits): number {
    if (bytes.length - start < limits.headMaxBytes) return INCOMPLETE;
    this.problem = `the head is longer than ${limits.headMaxBytes} bytes`;
    return TOO_LARGE;
  }

  #version(bytes: Buffer, at: number): boolean {
    // "HTTP/1." and a digit.
    if (bytes[at] !== 72 || bytes[at + 1] !== 84 || bytes[at + 2] !== 84 || bytes[at + 3] !== 80) return false;
    if (bytes[at + 4] !== 47 || bytes[at + 5] !== 49 || bytes[at + 6] !== 46) return false;
    const minor = (bytes[at + 7] ?? 0) - 48;
    if (minor !== 0 && minor !== 1) return false;
    this.minor = minor;
    return true;
  }

  /** Fields up to and with the empty line. */
  #fields(bytes: Buffer, from: number, start: number, limits: HeadLimits): number {
    const limit = Math.min(bytes.length, start + limits.headMaxBytes);
    if (this.#isKept(bytes, from, limit, limits)) return from + this.#keptLength;
    this.#reset();
    let position = from;
    for (;;) {
      if (position + 1 >= limit) return this.#outOfBytes(bytes, start, limits);
      if (bytes[position] === CR) {
        if (bytes[position + 1] !== LF) return this.#refuse("a CR stands without LF");
        break;
      }
      const nameStart = position;
      while (position < limit && ((CLASS[bytes[position] ?? 0] ?? 0) & TOKEN) !== 0) position++;
      if (position === limit) return this.#outOfBytes(bytes, start, limits);
      const nameEnd = position;
      // Also refuses obs-fold (a line that starts with a space) and a space before the colon (RFC 9112 §5.1, §5.2).
      if (bytes[position] !== COLON || nameEnd === nameStart)
        return this.#refuse("a field line is not a name and a colon");
      position++;
      while (position < limit && (bytes[position] === SPACE || bytes[position] === TAB)) position++;
      const valueStart = position;
      while (position < limit && ((CLASS[bytes[position] ?? 0] ?? 0) & VALUE) !== 0) position++;
      if (position + 1 >= limit) return this.#outOfBytes(bytes, start, limits);
      if (bytes[position] !== CR || bytes[position + 1] !== LF)
        return this.#refuse("a field value holds a control character");
      let valueEnd = position;
      while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) valueEnd--;
      position += 2;
      if (this.count === limits.headersMax) {
        this.problem = `the head has more than ${limits.headersMax} fields`;
        return TOO_LARGE;
      }
      this.#store(bytes, nameStart, nameEnd, valueStart, valueEnd);
      if (this.#isBroken) return REFUSED;
    }
    if (this.#connectionFields > 0 && !this.#dropNominated(bytes))
      return this.#refuse(`Connection names more than ${OPTIONS_MAX} fields`);
    if (this.#upgradeField >= 0 && this.#saysUpgrade && this.minor === 1) this.#readUpgrade(bytes);
    this.#keep(bytes, from, position + 2, limits);
    return position + 2;
  }

  /** Whether the section that begins at `from` is byte by byte the one that the results are of; then they are again. */
  #isKept(bytes: Buffer, from: number, limit: number, limits: HeadLimits): boolean {
    const length = this.#keptLength;
    const end = from + length;
    if (length === 0 || end > limit || limits !== this.#keptLimits || this.minor !== this.#keptMinor) return false;
    // Another length is mostly seen by its end already.
    if (bytes[end - 1] !== LF || bytes[end - 3] !== LF || bytes.compare(this.#kept, 0, length, from, end) !== 0)
      return false;
    const { count, marks, offsets } = this;
    const moved = from - this.#keptAt;
    if (moved !== 0) for (let at = 0; at < count * 4; at++) offsets[at] = (offsets[at] ?? 0) + moved;
    this.#keptAt = from;
    for (let field = 0; field < count; field++) marks[field] = this.#keptMarks[field] ?? KEEP;
    return true;
  }

  #keep(bytes: Buffer, from: number, end: number, limits: HeadLimits): void {
    const { count } = this;
    const length = end - from;
    // Many connections carry one head only. Without a field there is nothing to keep.
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (isFirst || length > KEPT_MAX_BYTES || count === 0) return;
    if (length > this.#kept.length) this.#kept = Buffer.allocUnsafeSlow(length);
    bytes.copy(this.#kept, 0, from, end);
    if (count > this.#keptMarks.length) this.#keptMarks = new Uint8Array(count);
    for (let field = 0; field < count; field++) this.#keptMarks[field] = this.marks[field] ?? KEEP;
    this.#keptLength = length;
    this.#keptMinor = this.minor;
    this.#keptLimits = limits;
    this.#keptAt = from;
  }

  #store(bytes: Buffer, nameStart: number, nameEnd: number, valueStart: number, valueEnd: number): void {
    if (this.count === this.marks.length) this.#grow();
    const at = this.count * 4;
    this.offsets[at] = nameStart;
    this.offsets[at + 1] = nameEnd;
    this.offsets[at + 2] = valueStart;
    this.offsets[at + 3] = valueEnd;
    this.marks[this.count] = KEEP;
    // Only lengths that a field of this hop or of framing has; most fields leave here.
    switch (nameEnd - nameStart) {
      case 2:
        // `trailers` alone goes on, as gRPC needs it: this hop passes them (RFC 9110 §10.1.4). Other codings are its own.
        if (
          matchesName(bytes, nameStart, "te") &&
          !(valueEnd - valueStart === 8 && matchesName(bytes, valueStart, "trailers"))
        )
          this.marks[this.count] = DROP;
        break;
      case 4:
        if (matchesName(bytes, nameStart, "host")) {
          this.hosts++;
          this.host = latin1(bytes, valueStart, valueEnd);
        }
        break;
      case 6:
        if (matchesName(bytes, nameStart, "expect")) this.#expect(bytes, valueStart, valueEnd);
        break;
      case 7:
        if (matchesName(bytes, nameStart, "upgrade")) {
          this.marks[this.count] = DROP;
          this.#upgradeField = this.#upgradeField === -1 ? this.count : -2;
        }
        break;
      case 10:
        if (matchesName(bytes, nameStart, "connection")) this.#connection(bytes, valueStart, valueEnd);
        else if (matchesName(bytes, nameStart, "keep-alive")) {
          this.marks[this.count] = DROP;
          const timeout = /(?:^|,)[ \t]*timeout=(\d{1,6})/iu.exec(latin1(bytes, valueStart, valueEnd))?.[1];
          this.keepAliveTimeoutS = Number(timeout ?? 0);
        }
        break;
      case 14:
        if (matchesName(bytes, nameStart, "content-length")) this.#length(bytes, valueStart, valueEnd);
        // Half of an upgrade to h2c: passed on, it could open a connection past every policy (RFC 9113 §3.1).
        else if (matchesName(bytes, nameStart, "http2-settings")) this.marks[this.count] = DROP;
        break;
      case 16:
        if (matchesName(bytes, nameStart, "proxy-connection")) this.marks[this.count] = DROP;
        break;
      case 17:
        if (matchesName(bytes, nameStart, "transfer-encoding")) this.#encoding(bytes, valueStart, valueEnd);
        break;
      default:
    }
    this.count++;
  }

  #grow(): void {
    const offsets = new Int32Array(this.offsets.length * 2);
    offsets.set(this.offsets);
    this.offsets = offsets;
    const marks = new Uint8Array(this.marks.length * 2);
    marks.set(this.marks);
    this.marks = marks;
  }

  #break(problem: string): void {
    this.problem = problem;
    this.#isBroken = true;
  }

  /** RFC 9110 §10.1.1: an expectation that is not known cannot be met, and may be answered with 417. */
  #expect(bytes: Buffer, start: number, end: number): void {
    this.marks[this.count] = DROP;
    if (end - start === 12 && matchesName(bytes, start, "100-continue")) this.expectsContinue = true;
    else this.expectsMore = true;
  }

  /** RFC 9112 §6.3: one field, digits only. Two fields are refused even where they agree. */
  #length(bytes: Buffer, start: number, end: number): void {
    if (++this.#lengths > 1) return this.#break("there are two Content-Length fields");
    // 15 digits stay exact in a double.
    if (end === start || end - start > 15 || !isDigits(bytes, start, end))
      return this.#break("Content-Length is not a number");
    let length = 0;
    for (let at = start; at < end; at++) length = length * 10 + (bytes[at] ?? 0) - 48;
    this.contentLength = length;
    this.#isLengthPadded = bytes[end] !== CR;
    return undefined;
  }

  /** RFC 9112 §6.1: `chunked` alone; any other coding, or the same twice, cannot be framed with certainty. */
  #encoding(bytes: Buffer, start: number, end: number): void {
    this.marks[this.count] = DROP;
    if (++this.#encodings > 1) return this.#break("there are two Transfer-Encoding fields");
    if (end - start !== 7 || !matchesName(bytes, start, "chunked"))
      return this.#break("Transfer-Encoding is not chunked");
    this.isChunked = true;
    return undefined;
  }

  #connection(bytes: Buffer, start: number, end: number): void {
    this.marks[this.count] = DROP;
    if (end - start === 10 && matchesName(bytes, start, "keep-alive")) {
      this.#saysKeepAlive = true;
      return;
    }
    if (end - start === 5 && matchesName(bytes, start, "close")) {
      this.closes = true;
      return;
    }
    this.#connectionFields++;
  }

  /** Fields that `Connection` names belong to this hop (RFC 9110 §7.6.1), save those that frame or route: naming them is an attack on the next hop. */
  #dropNominated(bytes: Buffer): boolean {
    let options = 0;
    for (let field = 0; field < this.count; field++) {
      const start = this.offsets[field * 4] ?? 0;
      if ((this.offsets[field * 4 + 1] ?? 0) - start !== 10 || !matchesName(bytes, start, "connection")) continue;
      const value = latin1(bytes, this.offsets[field * 4 + 2] ?? 0, this.offsets[field * 4 + 3] ?? 0);
      for (const option of value.toLowerCase().split(",", OPTIONS_MAX + 1)) {
        // Each is looked for among all fields: a head full of them would cost as much as a hundred others.
        if (++options > OPTIONS_MAX) return false;
        this.#dropOption(bytes, option.trim());
      }
    }
    return true;
  }

  #dropOption(bytes: Buffer, option: string): void {
    if (option === "close") this.closes = true;
    else if (option === "keep-alive") this.#saysKeepAlive = true;
    else if (option === "upgrade") this.#saysUpgrade = true;
    if (option === "" || option === "host" || option === "content-length" || option === "te") return;
    for (let field = 0; field < this.count; field++) {
      const start = this.offsets[field * 4] ?? 0;
      if ((this.offsets[field * 4 + 1] ?? 0) - start === option.length && matchesName(bytes, start, option))
        this.marks[field] = DROP;
    }
  }

  /** A list is a choice that the client leaves open; nothing is chosen for it. */
  #readUpgrade(bytes: Buffer): void {
    const at = this.#upgradeField * 4;
    const value = latin1(bytes, this.offsets[at + 2] ?? 0, this.offsets[at + 3] ?? 0).toLowerCase();
    if (UPGRADE.test(value)) this.upgrade = value;
  }

  #frameRequest(): boolean {
    if (!this.#frame()) return false;
    if (this.isChunked && this.minor === 0) return this.#refuse("Transfer-Encoding came with HTTP/1.0") > 0;
    // The line goes on as it came, and Node takes a tab after the digits for an error. A client's mistake; an upstream's passes.
    if (this.#isLengthPadded) return this.#refuse("white space follows Content-Length") > 0;
    // RFC 9112 §3.2: exactly one Host in HTTP/1.1.
    if (this.hosts > 1) return this.#refuse("there are two Host fields") > 0;
    if (this.hosts === 0 && this.minor === 1) return this.#refuse("there is no Host field") > 0;
    // A connection nearly always names the same host.
    if (this.host === this.#checkedHost) return true;
    if (!AUTHORITY.test(this.host)) return this.#refuse("Host is not a host and a port") > 0;
    this.#checkedHost = this.host;
    return true;
  }

  #frame(): boolean {
    if (this.isChunked && this.contentLength >= 0)
      return this.#refuse("Content-Length and Transfer-Encoding came together") > 0;
    if (this.minor === 0 && !this.#saysKeepAlive) this.closes = true;
    return true;
  }
}

/** RFC 3986 §3.2.2 and §3.2.3, without user information: what a Host field may hold. May be empty (RFC 9110 §7.2). */
export const AUTHORITY: RegExp = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]*)(?::\d{0,5})?$/u;

/** RFC 9110 §7.8: a protocol's name, and a version where it has one. */
const UPGRADE = /^[a-z0-9!#$%&'*+\-.^_`|~]+(?:\/[a-z0-9!#$%&'*+\-.^_`|~]+)?$/u;

const NOT_IN_TRAILERS = new Set([
  "authorization",
  "cache-control",
  "connection",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "max-forwards",
  "proxy-connection",
  "set-cookie",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether what is there of a start line may still become `HTTP/1.x`: garbage is refused at its first byte, not after a timeout. */
function startsLike(bytes: Buffer, start: number, limit: number): boolean {
  const version = "HTTP/1.";
  for (let index = 0; index < version.length && start + index < limit; index++) {
    if (bytes[start + index] !== version.charCodeAt(index)) return false;
  }
  return true;
}

function isDigits(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 48 || byte > 57) return false;
  }
  return true;
}

function internMethod(bytes: Buffer, start: number, end: number): string {
  if (end - start === 3 && bytes[start] === 71 && bytes[start + 1] === 69 && bytes[start + 2] === 84) return "GET";
  if (
    end - start === 4 &&
    bytes[start] === 80 &&
    bytes[start + 1] === 79 &&
    bytes[start + 2] === 83 &&
    bytes[start + 3] === 84
  )
    return "POST";
  return latin1(bytes, start, end);
}

function internReason(bytes: Buffer, start: number, end: number): string {
  return end - start === 2 && bytes[start] === 79 && bytes[start + 1] === 75 ? "OK" : latin1(bytes, start, end);
}
