// Lines of a log as bytes: as text, their parts would be as many strings, and those cost more than most stages of the
// request path.
import type { Exchange } from "../exchange/exchange.ts";

/** Up to this length a loop is faster than a call. */
const LOOP_MAX = 20;
const DASH = 45;
const ZERO = 48;
/** The largest whole number of 31 bits, and how many digits it has. */
const WORD_MAX = 2 ** 31 - 1;
const WORD_DIGITS = 10;

/** Text on its way into a buffer, as Latin-1. What has no room is left out, and `isShort` says so. */
export class LineBuffer {
  readonly bytes: Buffer;
  /** Where the next byte goes. */
  at = 0;
  /** Something did not fit. */
  isShort = false;
  /** How often it was begun anew: what lay in it before is not there any more. */
  cycle = 0;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes);
  }

  /** Begins anew. */
  clear(): void {
    this.at = 0;
    this.isShort = false;
    this.cycle++;
  }

  byte(value: number): void {
    if (this.at >= this.bytes.length) this.isShort = true;
    else this.bytes[this.at++] = value;
  }

  text(value: string): void {
    const { bytes } = this;
    const { length } = value;
    let { at } = this;
    if (at + length > bytes.length) {
      this.isShort = true;
      return;
    }
    if (length > LOOP_MAX) at += bytes.latin1Write(value, at);
    else for (let index = 0; index < length; index++) bytes[at++] = value.charCodeAt(index);
    this.at = at;
  }

  /** `-` for what is not there. */
  orDash(value: string): void {
    if (value === "") this.byte(DASH);
    else this.text(value);
  }

  /** A whole number. */
  number(value: number): void {
    const { bytes, at } = this;
    if (value >= 0 && value < 10) this.byte(ZERO + value);
    else if (value >= 10 && value <= WORD_MAX && at + WORD_DIGITS <= bytes.length) {
      // Most are; a string would be made for each.
      let digits = 2;
      for (let limit = 100; limit <= value; limit *= 10) digits++;
      let rest = value;
      for (let index = at + digits - 1; index >= at; index--) {
        const tens = (rest / 10) | 0;
        bytes[index] = ZERO + rest - tens * 10;
        rest = tens;
      }
      this.at = at + digits;
    } else this.text(String(value));
  }

  /** Copies what lies between those positions to the end; false where it does not fit. */
  repeat(start: number, end: number): boolean {
    const { at } = this;
    if (at + (end - start) > this.bytes.length) return false;
    this.bytes.copyWithin(at, start, end);
    this.at = at + (end - start);
    return true;
  }

  /** Writes over what lies there. */
  overwrite(value: string, start: number): void {
    this.bytes.latin1Write(value, start);
  }

  copy(from: Buffer, start: number, end: number): void {
    const { bytes } = this;
    let { at } = this;
    if (at + (end - start) > bytes.length) {
      this.isShort = true;
      return;
    }
    if (end - start > LOOP_MAX) at += from.copy(bytes, at, start, end);
    else for (let index = start; index < end; index++) bytes[at++] = from[index] ?? 0;
    this.at = at;
  }
}

type Render = (line: LineBuffer, exchange: Exchange) => void;

/** A part of the line that is mostly the same again: the last one is kept as bytes. */
export class Kept {
  readonly #kept = new LineBuffer(4096);
  readonly #render: Render;

  constructor(render: Render) {
    this.#render = render;
  }

  /** `isSame`: it would be rendered as the last time. */
  write(line: LineBuffer, exchange: Exchange, isSame: boolean): void {
    const kept = this.#kept;
    if (!isSame) {
      kept.clear();
      this.#render(kept, exchange);
    }
    if (kept.isShort) this.#render(line, exchange);
    else line.copy(kept.bytes, 0, kept.at);
  }
}
