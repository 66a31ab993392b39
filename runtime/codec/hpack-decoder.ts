// HPACK, receiving (RFC 7541). A block becomes bytes in the layout of HTTP/1.1, a string only where the request path
// reads one; which messages are malformed is in `hpack-rules.ts`. Work and memory follow the bytes of the block: what a
// reference expands to is copied only within the limits, while the table stays in step.
import { latin1 } from "../exchange/headers.ts";
import { blockOf, ENTRY_BASE, keepBlock, type BlockKind, type FieldBlock } from "./hpack-block.ts";
import { BlockBuilder, out } from "./hpack-builder.ts";
import { decodeHuffman, huffmanMaxBytes } from "./hpack-huffman.ts";
import { BlockMemo, type Remembered } from "./hpack-memo.ts";
import { BAD_VALUE_PROBLEM, type MessageRules } from "./hpack-rules.ts";
import {
  AUTHORITY,
  BAD_VALUE,
  isText,
  isTrimmed,
  KIND,
  NEVER,
  NOT_IN_TRAILERS,
  noteOfBytes,
  PSEUDO_LAST,
  STATIC_BYTES,
  STATIC_COUNT,
  STATIC_FIELDS,
  STATIC_SLOTS,
} from "./hpack-static.ts";
import { ENTRY_BYTES, FieldTable } from "./hpack-table.ts";
import type { HeadLimits } from "./http1-grammar.ts";

/** What a table has before anything else was agreed (RFC 9113 §6.5.2). */
export const TABLE_DEFAULT_BYTES = 4096;

const STRIDE = 4;
const CR = 13;
const LF = 10;
const COLON = 58;
const SPACE = 32;
/** The static entries before it are all those of pseudo-header fields. */
const STATIC_ORDINARY = 15;
/** Copying fewer bytes one by one is faster than asking for it. */
const COPIED_MIN_BYTES = 16;

/** One direction of one connection. */
export class HpackDecoder {
  /** Why the last block was a COMPRESSION_ERROR. */
  problem = "";

  readonly #limits: HeadLimits;
  readonly #table = new FieldTable(TABLE_DEFAULT_BYTES);
  /** The block that is decoded. */
  readonly #head: BlockBuilder;
  readonly #rules: MessageRules;
  /** What we announced and the peer acknowledged. */
  #tableMaxBytes = TABLE_DEFAULT_BYTES;
  /** The next block has to begin with a size update (RFC 7541 §4.2). */
  #needsUpdate = false;

  /** A control character came in the last string. */
  #isOdd = false;
  /** Position after what `#integer` read. */
  #at = 0;
  /** Bits of a note that matter for this block. */
  #noteMask = 0;
  /** The entry that `:authority` came as last, and its value. */
  #authorityEntry = -1;
  #authorityTable = 0;
  #authority = "";

  readonly #whole = new BlockMemo();
  readonly #tails = new BlockMemo();
  /** Something since `#mark` referred to the dynamic table. */
  #usesTable = false;

  /** `limits` bound each block: name, value and 32 bytes a field (RFC 9113 §6.5.2), and their number. */
  constructor(limits: HeadLimits) {
    this.#limits = limits;
    this.#head = new BlockBuilder(limits);
    this.#rules = this.#head.rules;
  }

  /** The peer acknowledged SETTINGS_HEADER_TABLE_SIZE. Before, and where we never send it, it is 4096. */
  setTableMax(bytes: number): void {
    this.#tableMaxBytes = bytes;
    this.#needsUpdate = this.#table.maxBytes > bytes;
  }

  /**
   * Decodes a whole block, its fragments joined, from `start` to `end`. `undefined` is a connection error
   * COMPRESSION_ERROR; `problem` says why, and the decoder is of no further use.
   */
  decode(bytes: Buffer, start: number, end: number, kind: BlockKind): FieldBlock | undefined {
    const table = this.#table;
    const version = table.version;
    // A block of other kind may look the same and mean something else: replies come on other connections than requests.
    if (kind !== "trailers") {
      const known = this.#whole.find(bytes, start, end, table);
      if (known !== undefined && !this.#needsUpdate) {
        if (known.slots.length > 0) this.#insertAgain(known);
        return known.block;
      }
    }
    const isSecondSight = kind !== "trailers" && this.#whole.isSecondSight;
    const inserted = table.inserted;
    this.#begin(kind);
    const from = this.#updates(bytes, start, end);
    if (from < 0) return undefined;
    const block = this.#fieldsOf(bytes, from, end);
    if (block === undefined || !isSecondSight || from !== start || block.isTooLarge || block.malformed !== "")
      return block;
    const kept = block.id === 0 ? keepBlock(block) : block;
    const added = table.age(inserted);
    // An entry too large for the table only empties it, which `remember` does not know how to do again.
    if (added !== ((table.version - version) & 0x7fffffff)) return kept;
    this.#whole.remember(bytes, start, end, kept, table, this.#usesTable ? version : -1, added, 0, 0);
    return kept;
  }

