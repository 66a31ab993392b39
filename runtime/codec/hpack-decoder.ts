// HPACK, receiving (RFC 7541). A block becomes bytes in the layout of HTTP/1.1, a string only where the request path
// reads one; which messages are malformed is in `hpack-rules.ts`. Work and memory follow the bytes of the block: what a
// reference expands to is copied only within the limits, while the table stays in step.
import { HTTP2_ONLY, type BlockKind, type FieldBlock } from "./hpack-block.ts";
import { decodeHuffman, huffmanMaxBytes } from "./hpack-huffman.ts";
import { BlockMemo, type Remembered } from "./hpack-memo.ts";
import { AUTHORITY_MAX_BYTES, MessageRules } from "./hpack-rules.ts";
import {
  BAD_VALUE,
  COOKIE,
  isCleanValue,
  kindOfName,
  KIND,
  NOT_IN_TRAILERS,
  PSEUDO_LAST,
  STATIC_BYTES,
  STATIC_COUNT,
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
/** Fields begin here, so that the line of `Host`, which is known after others were decoded, fits before them. */
const FIELDS_AT = AUTHORITY_MAX_BYTES + "Host: \r\n".length;

/** Where blocks are decoded, one at a time in the whole process; each is then copied into memory of its own. */
let scratch: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
let scratchOffsets = new Int32Array(64 * STRIDE);
let scratchNever = new Uint8Array(64);
const NO_BYTES = Buffer.alloc(0);
const NO_OFFSETS = new Int32Array(0);
/** Marks of blocks whose fields are all kept. */
const NO_MARKS = new Uint8Array(256);
/** Of blocks that came twice, over all connections. Wraps after 2³⁰, when those of before are long forgotten. */
let lastId = 0;

/** One direction of one connection. */
export class HpackDecoder {
  /** Why the last block was a COMPRESSION_ERROR. */
  problem = "";

  readonly #limits: HeadLimits;
  readonly #table = new FieldTable(TABLE_DEFAULT_BYTES);
  readonly #rules = new MessageRules();
  /** What we announced and the peer acknowledged. */
  #tableMaxBytes = TABLE_DEFAULT_BYTES;
  /** The next block has to begin with a size update (RFC 7541 §4.2). */
  #needsUpdate = false;

  /** Position in `scratch`. */
  #position = 0;
  /** Fields in `scratchOffsets`; the place of the first is kept for `Host`. */
  #count = 0;
  /** As RFC 9113 §6.5.2 counts it. */
  #sizeBytes = 0;
  #fields = 0;
  #isTooLarge = false;
  #hasNever = false;
  #teField = -1;
  /** Position after what `#integer` read. */
  #at = 0;
  /** Bits of a kind that matter for this block. */
  #kindMask = 0;

  readonly #whole = new BlockMemo();
  readonly #tails = new BlockMemo();
  /** Something since `#mark` referred to the dynamic table. */
  #usesTable = false;

  /** `limits` bound each block: name, value and 32 bytes a field (RFC 9113 §6.5.2), and their number. */
  constructor(limits: HeadLimits) {
    this.#limits = limits;
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
    const kept = block.id === 0 ? withId(block) : block;
    const added = (table.inserted - inserted) & 0x7fffffff;
    // An entry too large for the table only empties it, which `remember` does not know how to do again.
    if (added !== ((table.version - version) & 0x7fffffff)) return kept;
    this.#whole.remember(bytes, start, end, kept, table, this.#usesTable ? version : -1, added, 0, 0);
    return kept;
  }

  #begin(kind: BlockKind): void {
    this.#rules.begin(kind);
    this.#position = FIELDS_AT;
    this.#count = 1;
    this.#sizeBytes = 0;
    this.#fields = 0;
    this.#isTooLarge = false;
    this.#hasNever = false;
    this.#teField = -1;
    this.#usesTable = false;
    this.#kindMask = kind === "trailers" ? -1 : ~NOT_IN_TRAILERS;
  }

  /** Decodes fields up to `end`. */
  #fieldsOf(bytes: Buffer, start: number, end: number): FieldBlock | undefined {
    const table = this.#table;
    let at = start;
    // Pseudo-header fields first; what follows them is mostly known even where the path is new.
    if (this.#rules.kind === "request") {
      while (at >= 0 && at < end && this.#isPseudo(bytes[at] ?? 0)) at = this.#one(bytes, at, end);
      if (at < 0) return undefined;
      if (this.#rules.hasAuthority && !this.#isTooLarge && this.#rules.malformed === "" && at < end) {
        const known = this.#tails.find(bytes, at, end, table);
        if (known !== undefined && known.block.authority === this.#rules.authority && this.#fits(known)) {
          if (known.slots.length > 0) this.#insertAgain(known);
          if (known.version >= 0) this.#usesTable = true;
          return this.#withTail(known.block);
        }
        if (this.#tails.isSecondSight) return this.#rememberTail(bytes, at, end);
      }
    }
    while (at >= 0 && at < end) at = this.#one(bytes, at, end);
    return at < 0 ? undefined : this.#finish();
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
    let index: number;
    if (first >= 128) index = first & 127;
    else if (first >= 64) index = first & 63;
    else index = first & 15;
    if (index <= STATIC_COUNT) return index > 0 && index < 15;
    const table = this.#table;
    if (index - STATIC_COUNT > table.count) return false;
    const kind = (table.slots[table.slotOf(index - STATIC_COUNT) + 3] ?? 0) & KIND;
    return kind !== 0 && kind <= PSEUDO_LAST;
  }

  #fits(known: Remembered): boolean {
    return (
      this.#sizeBytes + known.sizeBytes <= this.#limits.headMaxBytes &&
      this.#fields + known.fields <= this.#limits.headersMax
    );
  }

  #insertAgain({ lines, slots }: Remembered): void {
    for (let slot = 0; slot < slots.length; slot += STRIDE)
      this.#table.insert(lines, slots[slot] ?? 0, slots[slot + 1] ?? 0, slots[slot + 2] ?? 0, slots[slot + 3] ?? 0);
  }

  /** Fields that are known, after pseudo-header fields that were decoded. */
  #withTail(tail: FieldBlock): FieldBlock {
    const rules = this.#rules;
    rules.finish();
    if (rules.malformed !== "") return this.#finish();
    return {
      bytes: tail.bytes,
      offsets: tail.offsets,
      marks: tail.marks,
      count: tail.count,
      teField: tail.teField,
      id: tail.id,
      neverIndexed: tail.neverIndexed,
      method: rules.method,
      path: rules.path,
      scheme: rules.scheme,
      authority: rules.authority,
      protocol: rules.protocol,
      status: 0,
      contentLength: tail.contentLength,
      expectsContinue: tail.expectsContinue,
      expectsUnknown: tail.expectsUnknown,
      malformed: "",
      isTooLarge: false,
    };
  }

  #rememberTail(bytes: Buffer, start: number, end: number): FieldBlock | undefined {
    const table = this.#table;
    const { inserted, version } = table;
    const sizeBytes = this.#sizeBytes;
    const fields = this.#fields;
    const didUse = this.#usesTable;
    this.#usesTable = false;
    let at = start;
    while (at >= 0 && at < end) at = this.#one(bytes, at, end);
    if (at < 0) return undefined;
    const block = this.#finish();
    const usesTable = this.#usesTable;
    this.#usesTable = usesTable || didUse;
    if (block.isTooLarge || block.malformed !== "") return block;
    const kept = withId(block);
    const added = (table.inserted - inserted) & 0x7fffffff;
    if (added !== ((table.version - version) & 0x7fffffff)) return kept;
    const size = this.#sizeBytes - sizeBytes;
    this.#tails.remember(bytes, start, end, kept, table, usesTable ? version : -1, added, size, this.#fields - fields);
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
      this.#field(STATIC_BYTES, STATIC_SLOTS, index * STRIDE);
      return true;
    }
    const table = this.#table;
    if (index - STATIC_COUNT > table.count) return this.#fail("an index is beyond the table") >= 0;
    this.#usesTable = true;
    this.#field(table.bytes, table.slots, table.slotOf(index - STATIC_COUNT));
    return true;
  }

  /** A field that a table has as a line. */
  #field(source: Buffer, slots: Int32Array, slot: number): void {
    const start = slots[slot] ?? 0;
    const nameEnd = slots[slot + 1] ?? 0;
    const valueEnd = slots[slot + 2] ?? 0;
    const kind = (slots[slot + 3] ?? 0) & this.#kindMask;
    if (this.#isBeyond(valueEnd - start - 2)) return;
    if (kind === 0) this.#rules.isOpening = false;
    else if (!this.#rules.take(kind, source, nameEnd + 2, valueEnd)) return;
    const to = this.#position;
    this.#reserve(valueEnd + 2 - start);
    source.copy(scratch, to, start, valueEnd + 2);
    this.#store(to + nameEnd - start, to + valueEnd - start, kind, 0);
  }

  #literal(bytes: Buffer, start: number, end: number, first: number): number {
    const isIndexed = first >= 64;
    if (!isIndexed && first >= 32) return this.#fail("a table size update stands after a field");
    const index = this.#integer(bytes, start, end, isIndexed ? 63 : 15);
    if (index < 0) return -1;
    const from = this.#position;
    let at = this.#at;
    let noted: number;
    if (index === 0) {
      at = this.#string(bytes, at, end);
      if (at < 0) return -1;
      noted = kindOfName(scratch, from, this.#position);
    } else {
      noted = this.#copyName(index);
      if (noted < 0) return -1;
    }
    const nameEnd = this.#position;
    scratch[nameEnd] = COLON;
    scratch[nameEnd + 1] = SPACE;
    this.#position = nameEnd + 2;
    at = this.#string(bytes, at, end);
    if (at < 0) return -1;
    const valueEnd = this.#position;
    scratch[valueEnd] = CR;
    scratch[valueEnd + 1] = LF;
    this.#position = from;
    if (!isCleanValue(scratch, nameEnd + 2, valueEnd)) noted |= BAD_VALUE;
    if (isIndexed) this.#table.insert(scratch, from, nameEnd, valueEnd, noted);
    if (this.#isBeyond(valueEnd - from - 2)) return at;
    const kind = noted & this.#kindMask;
    if (kind === 0) this.#rules.isOpening = false;
    else if (!this.#rules.take(kind, scratch, nameEnd + 2, valueEnd)) return at;
    this.#store(nameEnd, valueEnd, kind, (first >>> 4) & 1 & ~(first >>> 6));
    return at;
  }

  /** Copies the name of an entry to `scratch`; its kind without what concerned its value, -1 where there is no such entry. */
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
    this.#reserve(length + 2);
    source.copy(scratch, this.#position, start, start + length);
    this.#position += length;
    return (slots[slot + 3] ?? 0) & ~BAD_VALUE;
  }

  /** Decodes a string (RFC 7541 §5.2) to `#position`, with room for two bytes after it; returns the position after it in `bytes`. */
  #string(bytes: Buffer, start: number, end: number): number {
    if (start >= end) return this.#fail("a string is cut");
    const isHuffman = (bytes[start] ?? 0) >= 128;
    const length = this.#integer(bytes, start, end, 127);
    if (length < 0) return -1;
    const at = this.#at;
    if (length > end - at) return this.#fail("a string is cut");
    if (isHuffman) {
      this.#reserve(huffmanMaxBytes(length) + 2);
      const to = decodeHuffman(bytes, at, at + length, scratch, this.#position);
      if (to < 0) return this.#fail("a string's Huffman code is broken");
      this.#position = to;
    } else {
      this.#reserve(length + 2);
      this.#position += bytes.copy(scratch, this.#position, at, at + length);
    }
    return at + length;
  }

  /** Counts a field; whether the block is beyond its limits, after which nothing of it is kept. */
  #isBeyond(lengthBytes: number): boolean {
    this.#sizeBytes += lengthBytes + ENTRY_BYTES;
    if (this.#sizeBytes <= this.#limits.headMaxBytes && ++this.#fields <= this.#limits.headersMax)
      return this.#isTooLarge;
    this.#isTooLarge = true;
    return true;
  }

  /** Keeps the line at `#position`. */
  #store(nameEnd: number, valueEnd: number, kind: number, never: number): void {
    if (kind !== 0 && this.#rules.isTe) {
      this.#rules.isTe = false;
      this.#teField = this.#count;
    }
    if (this.#count === scratchNever.length) growOffsets();
    const at = this.#count * STRIDE;
    scratchOffsets[at] = this.#position;
    scratchOffsets[at + 1] = nameEnd;
    scratchOffsets[at + 2] = nameEnd + 2;
    scratchOffsets[at + 3] = valueEnd;
    scratchNever[this.#count] = never;
    if (never !== 0) this.#hasNever = true;
    this.#count++;
    this.#position = valueEnd + 2;
  }

  #reserve(bytes: number): void {
    if (this.#position + bytes > scratch.length) growScratch(this.#position + bytes, this.#position);
  }

  #finish(): FieldBlock {
    const rules = this.#rules;
    if (!this.#isTooLarge) rules.finish();
    const isKept = !this.#isTooLarge && rules.malformed === "";
    if (isKept && rules.cookies > 1) this.#joinCookies();
    let first = 1;
    let start = FIELDS_AT;
    // A Host field that came instead of :authority stands where it came.
    if (isKept && rules.hasAuthority) {
      const line = `Host: ${rules.authority}\r\n`;
      start -= line.length;
      scratch.latin1Write(line, start);
      scratchOffsets[0] = start;
      scratchOffsets[1] = start + 4;
      scratchOffsets[2] = start + 6;
      scratchOffsets[3] = FIELDS_AT - 2;
      scratchNever[0] = 0;
      first = 0;
    }
    const count = isKept ? this.#count - first : 0;
    return {
      bytes: count === 0 ? NO_BYTES : copyBytes(start, this.#position),
      offsets: count === 0 ? NO_OFFSETS : copyOffsets(first, count, start),
      count,
      marks:
        isKept && (this.#teField >= 0 || count > NO_MARKS.length) ? marksOf(count, this.#teField - first) : NO_MARKS,
      teField: isKept && this.#teField >= 0 ? this.#teField - first : -1,
      id: 0,
      neverIndexed: isKept && this.#hasNever ? scratchNever.slice(first, first + count) : undefined,
      method: rules.method,
      path: rules.path,
      scheme: rules.scheme,
      authority: rules.authority,
      protocol: rules.protocol,
      status: rules.status,
      contentLength: rules.contentLength,
      expectsContinue: rules.expectsContinue,
      expectsUnknown: rules.expectsUnknown,
      malformed: this.#isTooLarge ? "" : rules.malformed,
      isTooLarge: this.#isTooLarge,
    };
  }

  /** Several cookie fields become one, in the place of the first (RFC 9113 §8.2.3). Never indexed when one of them was. */
  #joinCookies(): void {
    const crumbs: string[] = [];
    let never = 0;
    for (let field = 1; field < this.#count; field++) {
      if (!isCookie(field)) continue;
      crumbs.push(
        scratch.latin1Slice(scratchOffsets[field * STRIDE + 2] ?? 0, scratchOffsets[field * STRIDE + 3] ?? 0),
      );
      never |= scratchNever[field] ?? 0;
    }
    const cookie = crumbs.join("; ");
    // Written anew behind what is there, then moved to the front.
    const from = this.#position;
    const oldCount = this.#count;
    this.#reserve(from - FIELDS_AT + 2 * crumbs.length);
    this.#count = 1;
    let isJoined = false;
    for (let field = 1; field < oldCount; field++) {
      const at = field * STRIDE;
      const isCrumb = isCookie(field);
      if (isCrumb && isJoined) continue;
      const start = scratchOffsets[at] ?? 0;
      const nameEnd = this.#position + (scratchOffsets[at + 1] ?? 0) - start;
      let valueEnd = this.#position + (scratchOffsets[at + 3] ?? 0) - start;
      if (isCrumb) {
        isJoined = true;
        scratch.latin1Write(`cookie: ${cookie}\r\n`, this.#position);
        valueEnd = nameEnd + 2 + cookie.length;
      } else scratch.copy(scratch, this.#position, start, (scratchOffsets[at + 3] ?? 0) + 2);
      if (this.#teField === field) this.#teField = this.#count;
      this.#store(nameEnd, valueEnd, 0, isCrumb ? never : (scratchNever[field] ?? 0));
    }
    scratch.copyWithin(FIELDS_AT, from, this.#position);
    for (let at = STRIDE; at < this.#count * STRIDE; at++)
      scratchOffsets[at] = (scratchOffsets[at] ?? 0) - from + FIELDS_AT;
    this.#position += FIELDS_AT - from;
  }
}

function marksOf(count: number, te: number): Uint8Array {
  const marks = new Uint8Array(count);
  if (te >= 0) marks[te] = HTTP2_ONLY;
  return marks;
}

/** The block with an id of its own, by which encoders remember what they made of it. */
function withId(block: FieldBlock): FieldBlock {
  lastId = (lastId + 1) & 0x3fffffff;
  return { ...block, id: lastId };
}

function isCookie(field: number): boolean {
  const start = scratchOffsets[field * STRIDE] ?? 0;
  const end = scratchOffsets[field * STRIDE + 1] ?? 0;
  return end - start === 6 && kindOfName(scratch, start, end) === COOKIE;
}

function copyBytes(start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(end - start);
  scratch.copy(bytes, 0, start, end);
  return bytes;
}

function copyOffsets(first: number, count: number, start: number): Int32Array {
  const offsets = new Int32Array(count * STRIDE);
  const from = first * STRIDE;
  for (let at = 0; at < offsets.length; at++) offsets[at] = (scratchOffsets[from + at] ?? 0) - start;
  return offsets;
}

function growScratch(needed: number, used: number): void {
  const grown = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(needed)));
  scratch.copy(grown, 0, 0, used);
  scratch = grown;
}

function growOffsets(): void {
  const offsets = new Int32Array(scratchOffsets.length * 2);
  offsets.set(scratchOffsets);
  scratchOffsets = offsets;
  const never = new Uint8Array(scratchNever.length * 2);
  never.set(scratchNever);
  scratchNever = never;
}
