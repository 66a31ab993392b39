// The secrets of a form (`application/x-www-form-urlencoded`) as edits of its bytes. A value that changes is coded anew.
import type { Edit } from "./edits.ts";
import { maskText } from "./masks.ts";
import { targetOf, type Rules } from "./rules.ts";
import { searchTexts } from "./batches.ts";
import { replaceFound } from "./search.ts";

/** A name and a value, as they say and where they stand. */
interface Pair {
  readonly start: number;
  readonly end: number;
  /** Of the value; behind the end where there is none. */
  readonly valueStart: number;
  readonly name: string;
  readonly value: string;
}

/** Edits that hide what the rules name, in a text whose characters are bytes. */
export function editForm(text: string, rules: Rules): readonly Edit[] {
  const pairs = parsePairs(text);
  const masks = pairs.map(({ name }) => targetOf(rules, [], name)?.mask);
  const found = searchTexts(
    rules.patterns,
    pairs.flatMap(({ name, value }, index) => (masks[index] === undefined ? [name, value] : [name, ""])),
  );
  const edits: Edit[] = [];
  let kept = 0;
  for (const [index, { start, end, valueStart, name, value }] of pairs.entries()) {
    const mask = masks[index];
    if (mask?.kind === "remove") {
      // With the separator before it, or behind it where nothing before stays.
      const isFirst = kept === 0;
      edits.push({ start: isFirst ? start : start - 1, end: isFirst ? Math.min(end + 1, text.length) : end, text: "" });
      continue;
    }
    kept++;
    const shownName = replaceFound(name, found[index * 2] ?? []);
    const nameEnd = valueStart > end ? end : valueStart - 1;
    if (shownName !== name) edits.push({ start, end: nameEnd, text: encode(shownName) });
    const shown = mask === undefined ? replaceFound(value, found[index * 2 + 1] ?? []) : maskText(mask, value);
    if (valueStart <= end && shown !== value) edits.push({ start: valueStart, end, text: encode(shown) });
  }
  return edits;
}

function parsePairs(text: string): readonly Pair[] {
  let start = 0;
  return text.split("&").map((pair) => {
    const equals = pair.indexOf("=");
    const nameLength = equals < 0 ? pair.length : equals;
    const parsed = {
      start,
      end: start + pair.length,
      // Behind the end where there is none.
      valueStart: start + nameLength + 1,
      name: decode(pair.slice(0, nameLength)),
      value: decode(pair.slice(nameLength + 1)),
    };
    start += pair.length + 1;
    return parsed;
  });
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** What is not percent-coded UTF-8 reads as it stands there. */
function decode(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    // A percent sign without two digits, or bytes that are not UTF-8.
    return spaced;
  }
}