  #begin(kind: BlockKind): void {
    this.#head.begin(kind, this.#table.number);
    this.#usesTable = false;
    this.#noteMask = kind === "trailers" ? KIND | BAD_VALUE | NOT_IN_TRAILERS : KIND | BAD_VALUE;
  }

  /** Decodes fields up to `end`. */
  #fieldsOf(bytes: Buffer, start: number, end: number): FieldBlock | undefined {
    const table = this.#table;
    let at = start;
    // Pseudo-header fields first; what follows them is mostly known even where the path is new.
    if (this.#rules.kind === "request") {
      while (at >= 0 && at < end && this.#isPseudo(bytes[at] ?? 0)) at = this.#one(bytes, at, end);
      if (at < 0) return undefined;
      if (this.#rules.hasAuthority && !this.#head.isTooLarge && this.#rules.malformed === "" && at < end) {
        const known = this.#tails.find(bytes, at, end, table);
        if (known !== undefined && known.block.authority === this.#rules.authority && this.#fits(known)) {
          if (known.slots.length > 0) this.#insertAgain(known);
          if (known.version >= 0) this.#usesTable = true;
          return this.#withTail(known.block);
        }
        this.#head.writeHost();
        if (this.#tails.isSecondSight) return this.#rememberTail(bytes, at, end);
      }
    }
    return this.#all(bytes, at, end) < 0 ? undefined : this.#head.finish(this.#table.number);
  }

  /** Fields up to `end`; -1 where one is broken. */
  #all(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (!this.#head.isTooLarge && this.#head.count > 0) {
        at = (bytes[at] ?? 0) >= 128 ? this.#run(bytes, at, end) : this.#literals(bytes, at, end);
        if (at === end) break;
      }
      at = this.#one(bytes, at, end);
      if (at < 0) return -1;
    }
    return at;
  }

  /**
   * Fields that are one byte each and mean nothing to the proxy itself, as most are; `#one` takes what it stops at. Lines
   * that lie one after the other are copied together.
   */
  #run(bytes: Buffer, start: number, end: number): number {
    const table = this.#table;
    const { slots } = table;
    const offsets = this.#head.offsets;
    const capacity = this.#head.capacity;
    const { headMaxBytes, headersMax } = this.#limits;
    let count = this.#head.count;
    let sizeBytes = this.#head.sizeBytes;
    let fieldsLeft = headersMax - this.#head.fields;
    let position = this.#head.position;
    /** Of the table's lines, those that are to be copied to before `position`. */
    let from = 0;
    let to = 0;
    let at = start;
    for (; at < end && count < capacity && fieldsLeft > 0; at++) {
      const byte = bytes[at] ?? 0;
      const index = (byte & 127) - STATIC_COUNT;
      if (byte < 128 || byte === 255 || index <= 0 || index > table.count) break;
      const slot = table.slotOf(index);
      const note = slots[slot + 3] ?? 0;
      if ((note & this.#noteMask) !== 0) break;
      const line = slots[slot] ?? 0;
      const shift = position - line;
      const valueEnd = slots[slot + 2] ?? 0;
      const length = valueEnd + 2 - line;
      if (sizeBytes + length + ENTRY_BYTES - 4 > headMaxBytes || position + length > out.length) break;
      if (line !== to) {
        if (to > from) table.bytes.copy(out, position - (to - from), from, to);
        from = line;
      }
      to = line + length;
      sizeBytes += length + ENTRY_BYTES - 4;
      fieldsLeft--;
      const nameEnd = (slots[slot + 1] ?? 0) + shift;
      const field = count * STRIDE;
      offsets[field] = position;
      offsets[field + 1] = nameEnd;
      offsets[field + 2] = nameEnd + 2;
      offsets[field + 3] = valueEnd + shift;
      const noteAt = capacity * STRIDE + count * 2;
      offsets[noteAt] = note;
      offsets[noteAt + 1] = table.insertionOf(index) + ENTRY_BASE;
      count++;
      position += length;
    }
    if (at === start) return at;
    if (to > from) table.bytes.copy(out, position - (to - from), from, to);
    this.#head.count = count;
    this.#head.sizeBytes = sizeBytes;
    this.#head.fields = headersMax - fieldsLeft;
    this.#head.position = position;
    this.#usesTable = true;
    this.#rules.isOpening = false;
    return at;
  }

  /**
   * Literals with the name of an entry that mean nothing to the proxy itself and are well-formed and short, as most are;
   * `#one` takes what it stops at, from its beginning.
   */
  #literals(bytes: Buffer, start: number, end: number): number {
    const table = this.#table;
    const offsets = this.#head.offsets;
    const capacity = this.#head.capacity;
    const { headMaxBytes, headersMax } = this.#limits;
    let count = this.#head.count;
    let sizeBytes = this.#head.sizeBytes;
    let fieldsLeft = headersMax - this.#head.fields;
    let position = this.#head.position;
    /** Lines before `position` that the table has and whose bytes it has not. */
    let unfilled = 0;
    let at = start;
    while (at < end && count < capacity && fieldsLeft > 0) {
      const first = bytes[at] ?? 0;
      // An index, a size update or never indexed.
      if (first >= 128 || (first >= 16 && first < 64)) break;
      const prefix = first >= 64 ? 63 : 15;
      let index = first & prefix;
      let valueAt = at + 1;
      if (index === prefix) index += bytes[valueAt++] ?? 0;
      // An index of three bytes looks as if it was beyond all.
      const isStatic = index <= STATIC_COUNT;
      if (index === 0 || (!isStatic && index - STATIC_COUNT > table.count) || index > prefix + 127) break;
      const slots = isStatic ? STATIC_SLOTS : table.slots;
      const slot = isStatic ? index * STRIDE : table.slotOf(index - STATIC_COUNT);
      const note = (slots[slot + 3] ?? 0) & ~BAD_VALUE;
      if ((note & this.#noteMask) !== 0 || valueAt >= end) break;
      if (unfilled > 0 && (first < 64 || (!isStatic && index - STATIC_COUNT <= unfilled))) {
        table.fill(out, position);
        unfilled = 0;
      }
      const head = bytes[valueAt] ?? 0;
      const length = head & 127;
      valueAt++;
      const nameStart = slots[slot] ?? 0;
      const nameEnd = position + (slots[slot + 1] ?? 0) - nameStart;
      if (length === 127 || valueAt + length > end || nameEnd + 2 * length + 8 > out.length) break;
      copyShort(isStatic ? STATIC_BYTES : table.bytes, nameStart, slots[slot + 1] ?? 0, out, position);
      out[nameEnd] = COLON;
      out[nameEnd + 1] = SPACE;
      let valueEnd = nameEnd + 2 + length;
      if (head >= 128) {
        valueEnd = decodeHuffman(bytes, valueAt, valueAt + length, out, nameEnd + 2);
        if (valueEnd < 0) break;
      } else if (isText(bytes, valueAt, valueAt + length))
        copyShort(bytes, valueAt, valueAt + length, out, nameEnd + 2);
      else break;
      const size = valueEnd - position - 2 + ENTRY_BYTES;
      if (!isTrimmed(out, nameEnd + 2, valueEnd) || sizeBytes + size > headMaxBytes) break;
      out[valueEnd] = CR;
      out[valueEnd + 1] = LF;
      if (!isStatic) this.#usesTable = true;
      let reference = 0;
      if (first >= 64) {
        const insertion = table.inserted;
        if (table.insertUnfilled(position, nameEnd, valueEnd, note)) {
          reference = insertion + ENTRY_BASE;
          unfilled++;
        }
      }
      sizeBytes += size;
      fieldsLeft--;
      const field = count * STRIDE;
      offsets[field] = position;
      offsets[field + 1] = nameEnd;
      offsets[field + 2] = nameEnd + 2;
      offsets[field + 3] = valueEnd;
      const noteAt = capacity * STRIDE + count * 2;
      offsets[noteAt] = note;
      offsets[noteAt + 1] = reference;
      count++;
      position = valueEnd + 2;
      at = valueAt + length;
    }
    if (at === start) return at;
    if (unfilled > 0) table.fill(out, position);
    this.#head.count = count;
    this.#head.sizeBytes = sizeBytes;
    this.#head.fields = headersMax - fieldsLeft;
    this.#head.position = position;
    this.#rules.isOpening = false;
    return at;
  }

  /** One field; position after it or -1. */
  #one(bytes: Buffer, at: number, end: number): number {
    const first = bytes[at] ?? 0;
    if (first < 128) return this.#literal(bytes, at, end, first);
    if (first < 255) return this.#indexed(first & 127) ? at + 1 : -1;
    const index = this.#integer(bytes, at, end, 127);
    return index >= 0 && this.#indexed(index) ? this.#at : -1;
  }

  /** Whether a field that begins with this byte has an index whose name is that of a pseudo-header field. */
  #isPseudo(first: number): boolean {
    let prefix = 15;
    if (first >= 128) prefix = 127;
    else if (first >= 64) prefix = 63;
    const index = first & prefix;
    // More bytes of the index follow, which no client needs for one of these.
    if (index === prefix) return false;
    if (index <= STATIC_COUNT) return index > 0 && index < STATIC_ORDINARY;
    const table = this.#table;
    if (index - STATIC_COUNT > table.count) return false;
    const kind = (table.slots[table.slotOf(index - STATIC_COUNT) + 3] ?? 0) & KIND;
    return kind !== 0 && kind <= PSEUDO_LAST;
  }

  #fits(known: Remembered): boolean {
    return (
      this.#head.sizeBytes + known.sizeBytes <= this.#limits.headMaxBytes &&
      this.#head.fields + known.fields <= this.#limits.headersMax
    );
  }

  #insertAgain({ lines, slots }: Remembered): void {
    const table = this.#table;
    for (let slot = 0; slot < slots.length; slot += STRIDE)
      table.insertUnfilled(slots[slot] ?? 0, slots[slot + 1] ?? 0, slots[slot + 2] ?? 0, slots[slot + 3] ?? 0);
    table.fill(lines, lines.length);
  }

  /** Fields that are known, after pseudo-header fields that were decoded. */
  #withTail(tail: FieldBlock): FieldBlock {
    const rules = this.#rules;
    rules.contentLength = tail.contentLength;
    rules.expectsContinue = tail.expectsContinue;
    rules.expectsUnknown = tail.expectsUnknown;
    rules.finish();
    return rules.malformed === "" ? blockOf(rules, tail, tail.id) : this.#head.finish(this.#table.number);
  }

  #rememberTail(bytes: Buffer, start: number, end: number): FieldBlock | undefined {
    const table = this.#table;
    const { inserted, version } = table;
    const sizeBytes = this.#head.sizeBytes;
    const fields = this.#head.fields;
    const didUse = this.#usesTable;
    this.#usesTable = false;
    if (this.#all(bytes, start, end) < 0) return undefined;
    const block = this.#head.finish(this.#table.number);
    const usesTable = this.#usesTable;
    this.#usesTable = usesTable || didUse;
    if (block.isTooLarge || block.malformed !== "") return block;
    const kept = keepBlock(block);
    const added = table.age(inserted);
    if (added !== ((table.version - version) & 0x7fffffff)) return kept;
    const size = this.#head.sizeBytes - sizeBytes;
    this.#tails.remember(
      bytes,
      start,
      end,
      kept,
      table,
      usesTable ? version : -1,
      added,
      size,
      this.#head.fields - fields,
    );
    return kept;
  }

  #fail(problem: string): -1 {
    this.problem = problem;
    return -1;
  }

  /** Size updates, which stand at a block's beginning only (RFC 7541 §4.2). */
  #updates(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && ((bytes[at] ?? 0) & 0xe0) === 0x20) {
      const size = this.#integer(bytes, at, end, 31);
      if (size < 0) return -1;
      if (size > this.#tableMaxBytes) return this.#fail("a table size update is beyond SETTINGS_HEADER_TABLE_SIZE");
      this.#table.resize(size);
      this.#needsUpdate = false;
      at = this.#at;
    }
    return this.#needsUpdate ? this.#fail("the table size update that SETTINGS asked for is missing") : at;
  }

  /** RFC 7541 §5.1; -1 for one that is cut or beyond 2²⁸, which nothing here can be. */
  #integer(bytes: Buffer, start: number, end: number, prefix: number): number {
    let at = start;
    let value = (bytes[at++] ?? 0) & prefix;
    if (value === prefix) {
      let byte = 128;
      for (let shift = 0; byte >= 128; shift += 7) {
        if (at >= end) return this.#fail("an integer is cut");
        if (shift > 21) return this.#fail("an integer is too long");
        byte = bytes[at++] ?? 0;
        value += (byte & 127) << shift;
      }
    }
    this.#at = at;
    return value;
  }

  #indexed(index: number): boolean {
    if (index <= STATIC_COUNT) {
      if (index === 0) return this.#fail("index 0 stands for nothing") >= 0;
      if (index >= STATIC_ORDINARY) this.#field(STATIC_BYTES, STATIC_SLOTS, index * STRIDE, index);
      else this.#staticPseudo(index);
      return true;
    }
    const table = this.#table;
    if (index - STATIC_COUNT > table.count) return this.#fail("an index is beyond the table") >= 0;
    this.#usesTable = true;
    const entry = index - STATIC_COUNT;
    this.#field(table.bytes, table.slots, table.slotOf(entry), table.insertionOf(entry) + ENTRY_BASE);
    return true;
  }

  #staticPseudo(index: number): void {
    const [name, value] = STATIC_FIELDS[index - 1] ?? NO_FIELD;
    if (!this.#head.isBeyond(name.length + value.length))
      this.#rules.pseudo((STATIC_SLOTS[index * STRIDE + 3] ?? 0) & KIND, value);
  }

  /** A field that a table has as a line. */
  #field(source: Buffer, slots: Int32Array, slot: number, reference: number): void {
    const start = slots[slot] ?? 0;
    const nameEnd = slots[slot + 1] ?? 0;
    const valueEnd = slots[slot + 2] ?? 0;
    const note = slots[slot + 3] ?? 0;
    if (this.#head.isBeyond(valueEnd - start - 2)) return;
    const rules = this.#rules;
    const kind = note & this.#noteMask;
    if (kind === 0) rules.isOpening = false;
    else if (kind === AUTHORITY) {
      rules.pseudo(AUTHORITY, this.#authorityOf(source, nameEnd + 2, valueEnd, reference));
      return;
    } else if (!rules.take(note, source, nameEnd + 2, valueEnd)) return;
    this.#head.reserve(valueEnd + 2 - start);
    const to = this.#head.position;
    source.copy(out, to, start, valueEnd + 2);
    this.#head.store(to + nameEnd - start, to + valueEnd - start, note, reference);
  }

  /** A connection nearly always names the same host, as the same entry. */
  #authorityOf(source: Buffer, start: number, end: number, entry: number): string {
    if (entry !== this.#authorityEntry || this.#table.number !== this.#authorityTable) {
      this.#authority = latin1(source, start, end);
      this.#authorityEntry = entry;
      this.#authorityTable = this.#table.number;
    }
    return this.#authority;
  }

  #literal(bytes: Buffer, start: number, end: number, first: number): number {
    const isIndexed = first >= 64;
    if (!isIndexed && first >= 32) return this.#fail("a table size update stands after a field");
    const prefix = isIndexed ? 63 : 15;
    let index = first & prefix;
    let at = start + 1;
    if (index === prefix) {
      index = this.#integer(bytes, start, end, prefix);
      at = this.#at;
    }
    if (first < 16 && index > 0 && index < STATIC_ORDINARY) return this.#pseudoLiteral(bytes, at, end, index);
    this.#head.lineStart = this.#head.position;
    let note: number;
    if (index > 0) note = this.#copyName(index);
    else if (index < 0) return -1;
    else {
      at = this.#string(bytes, at, end);
      if (at < 0) return -1;
      note = noteOfBytes(out, this.#head.lineStart, this.#head.position);
    }
    if (note < 0) return -1;
    const nameEnd = this.#head.position;
    out[nameEnd] = COLON;
    out[nameEnd + 1] = SPACE;
    this.#head.nameEnd = nameEnd;
    this.#head.position = nameEnd + 2;
    at = this.#string(bytes, at, end);
    return at < 0 ? -1 : this.#line(at, note, first);
  }

  /** A pseudo-header field that no table keeps needs no line. */
  #pseudoLiteral(bytes: Buffer, start: number, end: number, index: number): number {
    const from = this.#head.position;
    // Memory that moves takes the string with it.
    this.#head.lineStart = from;
    const at = this.#string(bytes, start, end);
    if (at < 0) return -1;
    const valueStart = this.#head.lineStart;
    const valueEnd = this.#head.position;
    this.#head.position = valueStart;
    const [name] = STATIC_FIELDS[index - 1] ?? NO_FIELD;
    if (this.#head.isBeyond(name.length + valueEnd - valueStart)) return at;
    if (this.#isOdd || !isTrimmed(out, valueStart, valueEnd)) this.#rules.refuse(BAD_VALUE_PROBLEM);
    else this.#rules.pseudo((STATIC_SLOTS[index * STRIDE + 3] ?? 0) & KIND, latin1(out, valueStart, valueEnd));
    return at;
  }

  /** The literal is whole in `out`, its value's end at `#position`. Memory may have moved until here. */
  #line(at: number, name: number, first: number): number {
    let note = name;
    const from = this.#head.lineStart;
    const nameEnd = this.#head.nameEnd;
    const valueEnd = this.#head.position;
    out[valueEnd] = CR;
    out[valueEnd + 1] = LF;
    this.#head.position = from;
    if (this.#isOdd || !isTrimmed(out, nameEnd + 2, valueEnd)) note |= BAD_VALUE;
    let reference = 0;
    if (first >= 64) {
      const insertion = this.#table.inserted;
      if (this.#table.insert(out, from, nameEnd, valueEnd, note)) reference = insertion + ENTRY_BASE;
    } else if (first >= 16) note |= NEVER;
    if (this.#head.isBeyond(valueEnd - from - 2)) return at;
    if ((note & this.#noteMask) === 0) this.#rules.isOpening = false;
    else if (!this.#rules.take(note, out, nameEnd + 2, valueEnd)) return at;
    this.#head.store(nameEnd, valueEnd, note, reference);
    return at;
  }

  /** Copies the name of an entry to `out`; its note without what concerned its value, -1 where there is no such entry. */
  #copyName(index: number): number {
    const isStatic = index <= STATIC_COUNT;
    const table = this.#table;
    if (!isStatic && index - STATIC_COUNT > table.count) return this.#fail("a name's index is beyond the table");
    if (!isStatic) this.#usesTable = true;
    const source = isStatic ? STATIC_BYTES : table.bytes;
    const slots = isStatic ? STATIC_SLOTS : table.slots;
    const slot = isStatic ? index * STRIDE : table.slotOf(index - STATIC_COUNT);
    const start = slots[slot] ?? 0;
    const length = (slots[slot + 1] ?? 0) - start;
    this.#head.reserve(length + 2);
    copyShort(source, start, start + length, out, this.#head.position);
    this.#head.position += length;
    return (slots[slot + 3] ?? 0) & ~BAD_VALUE;
  }

  /** Decodes a string (RFC 7541 §5.2) to `#position`, with room for two bytes after it; returns the position after it in `bytes`. */
  #string(bytes: Buffer, start: number, end: number): number {
    if (start >= end) return this.#fail("a string is cut");
    const head = bytes[start] ?? 0;
    let length = head & 127;
    let at = start + 1;
    if (length === 127) {
      length = this.#integer(bytes, start, end, 127);
      if (length < 0) return -1;
      at = this.#at;
    }
    if (length > end - at) return this.#fail("a string is cut");
    if (head >= 128) {
      this.#head.reserve(huffmanMaxBytes(length) + 2);
      const to = decodeHuffman(bytes, at, at + length, out, this.#head.position);
      if (to === -1) return this.#fail("a string's Huffman code is broken");
      this.#isOdd = to < 0;
      this.#head.position = to < 0 ? ~to : to;
    } else {
      this.#head.reserve(length + 2);
      this.#isOdd = !isText(bytes, at, at + length);
      copyShort(bytes, at, at + length, out, this.#head.position);
      this.#head.position += length;
    }
    return at + length;
  }
}

/** Copies what mostly is short: a name, or a value. */
function copyShort(from: Buffer, start: number, end: number, to: Buffer, at: number): void {
  if (end - start >= COPIED_MIN_BYTES) from.copy(to, at, start, end);
  else for (let byte = start; byte < end; byte++) to[at + byte - start] = from[byte] ?? 0;
}

const NO_FIELD = ["", ""] as const;
