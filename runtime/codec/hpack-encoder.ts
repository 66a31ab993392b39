// HPACK, sending (RFC 7541). What came back often is sent as an index; what is unique to a message is not, as it would
// push out what is useful. Nothing is Huffman-coded: inside a mesh the bytes saved cost more than they are worth. A field
// that came by HPACK brings what the decoder knew of it, so that one that came by index mostly goes by index unread.
import type { HeaderMap, ParsedFields } from "../exchange/headers.ts";
import { ENTRY_BASE, HTTP2_ONLY } from "./hpack-block.ts";
import {
  CONNECTION,
  COOKIE,
  HOST,
  HTTP2_SETTINGS,
  KIND,
  NEVER,
  noteOfBytes,
  noteOfText,
  SECRET,
  STATIC_COUNT,
  STATIC_SHIFT,
  TE,
  UNIQUE,
} from "./hpack-static.ts";
import { ENTRY_BYTES, FieldTable } from "./hpack-table.ts";

/** The head of a request, as `Exchange` has it. */
export interface RequestHead {
  readonly method: string;
  /** Path and query, or `*`. Not sent with CONNECT. */
  readonly path: string;
  readonly scheme: string;
  readonly authority: string;
  readonly headers: HeaderMap;
}

/** What a field takes at most beside its name and value: a byte for its kind and two lengths of up to four. */
const FIELD_BYTES = 12;
const STRIDE = 4;
const TABLE_DEFAULT_BYTES = 4096;
/** Direct-mapped; an entry that another pushes out is sent again. */
const BUCKETS = 128;
/** Shorter cookies could be guessed byte by byte by who sees the size of what is sent (RFC 7541 §7.1.3). */
const COOKIE_MIN_BYTES = 20;
/** Bytes of a value's end that its hash looks at. */
const HASHED_BYTES = 12;
/** Copying fewer bytes one by one is faster than asking for it. */
const COPIED_MIN_BYTES = 16;

/** Parsed fields that are remembered, and the most bytes that all of them may take. */
const KNOWN = 8;
const KNOWN_MAX_BYTES = 4096;
/** Static entries. */
const METHOD = 2;
const PATH = 4;
const SCHEME = 6;
const STATUS = 8;
const AUTHORITY = 1;
const ACCEPT_ENCODING = 16;
const GZIP_DEFLATE = "gzip, deflate";

interface Known {
  readonly id: number;
  readonly version: number;
  readonly marks: Uint8Array;
  readonly encoded: Buffer;
}

/** Fields that the proxy added that are remembered, and the longest value. */
const ADDED = 8;
const ADDED_MAX_BYTES = 64;

/** What became of one. */
interface Added {
  readonly name: string;
  /** What stands before the value of a field that no table keeps; `undefined` for one that may be kept. */
  readonly head: Buffer | undefined;
  readonly value: string;
  /** Where the field was inserted, -1 where not. */
  readonly insertion: number;
}

const INDEXED = 0x80;
const INDEXING = 0x40;
const WITHOUT = 0;
const NEVER_INDEXED = 0x10;

const NO_NUMBERS = new Int32Array(0);
const NO_TABLES = new Float64Array(0);

/** The line that is being encoded, its name in lower case, where it does not lie anywhere else. */
let line: Buffer = Buffer.allocUnsafeSlow(16 * 1024);

/** One direction of one connection. */
export class HpackEncoder {
  readonly #table = new FieldTable(TABLE_DEFAULT_BYTES);
  readonly #ownMaxBytes: number;
  #peerMaxBytes = TABLE_DEFAULT_BYTES;
  /** The smallest size since the last block, -1 where it did not change (RFC 7541 §4.2). */
  #smallestBytes = -1;
  /** By hash, three numbers: the hash of an entry, its insertion, and the hash of a field that was sent once. The second time a field is inserted. */
  #buckets: Int32Array = NO_NUMBERS;
  /** By entry of a decoder's table, two numbers: that entry, and the insertion here that is the same field. */
  #entries: Int32Array = NO_NUMBERS;
  /** Whose entries they are. */
  #tables: Float64Array = NO_TABLES;

