// Regular expressions that no text can make slow, matched by the proxy.
import { requireHost } from "./host.ts";

/** Where a pattern matched. */
export interface LinearMatch {
  readonly index: number;
  /** What matched, and its groups. */
  readonly groups: readonly (string | undefined)[];
  /** Groups that have names. */
  readonly named: Readonly<Record<string, string | undefined>>;
}

/** A part of a text: `text.slice(start, end)`. */
export interface TextSpan {
  readonly start: number;
  readonly end: number;
}

/** A pattern. All of its methods throw where it is none, or where it and a text are too large for each other. */
export interface LinearRegExp {
  readonly source: string;
  readonly flags: string;
  test(text: string): boolean;
  /** The first match from there on. */
  exec(text: string, start?: number): LinearMatch | undefined;
  /** Where all matches from there on are, in one call; those of no characters are left out. */
  findAll(text: string, start?: number): readonly TextSpan[];
  /** With the first match replaced; `$&`, `$1`, `$<name>` and `$$` as in JavaScript. */
  replace(text: string, replacement: string): string;
  replaceAll(text: string, replacement: string): string;
}

/**
 * A pattern in RE2's syntax: JavaScript's without look-around and references back, so that the time is linear in the text.
 * Flags are any of `i`, `m` and `s`. It may be made while a filter is loaded, and is compiled when it is used.
 */
export function linearRegExp(source: string, flags = ""): LinearRegExp {
  const ask = (name: string, more: string, rest: string): string =>
    requireHost().text(name, `${flags === "" ? "-" : flags} ${source.length}${more}\n${source}${rest}`);
  const replace = (text: string, replacement: string, which: "first" | "all"): string =>
    ask("regex-replace", ` ${replacement.length} ${which}`, `${replacement}${text}`);
  return {
    source,
    flags,
    test: (text) => ask("regex-test", "", text) === "1",
    exec: (text, start = 0) => parseMatch(ask("regex-exec", ` ${start}`, text)),
    findAll: (text, start = 0) => parseSpans(ask("regex-all", ` ${start}`, text)),
    replace: (text, replacement) => replace(text, replacement, "first"),
    replaceAll: (text, replacement) => replace(text, replacement, "all"),
  };
}

type Answer = readonly [index: number, groups: readonly (string | null)[], names: Readonly<Record<string, number>>];

function parseMatch(answer: string): LinearMatch | undefined {
  if (answer === "") return undefined;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- The proxy's own answer.
  const [index, found, names] = JSON.parse(answer) as Answer;
  const groups = found.map((group) => group ?? undefined);
  const named = Object.fromEntries(Object.entries(names).map(([name, group]) => [name, groups[group]]));
  return { index, groups, named };
}

function parseSpans(answer: string): readonly TextSpan[] {
  if (answer === "[]") return [];
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- The proxy's own answer.
  const places = JSON.parse(answer) as readonly number[];
  const spans: TextSpan[] = [];
  for (let at = 0; at < places.length; at += 2) spans.push({ start: places[at] ?? 0, end: places[at + 1] ?? 0 });
  return spans;
}
