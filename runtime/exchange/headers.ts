// The fields of one head, in the order and case they came in. A parsed head stays bytes: a field becomes a string only
// when something reads it, and fields that nothing changed are copied out as they arrived, in as few runs as possible.

declare global {
  // Bun and Node have these and their type packages leave them out. They skip the encoding look-up of `toString`.
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number): number;
    /** A byte order mark is part of a text, not a mark; what is not UTF-8 reads as U+FFFD, as a `TextDecoder` has it. */
    utf8Slice(start: number, end: number): string;
    /** Writes as many characters as `bytesMax` has room for, and returns how many bytes they took. */
    utf8Write(text: string, offset: number, bytesMax: number): number;
  }
}

/** Parsed fields that several maps may share. */
export interface ParsedFields {
  readonly bytes: Buffer;
  readonly offsets: Int32Array;
  readonly marks: Uint8Array;
  readonly count: number;
  /** The same for fields that came again, 0 for those of which nothing is remembered. */
  readonly id: number;
  /** Where in `offsets` two numbers for each field begin, which HPACK notes for itself. */
  readonly notesAt: number;
  /** Whose entries the second of those numbers means, 0 for nobody's. */
  readonly table: number;
  /** A bit for each name (`bitOf`), 0 until somebody asks for one: for fields that came again it was asked before. */
  names: number;
}

/** Four offsets for each field: name start, name end, value start, value end. */
const STRIDE = 4;
/** What `writeValue` returns where it wrote nothing. */
export const NOT_THERE = -1;
export const NO_ROOM = -2;
/** Up to this length a loop is faster than a call. */
const LOOP_MAX = 24;
const SEPARATOR = ", ";
const KEEP = 0;
const DROP = 1;

/**
 * An ordered multimap of header fields. Names compare without regard to case; every method that takes a name takes it
 * in lower case. Values are Latin-1 text without CR, LF or NUL: whoever sets one has checked it (`isFieldValue`).
 *
 * A map that a codec parsed is valid until its exchange has ended; the codec then uses its memory again.
 */
export class HeaderMap {
  #bytes: Buffer = EMPTY;
  #offsets: Int32Array = NO_OFFSETS;
  #marks: Uint8Array = NO_MARKS;
  #count = 0;
  /** A bit for each parsed field's name (`bitOf`), 0 until somebody asks for one. */
  #names = 0;
  /** Fields that came later: name, value, name, value, … */
  #added: string[] = NONE;
  /** `#marks` belong to others too: they are copied before one changes. */
  #sharesMarks = false;
  #source: ParsedFields | undefined = undefined;

  /** A map of these fields, for replies that the proxy makes itself and for tests. */
  static from(fields: Iterable<readonly [string, string]>): HeaderMap {
    const map = new HeaderMap();
    for (const [name, value] of fields) map.append(name, value);
    return map;
  }

  /** For codecs: takes a parsed head. `offsets` holds four numbers a field; `marks` is 0 for a field that is kept, 1 for one that is not passed on. */
  load(bytes: Buffer, offsets: Int32Array, marks: Uint8Array, count: number): void {
    this.#bytes = bytes;
    this.#offsets = offsets;
    this.#marks = marks;
    this.#count = count;
    this.#names = 0;
    this.#sharesMarks = false;
    this.#source = undefined;
    this.#added = NONE;
  }

  /** For codecs: takes parsed fields that other maps may share, which nobody changes. */
  loadShared(source: ParsedFields): void {
    this.load(source.bytes, source.offsets, source.marks, source.count);
    this.#sharesMarks = true;
    this.#source = source;
    this.#names = source.names;
  }

  /** For codecs: what `loadShared` took. */
  get source(): ParsedFields | undefined {
    return this.#source;
  }

  /** For codecs, which read the fields where they lie: the bytes and, as in `load`, the parsed fields' offsets and marks. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get offsets(): Int32Array {
    return this.#offsets;
  }

  get marks(): Uint8Array {
    return this.#marks;
  }

  /** Parsed fields, dropped ones too. */
  get count(): number {
    return this.#count;
  }

  /** Fields that follow the parsed ones: name, value, name, value, … */
  get added(): readonly string[] {
    return this.#added;
  }

