// Regular expressions for filters.
import type { RE2JS } from "re2js";
import { answered, quote, readCount, readRequest, refused, type HostAnswer } from "./answer.ts";
import { compilePriced } from "./linear-pattern.ts";
import { SearchedText, SearchFault } from "./searched-text.ts";

const TEXT_MAX_LENGTH = 1024 * 1024;
/** States of a pattern times characters of a text; some 40 ms at the worst. */
const WORK_MAX = 1_500_000;
const REPLACED_MAX_LENGTH = 4 * 1024 * 1024;
const CALL_NS = 3000;
/** A character costs what the pattern makes of it: this, and some for each of its states. */
const NS_PER_CHARACTER = 10;
const NS_PER_STATE = 4;

/** What a request names, checked. */
interface Search {
  readonly pattern: RE2JS;
  /** What follows the pattern: the text, and what else the function takes. */
  readonly rest: string;
  readonly words: readonly string[];
  /** Of compiling the pattern, where it was new. */
  readonly compileNs: number;
}

/** `regex-test`: request = flags or `-` SP length-of-pattern LF pattern text. Answers `1` or `0`. */
export function testPattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return search;
  const { pattern, rest, compileNs } = search.value;
  const searchNs = rest.length * (NS_PER_CHARACTER + pattern.programSize() * NS_PER_STATE);
  return answered(pattern.test(rest) ? "1" : "0", compileNs + CALL_NS + searchNs);
}

/**
 * `regex-exec`: request = flags or `-` SP length-of-pattern SP where-to-begin LF pattern text. Answers JSON: where the first
 * match begins, its groups, and which of them have names; or nothing.
 */
export function execPattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return search;
  const { pattern, rest, words, compileNs } = search.value;
  const start = readCount(words[2], 0, rest.length);
  if (start === undefined)
    return refused(`text begins at ${quote(words[2])}, has ${rest.length} characters`, compileNs);
  return searched(search.value, rest, true, (text) => {
    const matcher = text.matcher(pattern);
    if (!text.find(matcher, start)) return "";
    const groups = Array.from({ length: matcher.groupCount() + 1 }, (_, group) => matcher.group(group));
    return JSON.stringify([matcher.start(), groups, pattern.namedGroups()]);
  });
}

/**
 * `regex-all`: request = flags or `-` SP length-of-pattern SP where-to-begin LF pattern text. Answers JSON: a list of where each
 * match begins and ends, one after the other, without those of no characters.
 */
export function findPattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return search;
  const { pattern, rest, words, compileNs } = search.value;
  const start = readCount(words[2], 0, rest.length);
  if (start === undefined)
    return refused(`text begins at ${quote(words[2])}, has ${rest.length} characters`, compileNs);
  return searched(search.value, rest, false, (text) => {
    const matcher = text.matcher(pattern);
    const places: number[] = [];
    let isFound = text.find(matcher, start);
    while (isFound) {
      if (matcher.end() > matcher.start()) places.push(matcher.start(), matcher.end());
      isFound = text.find(matcher);
    }
    return JSON.stringify(places);
  });
}

/**
 * `regex-replace`: request = flags or `-` SP length-of-pattern SP length-of-replacement SP `first` or `all` LF pattern
 * replacement text. The replacement is JavaScript's: `$&`, `$1`, `$<name>`, `$$`.
 */
export function replacePattern(request: string): HostAnswer<string> {
  const search = readSearch(request);
  if (!search.ok) return search;
  const { pattern, rest, words, compileNs } = search.value;
  const length = readCount(words[2], 0, rest.length);
  if (length === undefined) return refused(`length of the replacement is ${quote(words[2])}`, compileNs);
  const isAll = words[3] === "all";
  const pieces = parseReplacement(rest.slice(0, length), pattern);
  const hasGroups = pieces.some((piece) => typeof piece === "number" && piece > 0);
  return searched(search.value, rest.slice(length), hasGroups, (text) => {
    const matcher = text.matcher(pattern);
    let replaced = "";
    let from = 0;
    while (text.find(matcher)) {
      replaced += text.slice(from, matcher.start());
      for (const piece of pieces) {
        replaced += typeof piece === "string" ? piece : (matcher.group(piece) ?? "");
        // Groups may be long, and be named often.
        if (replaced.length > REPLACED_MAX_LENGTH)
          throw new SearchFault(`the text becomes more than ${REPLACED_MAX_LENGTH} characters`);
      }
      from = matcher.end();
      if (!isAll) break;
    }
    return replaced + text.slice(from);
  });
}

/** What `run` answers, and the price of what it read. */
function searched(
  { pattern, compileNs }: Search,
  rest: string,
  hasGroups: boolean,
  run: (text: SearchedText) => string,
): HostAnswer<string> {
  const text = new SearchedText(rest, pattern, hasGroups);
  try {
    const answer = run(text);
    return answered(answer, compileNs + CALL_NS + text.costNs + answer.length);
  } catch (error) {
    if (error instanceof SearchFault) return refused(error.message, compileNs + CALL_NS + text.costNs);
    throw error;
  }
}

type FoundSearch = { readonly ok: true; readonly value: Search } | ({ readonly ok: false } & HostAnswer<never>);

function readSearch(request: string): FoundSearch {
  const { words, text = "" } = readRequest(request);
  const length = readCount(words[1], 0, text.length);
  if (length === undefined) return unsearched(`length of the pattern is ${quote(words[1])}`);
  const flags = words[0] === "-" ? "" : (words[0] ?? "");
  const { pattern, costNs: compileNs } = compilePriced(text.slice(0, length), flags);
  if (!pattern.ok) return unsearched(pattern.error, compileNs);
  const rest = text.slice(length);
  const states = pattern.value.programSize();
  if (rest.length > TEXT_MAX_LENGTH)
    return unsearched(`text is ${rest.length} long, limit is ${TEXT_MAX_LENGTH}`, compileNs);
  if (rest.length * states > WORK_MAX) {
    const error = `text is ${rest.length} long, limit for this pattern is ${Math.floor(WORK_MAX / states)}`;
    return unsearched(error, compileNs);
  }
  return { ok: true, value: { pattern: pattern.value, rest, words, compileNs } };
}

function unsearched(error: string, costNs = 0): FoundSearch {
  return { ok: false, ...refused(error, costNs) };
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
