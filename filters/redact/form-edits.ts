// The secrets of a form (`application/x-www-form-urlencoded`) as edits of its bytes. A value that changes is coded anew.
import type { Edit } from "./edits.ts";
import { maskText } from "./masks.ts";
import { targetOf, type Rules } from "./rules.ts";
import { replaceFound, searchText } from "./search.ts";

/** Edits that hide what the rules name, in a text whose characters are bytes. */
export function editForm(text: string, rules: Rules): readonly Edit[] {
  const edits: Edit[] = [];
  let start = 0;
  let kept = 0;
  for (const pair of text.split("&")) {
    const end = start + pair.length;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? "" : decode(pair.slice(equals + 1));
    const mask = targetOf(rules, [], name)?.mask;
    if (mask?.kind === "remove") {
      // With the separator before it, or behind it where nothing before stays.
      edits.push({
        start: kept > 0 ? start - 1 : start,
        end: kept > 0 ? end : Math.min(end + 1, text.length),
        text: "",
      });
    } else {
      kept++;
      const masked = mask === undefined ? search(rules, value) : maskText(mask, value);
      const shownName = search(rules, name);
      if (shownName !== name)
        edits.push({ start, end: start + (equals < 0 ? pair.length : equals), text: encode(shownName) });
      if (equals >= 0 && masked !== value) edits.push({ start: start + equals + 1, end, text: encode(masked) });
    }
    start = end + 1;
  }
  return edits;
}

function search({ patterns }: Rules, text: string): string {
  const found = searchText(patterns, text);
  return found.length === 0 ? text : replaceFound(text, found);
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
