// Regular expressions for filters.
import type { RE2JS } from "re2js";
import type { Result } from "../exchange/failure.ts";
import { answered, quote, readCount, readRequest, refused, type HostAnswer } from "./answer.ts";
import { compilePattern } from "./linear-pattern.ts";

const TEXT_MAX_LENGTH = 1024 * 1024;
/** States of a pattern times characters of a text; some 40 ms at the worst. */
const WORK_MAX = 1_500_000;
const REPLACED_MAX_LENGTH = 4 * 1024 * 1024;
const CALL_NS = 3000;
/** A character costs what the pattern makes of it: this, and some for each of its states. */
const NS_PER_CHARACTER = 10;
const NS_PER_STATE = 4;
const NS_PER_PLACE = 100;

/** What a request names, checked. */
interface Search {
  readonly pattern: RE2JS;
  /** What follows the pattern: the text, and what else the function takes. */
  readonly rest: string;
  readonly words: readonly string[];
  readonly costNs: number;
}

/** `regex-test`: request = flags or `-` SP length-of-pattern LF pattern text. Answers `1` or `0`. */
export function testPattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return refused(search.error);
  const { pattern, rest, costNs } = search.value;
  return answered(pattern.test(rest) ? "1" : "0", costNs);
}

/**
 * `regex-exec`: request = flags or `-` SP length-of-pattern SP where-to-begin LF pattern text. Answers JSON: where the first
 * match begins, its groups, and which of them have names; or nothing.
 */
export function execPattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return refused(search.error);
  const { pattern, rest, words, costNs } = search.value;
  const start = readCount(words[2], 0, rest.length);
  if (start === undefined) return refused(`text begins at ${quote(words[2])}, has ${rest.length} characters`);
  const matcher = pattern.matcher(rest);
  if (!matcher.find(start)) return answered("", costNs);
  const groups = Array.from({ length: matcher.groupCount() + 1 }, (_, group) => matcher.group(group));
  return answered(JSON.stringify([matcher.start(), groups, pattern.namedGroups()]), costNs);
}

/**
 * `regex-all`: request = flags or `-` SP length-of-pattern SP where-to-begin LF pattern text. Answers JSON: a list of where each
 * match begins and ends, one after the other, without those of no characters.
 */
export function findPattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return refused(search.error);
  const { pattern, rest, words, costNs } = search.value;
  const start = readCount(words[2], 0, rest.length);
  if (start === undefined) return refused(`text begins at ${quote(words[2])}, has ${rest.length} characters`);
  const matcher = pattern.matcher(rest);
  const places: number[] = [];
  let isFound = matcher.find(start);
  while (isFound) {
    if (matcher.end() > matcher.start()) places.push(matcher.start(), matcher.end());
    isFound = matcher.find();
  }
  return answered(JSON.stringify(places), costNs + places.length * NS_PER_PLACE);
}

/**
 * `regex-replace`: request = flags or `-` SP length-of-pattern SP length-of-replacement SP `first` or `all` LF pattern
 * replacement text. The replacement is JavaScript's: `$&`, `$1`, `$<name>`, `$$`.
 */
export function replacePattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return refused(search.error);
  const { pattern, rest, words, costNs } = search.value;
  const length = readCount(words[2], 0, rest.length);
  if (length === undefined) return refused(`length of the replacement is ${quote(words[2])}`);
  const isAll = words[3] === "all";
  const pieces = parseReplacement(rest.slice(0, length), pattern);
  const text = rest.slice(length);
  const matcher = pattern.matcher(text);
  let replaced = "";
  let from = 0;
  while (matcher.find()) {
    replaced += text.slice(from, matcher.start());
    for (const piece of pieces) {
      replaced += typeof piece === "string" ? piece : (matcher.group(piece) ?? "");
      // Groups may be long, and be named often.
      if (replaced.length > REPLACED_MAX_LENGTH)
        return refused(`the text becomes more than ${REPLACED_MAX_LENGTH} characters`, costNs + replaced.length);
    }
    from = matcher.end();
    if (!isAll) break;
  }
  replaced += text.slice(from);
  return answered(replaced, costNs + replaced.length);
}

function readSearch(request: string): Result<Search, string> {
  const { words, text = "" } = readRequest(request);
  const length = readCount(words[1], 0, text.length);
  if (length === undefined) return { ok: false, error: `length of the pattern is ${quote(words[1])}` };
  const flags = words[0] ?? "";
  const pattern = compilePattern(text.slice(0, length), flags === "-" ? "" : flags);
  if (!pattern.ok) return pattern;
  const rest = text.slice(length);
  const states = pattern.value.programSize();
  if (rest.length > TEXT_MAX_LENGTH)
    return { ok: false, error: `text is ${rest.length} long, limit is ${TEXT_MAX_LENGTH}` };
  if (rest.length * states > WORK_MAX) {
    const error = `text is ${rest.length} long, limit for this pattern is ${Math.floor(WORK_MAX / states)}`;
    return { ok: false, error };
  }
  const costNs = CALL_NS + rest.length * (NS_PER_CHARACTER + states * NS_PER_STATE);
  return { ok: true, value: { pattern: pattern.value, rest, words, costNs } };
}

/** Texts, and numbers of groups. What names no group is text, as in JavaScript. */
function parseReplacement(replacement: string, pattern: RE2JS): readonly (string | number)[] {
  const names = pattern.namedGroups();
  const count = pattern.groupCount();
  const pieces: (string | number)[] = [];
  let from = 0;
  for (const found of replacement.matchAll(/\$(?:(\$)|(&)|(\d{1,2})|<([^>]*)>)/gu)) {
    const [whole, dollar, all, digits, name] = found;
    pieces.push(replacement.slice(from, found.index));
    from = found.index + whole.length;
    if (dollar !== undefined) pieces.push("$");
    else if (all !== undefined) pieces.push(0);
    else if (digits !== undefined) pieces.push(...groupOf(digits, count));
    else if (Object.keys(names).length === 0) pieces.push(whole);
    else pieces.push(names[name ?? ""] ?? "");
  }
  pieces.push(replacement.slice(from));
  return pieces.filter((piece) => piece !== "");
}

/** `$12` is the twelfth group, or the first and a `2`, or text. */
function groupOf(digits: string, count: number): readonly (string | number)[] {
  const both = Number(digits);
  if (both >= 1 && both <= count) return [both];
  const first = Number(digits.charAt(0));
  return digits.length === 2 && first >= 1 && first <= count ? [first, digits.charAt(1)] : [`$${digits}`];
}
