// Regular expressions in time linear in the text (RE2's syntax and semantics, by re2js): no look-around and no references back.
// A pattern and a text together have a bound, since linear still multiplies one by the other.
import { RE2JS } from "re2js";
import type { Result } from "../exchange/failure.ts";
import { quote } from "./answer.ts";
import { Lru } from "./lru.ts";

const PATTERN_MAX_LENGTH = 2000;
/** Repeats multiply what they repeat when a pattern is compiled: the sum of their counts, by the pattern's length. */
const REPEATED_MAX = 40_000;
/** Names of classes (`\p{L}`) in a pattern: each is some 12 KB, and takes a tenth of a millisecond. */
const CLASSES_MAX = 100;
/** States of a compiled pattern. */
const STATES_MAX = 5000;
const PATTERNS_MAX = 512;
/** Of all that are kept, in nanoseconds that compiling them took: some 90 KB a millisecond at the worst. */
const KEPT_MAX_NS = 1_000_000_000;
const COMPILE_NS = 20_000;
const NS_PER_CHARACTER = 6000;
const NS_PER_STATE = 10_000;
/** Without regard to case; half of that with it. */
const NS_PER_CLASS = 250_000;
const FLAGS_MAX = 3;

const FLAGS: Readonly<Record<string, number>> = {
  i: RE2JS.CASE_INSENSITIVE,
  m: RE2JS.MULTILINE,
  s: RE2JS.DOTALL,
};

/** A pattern, or why it is none, and what it took. */
interface Compiled {
  readonly pattern: Result<RE2JS, string>;
  /** About, in nanoseconds; `0` where it was known. */
  readonly costNs: number;
}

const compiled = new Lru<Compiled>(PATTERNS_MAX, KEPT_MAX_NS);

/** Compiles a pattern, once for as long as it is used. Flags are any of `i`, `m` and `s`. */
export function compilePattern(pattern: string, flags: string): Result<RE2JS, string> {
  return compilePriced(pattern, flags).pattern;
}

/** The same, with its price. */
export function compilePriced(pattern: string, flags: string): Compiled {
  if (pattern.length > PATTERN_MAX_LENGTH)
    return free(`pattern is ${pattern.length} long, limit is ${PATTERN_MAX_LENGTH}`);
  if (flags.length > FLAGS_MAX || !/^[ims]*$/u.test(flags))
    return free(`flags are ${quote(flags)}, must be of i, m and s`);
  const key = `${flags}\n${pattern}`;
  const known = compiled.get(key);
  if (known !== undefined) return { pattern: known.pattern, costNs: 0 };
  const made = compile(pattern, flags);
  compiled.set(key, made, made.costNs);
  return made;
}

function free(error: string): Compiled {
  return { pattern: { ok: false, error }, costNs: 0 };
}

function compile(pattern: string, flags: string): Compiled {
  let repeats = 0;
  for (const [, min = "", max = ""] of pattern.matchAll(/\{(\d+)(?:,(\d*))?\}/gu))
    repeats += Math.max(Number(min), Number(max));
  const classes = pattern.match(/\\p/giu)?.length ?? 0;
  const readNs = COMPILE_NS + pattern.length * NS_PER_CHARACTER;
  if (repeats * pattern.length > REPEATED_MAX) return failed("pattern repeats too much too often", readNs);
  if (classes > CLASSES_MAX) return failed(`pattern names ${classes} classes, limit is ${CLASSES_MAX}`, readNs);
  const textNs = readNs + classes * NS_PER_CLASS;
  let bits = 0;
  for (const flag of flags) bits |= FLAGS[flag] ?? 0;
  try {
    // JavaScript's escapes are not all RE2's.
    const made = RE2JS.compile(RE2JS.translateRegExp(pattern), bits);
    const states = made.programSize();
    const costNs = Math.max(textNs, states * NS_PER_STATE);
    if (states <= STATES_MAX) return { pattern: { ok: true, value: made }, costNs };
    return failed(`pattern compiles to ${states} states, limit is ${STATES_MAX}`, costNs);
  } catch (error) {
    // What RE2 does not have, or no pattern at all.
    return failed(error instanceof Error ? error.message : String(error), textNs);
  }
}

function failed(error: string, costNs: number): Compiled {
  return { pattern: { ok: false, error }, costNs };
}