  #out: Buffer = line;
  #position = 0;

  /** What became of fields that came again, by their id. */
  #known: (Known | undefined)[] = [];
  #knownBytes = 0;
  readonly #lastAdded: (Added | undefined)[] = [];
  /** Insertion of the field that `#field` sent last, -1 where it is not in the table. */
  #lastEntry = -1;
  #authority = "";
  /** Insertion of `:authority` with that value, -1 where there was none. */
  #authorityAt = -1;

  /** `tableMaxBytes` bounds the memory of the table, whatever the peer offers. */
  constructor(tableMaxBytes: number = TABLE_DEFAULT_BYTES) {
    this.#ownMaxBytes = tableMaxBytes;
    this.setPeerTableMax(TABLE_DEFAULT_BYTES);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block says what became of it. */
  setPeerTableMax(bytes: number): void {
    this.#peerMaxBytes = bytes;
    const size = Math.min(this.#peerMaxBytes, this.#ownMaxBytes);
    if (size === this.#table.maxBytes) return;
    this.#smallestBytes = this.#smallestBytes < 0 ? size : Math.min(this.#smallestBytes, size);
    this.#table.resize(size);
  }

  /**
   * Writes the block of a request from `start`; returns the position after it, -1 when `out` may have too little room,
   * with nothing changed. `protocol` makes a CONNECT an extended one (RFC 8441). Fields of one hop are left out, `Host`
   * gives way to `authority`.
   */
  encodeRequest(out: Buffer, start: number, head: RequestHead, protocol: string = ""): number {
    const { method, path, scheme, authority, headers } = head;
    const strings = method.length + path.length + scheme.length + authority.length + protocol.length;
    if (!this.#begin(out, start, headers, strings)) return -1;
    const hasPath = method !== "CONNECT" || protocol !== "";
    if (method === "GET") out[this.#position++] = INDEXED | METHOD;
    else if (method === "POST") out[this.#position++] = INDEXED | (METHOD + 1);
    else this.#text(":method", method, METHOD << STATIC_SHIFT);
    if (hasPath) {
      if (scheme === "http") out[this.#position++] = INDEXED | SCHEME;
      else if (scheme === "https") out[this.#position++] = INDEXED | (SCHEME + 1);
      else this.#text(":scheme", scheme, SCHEME << STATIC_SHIFT);
    }
    this.#writeAuthority(authority);
    if (hasPath) this.#writePath(path);
    if (protocol !== "") this.#text(":protocol", protocol, 0);
    this.#fields(headers, true);
    return this.#position;
  }

  /** As `encodeRequest`, for a reply or an interim reply. */
  encodeReply(out: Buffer, start: number, status: number, headers: HeaderMap): number {
    if (!this.#begin(out, start, headers, 3)) return -1;
    if (status === 200) out[this.#position++] = INDEXED | STATUS;
    else this.#status(status);
    this.#fields(headers, false);
    return this.#position;
  }

  /** As `encodeRequest`, for trailers of either direction. */
  encodeTrailers(out: Buffer, start: number, headers: HeaderMap): number {
    if (!this.#begin(out, start, headers, 0)) return -1;
    this.#fields(headers, false);
    return this.#position;
  }

  /** False where the block as literals might not fit: once something was inserted there is no way back. */
  #begin(out: Buffer, start: number, headers: HeaderMap, strings: number): boolean {
    const { offsets, count, added } = headers;
    // Five pseudo-header fields of eleven bytes at most, and two size updates.
    let needed = strings + 5 * (FIELD_BYTES + 11) + 12 + count * FIELD_BYTES + added.length * FIELD_BYTES;
    if (count > 0) needed += (offsets[(count - 1) * STRIDE + 3] ?? 0) - (offsets[0] ?? 0);
    for (let index = 0; index < added.length; index++) needed += added[index]?.length ?? 0;
    if (start + needed > out.length) return false;
    if (needed > line.length) line = Buffer.allocUnsafeSlow(needed);
    this.#out = out;
    this.#position = start;
    if (this.#smallestBytes >= 0) {
      if (this.#smallestBytes < this.#table.maxBytes) this.#integer(0x20, 31, this.#smallestBytes);
      this.#integer(0x20, 31, this.#table.maxBytes);
      this.#smallestBytes = -1;
    }
    return true;
  }

  #status(status: number): void {
    for (let index = STATUS; index < STATUS + STATUSES.length; index++) {
      if (STATUSES[index - STATUS] !== status) continue;
      this.#integer(INDEXED, 127, index);
      return;
    }
    this.#text(":status", String(status), STATUS << STATIC_SHIFT);
  }

  #writeAuthority(authority: string): void {
    const table = this.#table;
    if (this.#authorityAt >= 0 && authority === this.#authority) {
      const index = table.age(this.#authorityAt);
      if (index <= table.count) return this.#integer(INDEXED, 127, STATIC_COUNT + index);
    }
    const before = table.inserted;
    this.#text(":authority", authority, AUTHORITY << STATIC_SHIFT);
    if (table.inserted !== before) {
      this.#authority = authority;
      this.#authorityAt = before;
    }
    return undefined;
  }

  /** Paths are mostly unique, so none is inserted; one that is not costs its bytes again. */
  #writePath(path: string): void {
    const out = this.#out;
    if (path === "/") {
      out[this.#position++] = INDEXED | PATH;
      return;
    }
    out[this.#position++] = PATH;
    this.#integer(0, 127, path.length);
    this.#position += out.latin1Write(path, this.#position);
  }

  #fields(headers: HeaderMap, isRequest: boolean): void {
    if (headers.count > 0) this.#parsed(headers, isRequest);
    const { added } = headers;
    for (let index = 0; index < added.length; index += 2) {
      const name = added[index] ?? "";
      const value = added[index + 1] ?? "";
      if (!this.#addedAgain(index >>> 1, name, value)) this.#added(index >>> 1, name, value);
    }
  }

  /** Parsed fields; what became of those that came again is copied while neither they nor the table changed. */
  #parsed(headers: HeaderMap, isRequest: boolean): void {
    const { source, marks } = headers;
    if (source === undefined) return this.#lines(headers, isRequest);
    const { id, count } = source;
    const known = id === 0 ? undefined : this.#known[id & (KNOWN - 1)];
    if (
      known !== undefined &&
      known.id === id &&
      known.version === this.#table.version &&
      (known.marks === marks || isSame(known.marks, marks, count))
    ) {
      this.#position = writeBytes(this.#out, this.#position, known.encoded, 0, known.encoded.length);
      return undefined;
    }
    const start = this.#position;
    const { version } = this.#table;
    this.#noted(source, marks, isRequest);
    if (id === 0 || version !== this.#table.version) return undefined;
    return this.#keep({
      id,
      version,
      marks: source.marks === marks ? marks : marks.slice(0, count),
      encoded: Buffer.from(this.#out.subarray(start, this.#position)),
    });
  }

  #keep(known: Known): void {
    const { length } = known.encoded;
    if (length > KNOWN_MAX_BYTES) return;
    if (this.#knownBytes + length > KNOWN_MAX_BYTES) {
      this.#known = [];
      this.#knownBytes = 0;
    }
    const slot = known.id & (KNOWN - 1);
    this.#knownBytes += length - (this.#known[slot]?.encoded.length ?? 0);
    this.#known[slot] = known;
  }

  /** Fields as HPACK brought them: names in lower case, with what was noted of them. */
  #noted({ bytes, offsets, notesAt, table, count }: ParsedFields, marks: Uint8Array, isRequest: boolean): void {
    for (let field = 0; field < count; field++) {
      const mark = marks[field] ?? 0;
      if (mark !== 0 && !(mark === HTTP2_ONLY && isRequest)) continue;
      const note = offsets[notesAt + field * 2] ?? 0;
      const kind = note & KIND;
      if (kind === HOST || (kind === TE && mark === 0)) continue;
      const at = field * STRIDE;
      this.#field(
        bytes,
        offsets[at] ?? 0,
        offsets[at + 1] ?? 0,
        offsets[at + 3] ?? 0,
        note,
        table === 0 ? 0 : (offsets[notesAt + field * 2 + 1] ?? 0),
        table,
      );
    }
  }

  /** Fields as HTTP/1.1 brought them: names in any case, blanks around values. */
  #lines({ bytes, offsets, marks, count }: HeaderMap, isRequest: boolean): void {
    for (let field = 0; field < count; field++) {
      const mark = marks[field] ?? 0;
      if (mark !== 0 && !(mark === HTTP2_ONLY && isRequest)) continue;
      const at = field * STRIDE;
      const nameEnd = lowerCase(bytes, offsets[at] ?? 0, offsets[at + 1] ?? 0);
      const note = noteOfBytes(line, 0, nameEnd);
      if (mark === 0 && isOfOneHop(note & KIND)) continue;
      const valueEnd = nameEnd + 2 + bytes.copy(line, nameEnd + 2, offsets[at + 2] ?? 0, offsets[at + 3] ?? 0);
      this.#field(line, 0, nameEnd, valueEnd, note, 0, 0);
    }
  }

  /** The proxy mostly adds the same fields in the same order: those that are in the table, or differ in their value alone. */
  #addedAgain(place: number, name: string, value: string): boolean {
    const last = this.#lastAdded[place];
    if (last === undefined || last.name !== name) return false;
    const { head } = last;
    if (head !== undefined) {
      const out = this.#out;
      let at = this.#position;
      for (let byte = 0; byte < head.length; byte++) out[at++] = head[byte] ?? 0;
      at = writeInteger(out, at, 0, 127, value.length);
      this.#position = writeText(out, at, value);
      return true;
    }
    if (last.value !== value) return false;
    const index = this.#table.age(last.insertion);
    if (index > this.#table.count) return false;
    this.#integer(INDEXED, 127, STATIC_COUNT + index);
    return true;
  }

  /** A field that the proxy added, as the `place`th. */
  #added(place: number, name: string, value: string): void {
    let note = noteOfText(name);
    let lower = name;
    if (note === 0) {
      lower = name.toLowerCase();
      if (lower !== name) note = noteOfText(lower);
    }
    if ((note & UNIQUE) === 0) {
      if (isOfOneHop(note & KIND)) return;
      this.#text(lower, value, note);
      if (this.#lastEntry >= 0 && place < ADDED && value.length <= ADDED_MAX_BYTES)
        this.#lastAdded[place] = { name, head: undefined, value, insertion: this.#lastEntry };
      return;
    }
    const index = note >>> STATIC_SHIFT;
    const out = this.#out;
    const start = this.#position;
    let at = writeInteger(out, start, WITHOUT, 15, index);
    if (index === 0) {
      at = writeInteger(out, at, 0, 127, lower.length);
      at += out.latin1Write(lower, at);
    }
    if (place < ADDED && at - start <= ADDED_MAX_BYTES)
      this.#lastAdded[place] = { name, head: Buffer.from(out.subarray(start, at)), value: "", insertion: -1 };
    at = writeInteger(out, at, 0, 127, value.length);
    this.#position = at + out.latin1Write(value, at);
  }

  #text(name: string, value: string, note: number): void {
    const nameEnd = line.latin1Write(name, 0);
    this.#field(line, 0, nameEnd, nameEnd + 2 + line.latin1Write(value, nameEnd + 2), note, 0, 0);
  }

  /** One field, its value two bytes after its name. `reference` is what it came as (`FieldBlock`), an entry of `table`. */
  #field(
    bytes: Buffer,
    start: number,
    nameEnd: number,
    valueEnd: number,
    note: number,
    reference: number,
    table: number,
  ): void {
    this.#lastEntry = -1;
    if ((note & (NEVER | SECRET | UNIQUE)) !== 0 || (note & KIND) === COOKIE) {
      const isShort = (note & KIND) === COOKIE && valueEnd - nameEnd - 2 < COOKIE_MIN_BYTES;
      if ((note & (NEVER | SECRET)) !== 0 || isShort)
        return this.#literal(bytes, start, nameEnd, valueEnd, note, NEVER_INDEXED);
      if ((note & UNIQUE) !== 0) return this.#literal(bytes, start, nameEnd, valueEnd, note, WITHOUT);
    }
    if (reference >= ENTRY_BASE) {
      const known = this.#sameAs(table, reference);
      if (known > 0) return this.#integer(INDEXED, 127, STATIC_COUNT + known);
    } else if (reference > 0) return this.#integer(INDEXED, 127, reference);
    if (note >>> STATIC_SHIFT === ACCEPT_ENCODING && isGzipDeflate(bytes, nameEnd + 2, valueEnd))
      return this.#integer(INDEXED, 127, ACCEPT_ENCODING);
    return this.#hashed(bytes, start, nameEnd, valueEnd, note, reference, table);
  }

  /** Index of the entry that is the same field as that of a decoder, 0 where none is known. */
  #sameAs(table: number, reference: number): number {
    const bucket = (reference ^ table) & (BUCKETS - 1);
    if (this.#entries[bucket * 2] !== reference || this.#tables[bucket] !== table) return 0;
    const index = this.#table.age(this.#entries[bucket * 2 + 1] ?? 0);
    return index <= this.#table.count ? index : 0;
  }

  #noteSame(table: number, reference: number, insertion: number): void {
    if (this.#entries.length === 0) {
      this.#entries = new Int32Array(BUCKETS * 2);
      this.#tables = new Float64Array(BUCKETS);
    }
    const bucket = (reference ^ table) & (BUCKETS - 1);
    this.#entries[bucket * 2] = reference;
    this.#entries[bucket * 2 + 1] = insertion;
    this.#tables[bucket] = table;
  }

  /** A field that may be in the table: by index, or inserted the second time it is sent. */
  #hashed(
    bytes: Buffer,
    start: number,
    nameEnd: number,
    valueEnd: number,
    note: number,
    reference: number,
    source: number,
  ): void {
    if (this.#buckets.length === 0) this.#buckets = new Int32Array(BUCKETS * 3);
    const table = this.#table;
    const buckets = this.#buckets;
    const hash = hashOf(bytes, start, nameEnd, valueEnd);
    const bucket = (hash & (BUCKETS - 1)) * 3;
    if (buckets[bucket] === hash) {
      const insertion = buckets[bucket + 1] ?? 0;
      const index = table.age(insertion);
      if (index > 0 && index <= table.count && this.#isEntry(index, bytes, start, nameEnd, valueEnd)) {
        this.#lastEntry = insertion;
        if (reference !== 0) this.#noteSame(source, reference, insertion);
        return this.#integer(INDEXED, 127, STATIC_COUNT + index);
      }
    }
    // Not where it would push out half of the table.
    if (buckets[bucket + 2] !== hash || (valueEnd - start + ENTRY_BYTES) * 2 > table.maxBytes) {
      buckets[bucket + 2] = hash;
      return this.#literal(bytes, start, nameEnd, valueEnd, note, WITHOUT);
    }
    this.#literal(bytes, start, nameEnd, valueEnd, note, INDEXING);
    const insertion = table.inserted;
    if (!table.insert(bytes, start, nameEnd, valueEnd, 0)) return undefined;
    buckets[bucket] = hash;
    buckets[bucket + 1] = insertion;
    if (reference !== 0) this.#noteSame(source, reference, insertion);
    return undefined;
  }

  #isEntry(index: number, bytes: Buffer, start: number, nameEnd: number, valueEnd: number): boolean {
    const { slots, bytes: own } = this.#table;
    const slot = this.#table.slotOf(index);
    const from = slots[slot] ?? 0;
    const name = nameEnd - start;
    if ((slots[slot + 1] ?? 0) - from !== name || (slots[slot + 2] ?? 0) - from !== valueEnd - start) return false;
    return isEqual(own, from, bytes, start, nameEnd) && isEqual(own, from + name + 2, bytes, nameEnd + 2, valueEnd);
  }

  #literal(bytes: Buffer, start: number, nameEnd: number, valueEnd: number, note: number, mode: number): void {
    const out = this.#out;
    const index = note >>> STATIC_SHIFT;
    let at = this.#position;
    if (index === 0) {
      out[at++] = mode;
      at = writeString(out, at, bytes, start, nameEnd);
    } else at = writeInteger(out, at, mode, mode === INDEXING ? 63 : 15, index);
    this.#position = writeString(out, at, bytes, nameEnd + 2, valueEnd);
  }

  #integer(first: number, prefix: number, value: number): void {
    this.#position = writeInteger(this.#out, this.#position, first, prefix, value);
  }
}

