// Many short texts searched together: a body may hold a hundred thousand of them, and each question to the proxy costs as
// much as reading a page.
import { searchText, WINDOW, type Found, type Pattern } from "./search.ts";

/** Longer ones are searched by themselves. */
const SHORT_MAX = 1024;
/** Stands between texts: no part of a word, and the end of a line. */
const SEPARATOR = "\n";
const NONE: readonly Found[] = [];

/** Everything that patterns find in each of the texts, as `searchText` finds it. */
export function searchTexts(patterns: readonly Pattern[], texts: readonly string[]): readonly (readonly Found[])[] {
  const found: (readonly Found[])[] = texts.map(() => NONE);
  if (patterns.length === 0) return found;
  let batch: number[] = [];
  let length = 0;
  const search = (): void => {
    for (const index of suspectsOf(patterns, texts, batch)) found[index] = searchText(patterns, texts[index] ?? "");
    batch = [];
    length = 0;
  };
  for (const [index, text] of texts.entries()) {
    if (text.length > SHORT_MAX) found[index] = searchText(patterns, text);
    else if (text !== "") {
      if (length + text.length >= WINDOW) search();
      batch.push(index);
      length += text.length + SEPARATOR.length;
    }
  }
  search();
  return found;
}

/**
 * Those of a batch that a pattern may find something in. What is found in a text by itself begins in the batch at the same
 * place, unless something that was found before reaches over it; so a text that nothing reaches into holds nothing.
 */
function suspectsOf(
  patterns: readonly Pattern[],
  texts: readonly string[],
  batch: readonly number[],
): ReadonlySet<number> {
  const suspects = new Set<number>();
  const joined = batch.map((index) => texts[index] ?? "").join(SEPARATOR);
  for (const { hint, lines } of patterns) {
    if (joined === "" || hint?.test(joined) === false) continue;
    const spans = lines.findAll(joined);
    let at = 0;
    let next = 0;
    for (const index of batch) {
      const end = at + (texts[index] ?? "").length;
      let span = spans[next];
      while (span !== undefined && span.end <= at) span = spans[++next];
      if (span !== undefined && span.start < end) suspects.add(index);
      at = end + SEPARATOR.length;
    }
  }
  return suspects;
}