  /** The value, several fields of that name joined with `", "` (RFC 9110 §5.3). */
  get(name: string): string | undefined {
    let found: string | undefined;
    for (let field = this.#next(name, 0); field >= 0; field = this.#next(name, field + 1)) {
      const value = this.#value(field);
      found = found === undefined ? value : `${found}, ${value}`;
    }
    if (this.#added === NONE) return found;
    for (let index = 0; index < this.#added.length; index += 2) {
      if (!equalsIgnoreCase(this.#added[index] ?? "", name)) continue;
      const value = this.#added[index + 1] ?? "";
      found = found === undefined ? value : `${found}, ${value}`;
    }
    return found;
  }

  /**
   * For what is built as bytes: writes what `get` would find, without strings between, and returns where it ends; `NOT_THERE`
   * where there is none, `NO_ROOM` where it and two bytes more have no room in `out`.
   */
  writeValue(name: string, out: Buffer, start: number): number {
    const bytes = this.#bytes;
    const offsets = this.#offsets;
    let at = NOT_THERE;
    for (let field = this.#next(name, 0); field >= 0; field = this.#next(name, field + 1)) {
      const from = offsets[field * STRIDE + 2] ?? 0;
      const to = offsets[field * STRIDE + 3] ?? 0;
      at = at === NOT_THERE ? start : separate(out, at);
      if (at + (to - from) + SEPARATOR.length > out.length) return NO_ROOM;
      if (to - from > LOOP_MAX) at += bytes.copy(out, at, from, to);
      else for (let index = from; index < to; index++) out[at++] = bytes[index] ?? 0;
    }
    for (let index = 0; index < this.#added.length; index += 2) {
      if (!equalsIgnoreCase(this.#added[index] ?? "", name)) continue;
      const value = this.#added[index + 1] ?? "";
      at = at === NOT_THERE ? start : separate(out, at);
      if (at + value.length + SEPARATOR.length > out.length) return NO_ROOM;
      at = put(out, at, value);
    }
    return at;
  }

  /** Each field of that name by itself, as `Set-Cookie` needs it. */
  getAll(name: string): readonly string[] {
    const values: string[] = [];
    for (const [key, value] of this) if (equalsIgnoreCase(key, name)) values.push(value);
    return values;
  }

  has(name: string): boolean {
    if (this.#next(name, 0) >= 0) return true;
    if (this.#added === NONE) return false;
    for (let index = 0; index < this.#added.length; index += 2) {
      if (equalsIgnoreCase(this.#added[index] ?? "", name)) return true;
    }
    return false;
  }

  /** Removes every field of that name, then adds one at the end. The name may have any case. */
  set(name: string, value: string): void {
    this.delete(name.toLowerCase());
    this.append(name, value);
  }

  /** As `set`, for a name in lower case. */
  replace(name: string, value: string): void {
    this.delete(name);
    this.append(name, value);
  }

  /** Adds a field at the end; those of that name stay. */
  append(name: string, value: string): void {
    if (this.#added === NONE) {
      this.#added = [name, value];
      return;
    }
    // One after the other: JavaScriptCore's JIT pushes one value itself and calls for several.
    this.#added.push(name);
    this.#added.push(value);
  }

  /** For the request path: adds several fields that it has not, as name, value, name, value, … It keeps the list. */
  appendAll(fields: string[]): void {
    if (this.#added === NONE) this.#added = fields;
    else this.#added.push(...fields);
  }

  /** Removes every field of that name. */
  delete(name: string): void {
    for (let field = this.#next(name, 0); field >= 0; field = this.#next(name, field + 1)) {
      if (this.#sharesMarks) this.#marks = this.#marks.slice(0, this.#count);
      this.#sharesMarks = false;
      this.#marks[field] = DROP;
    }
    if (this.#added === NONE) return;
    const added = this.#added;
    let kept = 0;
    for (let index = 0; index < added.length; index += 2) {
      const key = added[index] ?? "";
      if (equalsIgnoreCase(key, name)) continue;
      if (kept < index) {
        added[kept] = key;
        added[kept + 1] = added[index + 1] ?? "";
      }
      kept += 2;
    }
    while (added.length > kept) added.pop();
  }

  /** Every field as `[name, value]`, in order, the name as it was written. */
  *[Symbol.iterator](): Generator<[string, string]> {
    for (let field = 0; field < this.#count; field++) {
      if (this.#marks[field] === KEEP) yield [this.#name(field), this.#value(field)];
    }
    for (let index = 0; index < this.#added.length; index += 2) {
      yield [this.#added[index] ?? "", this.#added[index + 1] ?? ""];
    }
  }

  /** For codecs: writes every field as `name: value CRLF`, then `tail`, and returns the new position; -1 when `out` has too little room. */
  write(out: Buffer, start: number, tail: string): number {
    let position = start;
    const offsets = this.#offsets;
    const count = this.#count;
    let field = 0;
    while (field < count) {
      if (this.#marks[field] !== KEEP) {
        field++;
        continue;
      }
      // A run of kept fields is copied whole: the bytes between them are their line ends.
      let last = field;
      while (last + 1 < count && this.#marks[last + 1] === KEEP) last++;
      const from = offsets[field * STRIDE] ?? 0;
      const to = last + 1 < count ? (offsets[(last + 1) * STRIDE] ?? 0) : this.#end();
      if (position + (to - from) > out.length) return -1;
      position += this.#bytes.copy(out, position, from, to);
      field = last + 1;
    }
    const added = this.#added;
    for (let index = 0; index < added.length; index += 2) {
      const name = added[index] ?? "";
      const value = added[index + 1] ?? "";
      if (position + name.length + value.length + 4 > out.length) return -1;
      position = put(out, position, name);
      out[position++] = COLON;
      out[position++] = SPACE;
      position = put(out, position, value);
      out[position++] = CR;
      out[position++] = LF;
    }
    return position + tail.length > out.length ? -1 : put(out, position, tail);
  }

  /** The end of the last parsed field's line, CRLF included. */
  #end(): number {
    let end = this.#offsets[(this.#count - 1) * STRIDE + 3] ?? 0;
    while (this.#bytes[end] !== LF) end++;
    return end + 1;
  }

  #next(name: string, from: number): number {
    const offsets = this.#offsets;
    const length = name.length;
    // Most names that are asked for are not there.
    if (this.#names === 0) this.#nameAll();
    const bit = bitOf(length, name.charCodeAt(0), name.charCodeAt(length - 1));
    if ((this.#names & bit) === 0) return -1;
    for (let field = from; field < this.#count; field++) {
      const start = offsets[field * STRIDE] ?? 0;
      if ((offsets[field * STRIDE + 1] ?? 0) - start !== length || this.#marks[field] !== KEEP) continue;
      if (matchesName(this.#bytes, start, name)) return field;
    }
    return -1;
  }

  #nameAll(): void {
    const names = namesOf(this.#bytes, this.#offsets, this.#count);
    this.#names = names;
    if (this.#source !== undefined) this.#source.names = names;
  }

  #name(field: number): string {
    return latin1(this.#bytes, this.#offsets[field * STRIDE] ?? 0, this.#offsets[field * STRIDE + 1] ?? 0);
  }

  #value(field: number): string {
    return latin1(this.#bytes, this.#offsets[field * STRIDE + 2] ?? 0, this.#offsets[field * STRIDE + 3] ?? 0);
  }
}

/** Nobody pushes into it, so that a map of which it is the list is told by that alone: its length lies elsewhere. */
const NONE: string[] = [];
const EMPTY = Buffer.alloc(0);
const NO_OFFSETS = new Int32Array(0);
const NO_MARKS = new Uint8Array(0);
const CR = 13;
const LF = 10;
const SPACE = 32;
const COLON = 58;
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/u;

/** Whether text may stand as a field's name (RFC 9110 §5.1). */
export function isFieldName(text: string): boolean {
  return FIELD_NAME.test(text);
}

/** Whether text may stand as a field's value (RFC 9110 §5.5): no CR, LF or NUL, so it cannot split a head. */
export function isFieldValue(text: string): boolean {
  return FIELD_VALUE.test(text);
}

/** The bytes from `start` to `end` as Latin-1 text. */
export function latin1(bytes: Buffer, start: number, end: number): string {
  return bytes.latin1Slice(start, end);
}

/** Writes text that has room, and returns where it ends. */
function put(out: Buffer, start: number, text: string): number {
  const { length } = text;
  if (length > LOOP_MAX) return start + out.latin1Write(text, start);
  for (let at = 0; at < length; at++) out[start + at] = text.charCodeAt(at);
  return start + length;
}

/** Between two fields of one name (RFC 9110 §5.3); there is room. */
function separate(out: Buffer, at: number): number {
  return put(out, at, SEPARATOR);
}

/** A bit for each of the names, as `ParsedFields` has them. */
export function namesOf(bytes: Buffer, offsets: Int32Array, count: number): number {
  let names = 0;
  for (let at = count * STRIDE - STRIDE; at >= 0; at -= STRIDE) {
    const start = offsets[at] ?? 0;
    const end = offsets[at + 1] ?? 0;
    names |= bitOf(end - start, bytes[start] ?? 0, bytes[end - 1] ?? 0);
  }
  return names;
}

/** One of 32 bits for a name of this length, first and last character, whatever the case. */
function bitOf(length: number, first: number, last: number): number {
  return 1 << (length * 5 + (first | 0x20) + (last | 0x20) * 3);
}

/** Whether the bytes at `start` spell `name` (lower case) in any case. Both are field names of one length: letters differ in bit 0x20 alone. */
export function matchesName(bytes: Uint8Array, start: number, name: string): boolean {
  for (let index = 0; index < name.length; index++) {
    const byte = bytes[start + index] ?? 0;
    const wanted = name.charCodeAt(index);
    if (byte === wanted) continue;
    if (byte < 65 || byte > 90 || (byte | 0x20) !== wanted) return false;
  }
  return true;
}

function equalsIgnoreCase(text: string, lower: string): boolean {
  return text.length === lower.length && (text === lower || text.toLowerCase() === lower);
}
