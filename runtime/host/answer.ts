// What a host function is: a name, a request of one line (with text behind it where that says so), bytes, an answer and its
// price. A guest asks, so everything in a request is hostile: bounds are checked before any work, and nothing throws.
import type { Result } from "../exchange/failure.ts";

/** What a host function answers, and its price. */
export interface HostAnswer<Value> {
  /** An error names what is wrong, in lower case; the guest sees it as an exception. */
  readonly result: Result<Value, string>;
  /** In units of a guest's loop turn, some 6 ns. */
  readonly fuel: number;
}

/** The payload is the guest's, and read during the call only. */
export type HostFunction<Value> = (request: string, payload: Uint8Array) => HostAnswer<Value>;

/** Nanoseconds of work that one unit of fuel pays for. */
const FUEL_NS = 6;
/** Of a number that a double holds whole. */
const DIGITS_MAX = 15;
/** The character `0`. */
const ZERO = 48;
/** Longest part of a guest's text that an error repeats. */
const QUOTED_MAX_LENGTH = 64;

/** An answer whose work took about `costNs` on a machine of two cores. */
export function answered<Value>(value: Value, costNs: number): HostAnswer<Value> {
  return { result: { ok: true, value }, fuel: Math.ceil(costNs / FUEL_NS) };
}

/** An error; what was done before it was found costs too. */
export function refused(error: string, costNs = 0): HostAnswer<never> {
  return { result: { ok: false, error }, fuel: Math.ceil(costNs / FUEL_NS) };
}

/** A request taken apart: the words of its first line, and the text behind that line. */
export interface Request {
  readonly words: readonly string[];
  /** `undefined` where the request is one line without an end. */
  readonly text: string | undefined;
}

/** Reads `word word LF text`. */
export function readRequest(request: string): Request {
  const end = request.indexOf("\n");
  if (end < 0) return { words: request.split(" "), text: undefined };
  return { words: request.slice(0, end).split(" "), text: request.slice(end + 1) };
}

/** A word that is a whole number between the bounds; `undefined` for every other. */
export function readCount(word: string | undefined, min: number, max: number): number | undefined {
  if (word === undefined || word === "" || word.length > DIGITS_MAX) return undefined;
  let count = 0;
  for (let at = 0; at < word.length; at++) {
    const digit = word.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) return undefined;
    count = count * 10 + digit;
  }
  return count >= min && count <= max ? count : undefined;
}

/** What a guest wrote, as an error repeats it. */
export function quote(text: string | undefined): string {
  return JSON.stringify((text ?? "").slice(0, QUOTED_MAX_LENGTH));
}
