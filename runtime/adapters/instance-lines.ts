// What an action says, as the WIT's lines: what adapters of one's own are asked and told.
import type { Instance, Plain } from "./adapter.ts";

/** Its name, its value, and of its attributes those that are read, a line each. */
export function renderInstance(
  { name, value, attributes }: Instance,
  reads: readonly string[],
  isBestEffort = false,
): string {
  let lines = `:name: ${textOf(name)}\n`;
  if (value !== undefined) lines += `:value: ${textOf(value)}\n`;
  if (isBestEffort) lines += ":best-effort: true\n";
  for (const read of reads) {
    // A name may be one that every object has.
    const attribute = Object.hasOwn(attributes, read) ? attributes[read] : undefined;
    if (attribute !== undefined) lines += `${read}: ${textOf(attribute)}\n`;
  }
  return lines;
}

/** A line break would begin a line that nobody wrote: a literal of a rule, or a query's parameter, may hold one. */
function textOf(value: Plain): string {
  if (typeof value === "object") return JSON.stringify(value);
  return String(value).replaceAll(LINE_BREAK, " ");
}

// oxlint-disable-next-line no-control-regex -- NUL ends strings of other languages
const LINE_BREAK = /[\r\n\0]/gu;