const STATUSES: readonly number[] = [200, 204, 206, 304, 400, 404, 500];

/** RFC 7541 §5.1, below the bits of `first`. */
function writeInteger(out: Buffer, start: number, first: number, prefix: number, value: number): number {
  let at = start;
  if (value < prefix) {
    out[at] = first | value;
    return at + 1;
  }
  out[at++] = first | prefix;
  let rest = value - prefix;
  while (rest >= 128) {
    out[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  out[at++] = rest;
  return at;
}

function writeString(out: Buffer, start: number, bytes: Buffer, from: number, end: number): number {
  return writeBytes(out, writeInteger(out, start, 0, 127, end - from), bytes, from, end);
}

function writeBytes(out: Buffer, start: number, bytes: Buffer, from: number, end: number): number {
  if (end - from >= COPIED_MIN_BYTES) return start + bytes.copy(out, start, from, end);
  let at = start;
  for (let byte = from; byte < end; byte++) out[at++] = bytes[byte] ?? 0;
  return at;
}

function writeText(out: Buffer, start: number, text: string): number {
  if (text.length >= COPIED_MIN_BYTES) return start + out.latin1Write(text, start);
  let at = start;
  for (let index = 0; index < text.length; index++) out[at++] = text.charCodeAt(index);
  return at;
}

function isOfOneHop(kind: number): boolean {
  return kind === HOST || kind === CONNECTION || kind === HTTP2_SETTINGS || kind === TE;
}

function isGzipDeflate(bytes: Buffer, start: number, end: number): boolean {
  if (end - start !== GZIP_DEFLATE.length) return false;
  for (let at = start; at < end; at++) if (bytes[at] !== GZIP_DEFLATE.charCodeAt(at - start)) return false;
  return true;
}

function isEqual(own: Buffer, from: number, bytes: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (length > 24) return own.compare(bytes, start, end, from, from + length) === 0;
  for (let at = 0; at < length; at++) if (own[from + at] !== bytes[start + at]) return false;
  return true;
}

function isSame(known: Uint8Array, marks: Uint8Array, count: number): boolean {
  for (let field = 0; field < count; field++) if (known[field] !== marks[field]) return false;
  return true;
}

/** Copies a name into `line` in lower case; returns its end. */
function lowerCase(bytes: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    line[at - start] = byte >= 65 && byte <= 90 ? byte | 0x20 : byte;
  }
  return end - start;
}

/**
 * Over the lengths, the name's ends and the last bytes of the value. What is told apart nowhere else shares a bucket and
 * is inserted at its first sight; what is found is compared whole.
 */
function hashOf(bytes: Buffer, start: number, nameEnd: number, valueEnd: number): number {
  let hash = Math.imul(valueEnd - nameEnd, 0x01000193) ^ Math.imul(nameEnd - start, 0x9e3779b1);
  hash = Math.imul(hash ^ ((bytes[start] ?? 0) << 8) ^ (bytes[nameEnd - 1] ?? 0), 0x01000193);
  for (let at = Math.max(nameEnd + 2, valueEnd - HASHED_BYTES); at < valueEnd; at++)
    hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return hash ^ (hash >>> 15);
}
