// Lines of Redis' protocol. Strict: a number is one that Redis' own reader takes, and a line ends with CRLF.

/** What is not the protocol, or is beyond its bounds. */
export class RespError extends Error {
  override readonly name = "RespError";
}

const CR = 13;
const LF = 10;
const DASH = 45;
const ZERO = 48;
const NINE = 57;
/** Of a number: enough for any length, and exact. */
const DIGITS_MAX = 15;
/** Each byte as a character: a look-up costs less than a call. */
const CHARACTERS: readonly string[] = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));

/** Reads forward from a position; what it has read is behind `at`. */
export class LineReader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** A number behind one byte; `undefined` where the line has no end yet, and then nothing was read. */
  number(min: number, max: number): number | undefined {
    const bytes = this.#bytes;
    let at = this.at + 1;
    const isNegative = bytes[at] === DASH;
    if (isNegative) at++;
    const start = at;
    let number = 0;
    for (let byte = bytes[at] ?? CR; byte !== CR; byte = bytes[++at] ?? CR) {
      if (byte < ZERO || byte > NINE || at - start >= DIGITS_MAX) throw new RespError("a length is no number");
      number = number * 10 + byte - ZERO;
    }
    if (at >= bytes.length) return undefined;
    // As Redis reads numbers: no leading zero, and no sign but that of a number below 0.
    const isPlain = at > start && (bytes[start] !== ZERO || (at === start + 1 && !isNegative));
    const value = isNegative ? -number : number;
    if (!isPlain || value < min || value > max) throw new RespError("a length is none of the protocol");
    if (at + 1 >= bytes.length) return undefined;
    if (bytes[at + 1] !== LF) throw new RespError("a line does not end with CRLF");
    this.at = at + 2;
    return value;
  }

  /** The text up to CRLF as Latin-1, its first `takenBytes` alone; `undefined` where it has no end yet. */
  line(maxBytes: number, takenBytes: number): string | undefined {
    const end = this.#bytes.indexOf(CR, this.at);
    if ((end < 0 ? this.#bytes.length : end) - this.at > maxBytes) throw new RespError("a line is too long");
    const lf = this.#bytes.indexOf(LF, this.at);
    if (lf >= 0 && lf !== end + 1) throw new RespError("a line does not end with CRLF");
    if (end < 0 || end + 1 >= this.#bytes.length) return undefined;
    if (lf < 0) throw new RespError("a line does not end with CRLF");
    const line = latin1(this.#bytes, this.at, Math.min(end, this.at + takenBytes));
    this.at = end + 2;
    return line;
  }

  /** Passes over so many bytes and their CRLF; false where these are not all here. */
  skip(length: number): boolean {
    const end = this.at + length;
    if (end + 1 >= this.#bytes.length) return false;
    if (this.#bytes[end] !== CR || this.#bytes[end + 1] !== LF) throw new RespError("a text does not end with CRLF");
    this.at = end + 2;
    return true;
  }
}

/** Bytes as text, each a character. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at++) text += CHARACTERS[bytes[at] ?? 0];
  return text;
}
