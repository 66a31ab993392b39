// The secrets of a JSON document as edits of its bytes. It is walked, never parsed and written again: numbers of any length,
// the order of members and those that are there twice stay what they were.
import type { Edit } from "./edits.ts";
import { readString, skipColon, skipScalar, skipSpace, type StringToken } from "./json-tokens.ts";
import { maskStructure, maskText, type Mask } from "./masks.ts";
import { hasPlaces, placesBelow, targetOf, type Place, type Rules } from "./rules.ts";
import { searchTexts } from "./batches.ts";
import { replaceFound, type Found } from "./search.ts";
import { decodeString, placesOf } from "./strings.ts";

/** Deeper than any document that is meant; what walks it keeps so many places. */
const DEPTH_MAX = 1000;
const BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf";
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;
const LIST = 0x5b;
const LIST_END = 0x5d;
const QUOTE = 0x22;
const COMMA = 0x2c;
const NO_PLACES: readonly Place[] = [];

/** An object or a list that the walk is in. */
interface Frame {
  readonly isList: boolean;
  readonly start: number;
  readonly places: readonly Place[];
  /** Hides all of it. */
  readonly mask: Mask | undefined;
  /** Where the member or element that is walked begins: what goes with it when it is removed. */
  from: number;
  /** Elements before this one. */
  index: number;
  /** Members that stay. */
  kept: number;
}

/** Where a text stands that may hold a secret. */
type Suspect = StringToken | { readonly start: number; readonly end: number; readonly isNumber: true };

/** Edits that hide what the rules name; `undefined` where the text, whose characters are bytes, is not JSON, or too deep. */
export function editJson(text: string, rules: Rules): readonly Edit[] | undefined {
  return new Walk(text, rules).run();
}

class Walk {
  readonly #text: string;
  readonly #rules: Rules;
  readonly #readsNames: boolean;
  readonly #edits: Edit[] = [];
  /** What patterns are tried on, and what each says. */
  readonly #suspects: Suspect[] = [];
  readonly #contents: string[] = [];
  readonly #frames: Frame[] = [];
  #at: number;
  /** Frames whose content nobody will see. */
  #hidden = 0;
  /** Of the value that comes next. */
  #mask: Mask | undefined = undefined;
  #places: readonly Place[];

  constructor(text: string, rules: Rules) {
    this.#text = text;
    this.#rules = rules;
    this.#at = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
    this.#places = hasPlaces(rules) ? [rules.root] : NO_PLACES;
    this.#readsNames = rules.names.size > 0 || rules.patterns.length > 0 || this.#places.length > 0;
    this.#mask = rules.root.target?.mask;
  }

