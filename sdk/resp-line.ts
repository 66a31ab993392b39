// Lines of Redis' protocol. Strict: a number is one that Redis' own reader takes, and a line ends with CRLF.

/** What is not the protocol, or is beyond its bounds. */
export class RespError extends Error {
  override readonly name = "RespError";
}

const CR = 13;
const LF = 10;
/** Of a line that holds a number. */
const NUMBER_MAX_BYTES = 24;
const PIECE_BYTES = 4096;
const NUMBER = /^(?:0|-?[1-9]\d{0,17})$/u;

/** Reads forward from a position; what it has read is behind `at`. */
export class LineReader {
  readonly #bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** A number behind the byte `type`; `undefined` where the line has no end yet, and then nothing was read. */
  number(type: number, min: number, max: number): number | undefined {
    const line = this.line(NUMBER_MAX_BYTES, NUMBER_MAX_BYTES);
    if (line === undefined) return undefined;
    const number = NUMBER.test(line.slice(1)) ? Number(line.slice(1)) : Number.NaN;
    if (line.charCodeAt(0) !== type || !(number >= min && number <= max))
      throw new RespError(`${JSON.stringify(line)} is no length of the protocol`);
    return number;
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
  // In pieces: engines bound how many arguments a call takes.
  for (let at = start; at < end; at += PIECE_BYTES)
    text += String.fromCharCode(...bytes.subarray(at, Math.min(end, at + PIECE_BYTES)));
  return text;
}
