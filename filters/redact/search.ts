// Secrets in texts by their patterns. Texts are searched in windows, as a pattern and a text together have a bound: what a
// pattern finds may be as long as windows overlap.
import { linearRegExp, type LinearRegExp, type TextSpan } from "../../sdk/index.ts";
import { maskText, type Mask } from "./masks.ts";
import { PRESETS, type Preset, type PresetName } from "./presets.ts";

/** What is found, and what becomes of it. */
export interface Pattern {
  readonly regExp: LinearRegExp;
  /** The same, for texts that are lines of one. */
  readonly lines: LinearRegExp;
  readonly hint: RegExp | undefined;
  readonly pick: Preset["pick"];
  readonly mask: Mask;
}

/** A part of a text and what stands in its place. */
export interface Found extends TextSpan {
  readonly text: string;
}

/** What is longer is found in part, or not at all. */
const OVERLAP = 2048;
export const WINDOW = 4 * OVERLAP;
const NONE: readonly Found[] = [];

/** A pattern of a preset. */
export function presetPattern(name: PresetName, mask: Mask): Pattern {
  const { source, flags, hint, pick } = PRESETS[name];
  return { ...compile(source, flags), hint, pick, mask };
}

/** A pattern of somebody's own. */
export function ownPattern(source: string, flags: string, mask: Mask): Pattern {
  return { ...compile(source, flags), hint: undefined, pick: undefined, mask };
}

function compile(source: string, flags: string): Pick<Pattern, "regExp" | "lines"> {
  return {
    regExp: linearRegExp(source, flags),
    lines: linearRegExp(source, flags.includes("m") ? flags : `${flags}m`),
  };
}

/** Everything in a text that a pattern finds. */
export function searchText(patterns: readonly Pattern[], text: string): readonly Found[] {
  if (patterns.length === 0 || text === "") return NONE;
  if (text.length <= WINDOW) return searchWindow(patterns, text, 0);
  const found: Found[] = [];
  let from = 0;
  while (from < text.length) {
    const { known, end } = searchNext(patterns, text, from, true);
    found.push(...known);
    from = end;
  }
  return found;
}

/** A text with masks in the place of what was found in it. */
export function replaceFound(text: string, found: readonly Found[]): string {
  let replaced = "";
  let from = 0;
  for (const { start, end, text: masked } of found) {
    replaced += text.slice(from, start) + masked;
    from = end;
  }
  return replaced + text.slice(from);
}

/** A window's secrets, as far as they are certain. */
export interface Searched {
  readonly known: readonly Found[];
  /** What is before it is known. */
  readonly end: number;
}

/** Searches the window at `from`; with `isLast` no text will follow. One character before it is looked at, for `\b` and `^`. */
export function searchNext(patterns: readonly Pattern[], text: string, from: number, isLast: boolean): Searched {
  const before = Math.max(0, from - 1);
  const to = Math.min(text.length, from + WINDOW);
  const isWhole = isLast && to === text.length;
  const found = searchWindow(patterns, text.slice(before, to), from - before);
  const known: Found[] = [];
  // What begins before the limit ends inside of the window.
  const limit = isWhole ? to : to - OVERLAP;
  let end = wholeCharacters(text, limit);
  for (const { start, end: stop, text: masked } of found) {
    if (start + before >= end) break;
    known.push({ start: start + before, end: stop + before, text: masked });
    end = Math.max(end, stop + before);
  }
  return { known, end };
}

/** In order and apart: what overlaps is one, by the pattern that came first. */
function searchWindow(patterns: readonly Pattern[], text: string, from: number): readonly Found[] {
  const spans: (TextSpan & { readonly mask: Mask })[] = [];
  for (const { regExp, hint, pick, mask } of patterns) {
    if (hint?.test(text) === false) continue;
    for (const span of regExp.findAll(text, from)) {
      const parts = pick?.(text.slice(span.start, span.end)).map(({ start, end }) => ({
        start: span.start + start,
        end: span.start + end,
      }));
      for (const { start, end } of parts ?? [span]) spans.push({ start, end, mask });
    }
  }
  if (spans.length === 0) return NONE;
  // The order of patterns is kept where two begin alike.
  spans.sort((a, b) => a.start - b.start);
  const joined: (typeof spans)[number][] = [];
  for (const span of spans) {
    const last = joined.at(-1);
    if (last === undefined || span.start >= last.end) joined.push(span);
    else if (span.end > last.end) joined[joined.length - 1] = { ...last, end: span.end };
  }
  return joined.map(({ start, end, mask }) => ({ start, end, text: maskText(mask, text.slice(start, end)) }));
}

/** Not between the halves of a character. */
function wholeCharacters(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit <= 0xdfff && at > 0 ? at - 1 : at;
}