  run(): readonly Edit[] | undefined {
    do {
      if (!this.#value()) return undefined;
      // A value has ended, and so may what it is in.
      let frame = this.#frames.at(-1);
      this.#at = skipSpace(this.#text, this.#at);
      while (frame !== undefined && this.#isAtEnd(frame)) {
        this.#close();
        this.#at = skipSpace(this.#text, this.#at);
        frame = this.#frames.at(-1);
      }
      if (frame !== undefined && !this.#next(frame)) return undefined;
    } while (this.#frames.length > 0);
    if (this.#at !== this.#text.length) return undefined;
    const found = this.#search();
    return found.length === 0 ? this.#edits : [...this.#edits, ...found].toSorted((a, b) => a.start - b.start);
  }

  /** Walks to the end of the first value that has no others in it. */
  #value(): boolean {
    for (;;) {
      const start = (this.#at = skipSpace(this.#text, this.#at));
      const opening = this.#text.charCodeAt(start);
      if (opening === QUOTE) return this.#string(start);
      if (opening !== OBJECT && opening !== LIST) return this.#scalar(start);
      if (this.#frames.length === DEPTH_MAX) return false;
      const isList = opening === LIST;
      const frame = { isList, start, places: this.#places, mask: this.#taken(), from: start, index: 0, kept: 0 };
      this.#frames.push(frame);
      if (frame.mask !== undefined) this.#hidden++;
      this.#at = skipSpace(this.#text, start + 1);
      if (this.#isAtEnd(frame)) {
        this.#close();
        return true;
      }
      frame.from = this.#at;
      if (!this.#child(frame)) return false;
    }
  }

  /** A member's name, or an element's number, and what it says of the value. */
  #child(frame: Frame): boolean {
    if (frame.isList) {
      if (this.#hidden === 0 && frame.places.length > 0) this.#aim(frame, undefined, String(frame.index++));
      return true;
    }
    const name = readString(this.#text, this.#at);
    if (name === undefined) return false;
    this.#at = skipColon(this.#text, name.end);
    if (this.#at === name.end) return false;
    if (this.#hidden > 0 || !this.#readsNames) return true;
    const key = decodeString(this.#text, name);
    this.#aim(frame, key, key);
    if (this.#mask?.kind !== "remove") this.#suspect(name, key);
    return true;
  }

  #aim(frame: Frame, name: string | undefined, step: string): void {
    this.#places = placesBelow(frame.places, step);
    this.#mask = targetOf(this.#rules, this.#places, name)?.mask;
  }

  #string(start: number): boolean {
    const token = readString(this.#text, start);
    if (token === undefined) return false;
    this.#at = token.end;
    if (this.#hidden > 0) return true;
    const mask = this.#taken();
    if (mask === undefined && this.#rules.patterns.length === 0) return true;
    const content = decodeString(this.#text, token);
    if (mask === undefined) this.#suspect(token, content);
    else this.#hide(start, mask, () => maskText(mask, content));
    return true;
  }

  #scalar(start: number): boolean {
    const end = skipScalar(this.#text, start);
    if (end === start) return false;
    this.#at = end;
    if (this.#hidden > 0) return true;
    const mask = this.#taken();
    if (mask === undefined && this.#rules.patterns.length === 0) return true;
    const raw = this.#text.slice(start, end);
    if (mask === undefined) this.#suspect({ start, end, isNumber: true }, raw);
    else this.#hide(start, mask, () => maskText(mask, raw));
    return true;
  }

  /** The mask of the value that was walked; the next has its own. */
  #taken(): Mask | undefined {
    const mask = this.#mask;
    this.#mask = undefined;
    return mask;
  }

  /** The value that began there ends here. */
  #hide(start: number, mask: Mask, render: () => string): void {
    const end = this.#at;
    const frame = this.#frames.at(-1);
    // An element that is gone would move all that follow it, and a document is never nothing.
    if (mask.kind !== "remove") this.#edits.push({ start, end, text: JSON.stringify(render()) });
    else if (frame === undefined || frame.isList) this.#edits.push({ start, end, text: "null" });
    else {
      this.#edits.push({ start: frame.from, end, text: "" });
      frame.kept--;
    }
  }

  /** Patterns are tried when the walk is over, on all that it met together. */
  #suspect(place: Suspect, content: string): void {
    if (this.#rules.patterns.length === 0) return;
    this.#suspects.push(place);
    this.#contents.push(content);
  }

  #search(): readonly Edit[] {
    const edits: Edit[] = [];
    for (const [index, found] of searchTexts(this.#rules.patterns, this.#contents).entries()) {
      const place = this.#suspects[index];
      if (found.length === 0 || place === undefined) continue;
      if ("isNumber" in place) {
        // A number that holds a secret becomes a string.
        const text = JSON.stringify(replaceFound(this.#contents[index] ?? "", found));
        edits.push({ start: place.start, end: place.end, text });
      } else edits.push(...this.#editString(place, found));
    }
    return edits;
  }

  #editString(token: StringToken, found: readonly Found[]): readonly Edit[] {
    const places = placesOf(
      this.#text,
      token,
      found.flatMap(({ start, end }) => [start, end]),
    );
    return found.map(({ text }, index) => {
      const [start = 0, end = 0] = places.slice(index * 2, index * 2 + 2);
      return { start, end, text: JSON.stringify(text).slice(1, -1) };
    });
  }

  #isAtEnd({ isList }: Frame): boolean {
    return this.#text.charCodeAt(this.#at) === (isList ? LIST_END : OBJECT_END);
  }

  #close(): void {
    this.#at++;
    const frame = this.#frames.pop();
    if (frame?.mask === undefined) return;
    const { start, mask } = frame;
    if (--this.#hidden === 0) this.#hide(start, mask, () => maskStructure(mask, this.#text.slice(start, this.#at)));
  }

  /** Behind a comma. */
  #next(frame: Frame): boolean {
    const comma = this.#at;
    if (this.#text.charCodeAt(comma) !== COMMA) return false;
    this.#at = skipSpace(this.#text, comma + 1);
    if (!frame.isList) {
      frame.kept++;
      // The comma goes with the member behind it, or with those before it where none of them stays.
      frame.from = frame.kept > 0 ? comma : this.#at;
      if (frame.kept === 0) this.#edits.push({ start: comma, end: this.#at, text: "" });
    }
    return this.#child(frame);
  }
}
