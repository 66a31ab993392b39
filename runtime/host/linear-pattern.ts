// Regular expressions in time linear in the text (RE2's syntax and semantics, by re2js): no look-around and no references back.
// A pattern and a text together have a bound, since linear still multiplies one by the other.
import { RE2JS } from "re2js";
import type { Result } from "../exchange/failure.ts";
import { Lru } from "./lru.ts";

const PATTERN_MAX_LENGTH = 2000;
/** Repeats multiply what they repeat when a pattern is compiled: the sum of their counts, by the pattern's length. */
const REPEATED_MAX = 100_000;
/** States of a compiled pattern. */
const STATES_MAX = 5000;
const PATTERNS_MAX = 512;

const FLAGS: Readonly<Record<string, number>> = {
  i: RE2JS.CASE_INSENSITIVE,
  m: RE2JS.MULTILINE,
  s: RE2JS.DOTALL,
};

const compiled = new Lru<Result<RE2JS, string>>(PATTERNS_MAX);

/** Compiles a pattern, once for as long as it is used. Flags are any of `i`, `m` and `s`. */
export function compilePattern(pattern: string, flags: string): Result<RE2JS, string> {
  if (pattern.length > PATTERN_MAX_LENGTH)
    return { ok: false, error: `pattern is ${pattern.length} long, limit is ${PATTERN_MAX_LENGTH}` };
  const key = `${flags}\n${pattern}`;
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const made = compile(pattern, flags);
  compiled.set(key, made);
  return made;
}

function compile(pattern: string, flags: string): Result<RE2JS, string> {
  let bits = 0;
  for (const flag of flags) {
    const bit = FLAGS[flag];
    if (bit === undefined) return { ok: false, error: `flags are ${JSON.stringify(flags)}, must be of i, m and s` };
    bits |= bit;
  }
  let repeats = 0;
  for (const [, min = "", max = ""] of pattern.matchAll(/\{(\d+)(?:,(\d*))?\}/gu))
    repeats += Math.max(Number(min), Number(max));
  if (repeats * pattern.length > REPEATED_MAX) return { ok: false, error: "pattern repeats too much too often" };
  try {
    // JavaScript's escapes are not all RE2's.
    const made = RE2JS.compile(RE2JS.translateRegExp(pattern), bits);
    const states = made.programSize();
    if (states <= STATES_MAX) return { ok: true, value: made };
    return { ok: false, error: `pattern compiles to ${states} states, limit is ${STATES_MAX}` };
  } catch (error) {
    // What RE2 does not have, or no pattern at all.
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}
