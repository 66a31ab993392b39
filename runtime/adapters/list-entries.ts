// What is in a list, compiled: a test of one value.
import type { BackendOf } from "../contract/adapter.ts";
import type { Result } from "../exchange/failure.ts";
import { compilePattern } from "../host/linear-pattern.ts";
import { compileNetworks } from "./network-set.ts";

/** Whether a value is listed. */
export type IsListed = (value: string) => boolean;

/** Entries of a list that was read, all kinds together. */
const ENTRIES_MAX = 1_000_000;
/** Patterns are tried one after the other. */
const PATTERNS_MAX = 1000;

/** Compiles entries, or says which of them is wrong. */
export function compileEntries(
  entryType: BackendOf<"list">["entryType"],
  entries: readonly string[],
): Result<IsListed, string> {
  if (entries.length > ENTRIES_MAX) return refused(`has ${entries.length} entries, limit is ${ENTRIES_MAX}`);
  switch (entryType) {
    case "strings": {
      const all = new Set(entries);
      return { ok: true, value: (value) => all.has(value) };
    }
    case "case_insensitive": {
      const all = new Set(entries.map((entry) => entry.toLowerCase()));
      return { ok: true, value: (value) => all.has(value.toLowerCase()) };
    }
    case "ip_addresses": {
      const compiled = compileNetworks(entries);
      return compiled.ok ? compiled : refused(`${JSON.stringify(compiled.wrong)} is neither an address nor a network`);
    }
    case "regex":
      return compilePatterns(entries);
  }
}

/** Entries of a text: one a line, without what follows `#`. */
export function readEntries(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/#.*$/u, "").trim())
    .filter((line) => line !== "");
}

function compilePatterns(entries: readonly string[]): Result<IsListed, string> {
  if (entries.length > PATTERNS_MAX) return refused(`has ${entries.length} patterns, limit is ${PATTERNS_MAX}`);
  const tests: IsListed[] = [];
  for (const entry of entries) {
    const pattern = compilePattern(entry, "");
    if (!pattern.ok) return refused(`${JSON.stringify(entry)} is not a pattern: ${pattern.error}`);
    const { value } = pattern;
    tests.push((text) => value.matcher(text).find());
  }
  return { ok: true, value: (text) => tests.some((isMatch) => isMatch(text)) };
}

function refused(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error };
}
