// A text that counts how often a search reads it. One match is linear in the text, but all matches need not be: `a*b|a` reads
// to the end of a text of `a` for each of them, which took half a minute for 30,000 of them. So the reads are what is paid for,
// and beyond a bound the search ends, wherever it is.
import type { Matcher, RE2JS } from "re2js";

/** A search reads more than it may. */
export class SearchFault extends Error {}

/** Nanoseconds of one call. */
const SEARCH_MAX_NS = 100_000_000;
/** What finding one more match costs besides what it reads. */
const FIND_NS = 1200;
/** Small programs and texts are searched state by state, … */
const STATE_BY_STATE_MAX = 262_144;
const STATE_READ_NS = 25;
/** … others by all states at once, which reads a character three times: itself, and what is on both sides of it. */
const READS_PER_CHARACTER = 3;
const CHARACTER_NS = 40;
const NS_PER_STATE = 8;
/** Each state carries the places of its groups. */
const GROUPS_PER_COPY = 64;
/** An index finds eight characters in the time of a read. */
const INDEXED_SHIFT = 3;

/** Behaves as the text does; what `re2js` asks of it is counted. */
export class SearchedText extends String {
  readonly #text: string;
  readonly #readNs: number;
  readonly #readsMax: number;
  #reads = 0;

  /** For a search with one pattern, for groups too where `hasGroups`. */
  constructor(text: string, pattern: RE2JS, hasGroups: boolean) {
    super(text);
    this.#text = text;
    const states = pattern.programSize();
    const copies = hasGroups ? 1 + pattern.groupCount() / GROUPS_PER_COPY : 1;
    this.#readNs =
      text.length * states <= STATE_BY_STATE_MAX
        ? STATE_READ_NS
        : ((CHARACTER_NS + states * NS_PER_STATE) * copies) / READS_PER_CHARACTER;
    this.#readsMax = SEARCH_MAX_NS / this.#readNs;
  }

  /** What the search took so far, about, in nanoseconds. */
  get costNs(): number {
    return this.#reads * this.#readNs;
  }

  /** The next match, where there is one. Throws `SearchFault` beyond the bound. */
  find(matcher: Matcher, start: number | null = null): boolean {
    this.#count(FIND_NS / this.#readNs);
    return matcher.find(start);
  }

  /** What looks for the pattern in the text. */
  matcher(pattern: RE2JS): Matcher {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its declarations know no String objects, which it takes as texts
    return pattern.matcher(this as unknown as string);
  }

  override charCodeAt(at: number): number {
    this.#count(1);
    return this.#text.charCodeAt(at);
  }

  override indexOf(found: string, from = 0): number {
    const at = this.#text.indexOf(found, from);
    this.#count(((at < 0 ? this.#text.length : at) - from) >>> INDEXED_SHIFT);
    return at;
  }

  #count(reads: number): void {
    this.#reads += reads;
    if (this.#reads > this.#readsMax) throw new SearchFault("text takes too long to search for this pattern");
  }
}
