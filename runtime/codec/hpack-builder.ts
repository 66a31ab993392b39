// A block while it is decoded: its lines, where they stay, and the limits that it keeps. Whatever a peer refers to, no
// more than a head that is within its limits is ever written, and what is refused is written over by the next.
import { latin1 } from "../exchange/headers.ts";
import { blockOf, marksOf, NO_FIELDS, NO_MARKS, type BlockKind, type FieldBlock } from "./hpack-block.ts";
import { MessageRules } from "./hpack-rules.ts";
import { COOKIE, HOST, KIND, NEVER } from "./hpack-static.ts";
import { ENTRY_BYTES } from "./hpack-table.ts";
import type { HeadLimits } from "./http1-grammar.ts";

const STRIDE = 4;
const FIELDS_MIN = 8;

/**
 * Where blocks are decoded, one after the other, and stay. The memory is garbage once no exchange has a block in it: one
 * that stays long keeps at most this much, less than the head that it might have sent.
 */
const ARENA_BYTES = 16 * 1024;
/** Another one is begun where less is left. */
const ARENA_LEFT_BYTES = 1024;

const NO_OFFSETS = new Int32Array(0);
let arena: Buffer = Buffer.alloc(0);
/** Behind the blocks that are there. */
let arenaAt = 0;
/** Where the block is decoded: the arena, or memory of its own for a large one. One block is decoded at a time. */
export let out: Buffer = arena;

/** Used again for each block of one direction of one connection; between blocks it holds the last one's offsets alone. */
export class BlockBuilder {
  readonly rules: MessageRules = new MessageRules();
  readonly limits: HeadLimits;
  /** Where the block begins in `out`, and where its next line goes. */
  start = 0;
  position = 0;
  /** As in `FieldBlock`, for up to `capacity` fields, `count` of which are there. */
  offsets: Int32Array = NO_OFFSETS;
  capacity = 0;
  count = 0;
  /** How many the last block had. */
  lastCount = 0;
  /** The literal that is decoded: its start and the end of its name. */
  lineStart = 0;
  nameEnd = 0;
  /** As RFC 9113 §6.5.2 counts it. */
  sizeBytes = 0;
  /** Those that count against the limit, which some do that are not kept. */
  fields = 0;
  isTooLarge = false;
  hasHost = false;
  teField = -1;
  /** The table's number when the block began. */
  tableNumber = 0;
  #hostOf = "";
  #hostLine = "";

  constructor(limits: HeadLimits) {
    this.limits = limits;
  }

  /** Forgets the block before. */
  begin(kind: BlockKind, tableNumber: number): void {
    this.rules.begin(kind);
    if (arena.length - arenaAt < ARENA_LEFT_BYTES) {
      arena = Buffer.allocUnsafeSlow(ARENA_BYTES);
      arenaAt = 0;
    }
    out = arena;
    this.start = arenaAt;
    this.position = arenaAt;
    this.offsets = NO_OFFSETS;
    this.capacity = 0;
    this.count = 0;
    this.sizeBytes = 0;
    this.fields = 0;
    this.isTooLarge = false;
    this.hasHost = false;
    this.teField = -1;
    this.tableNumber = tableNumber;
  }

  /** Counts a field; whether the block is beyond its limits, after which nothing of it is kept. */
  isBeyond(lengthBytes: number): boolean {
    this.sizeBytes += lengthBytes + ENTRY_BYTES;
    if (this.sizeBytes <= this.limits.headMaxBytes && ++this.fields <= this.limits.headersMax) return this.isTooLarge;
    this.isTooLarge = true;
    return true;
  }

  /** Keeps the line at `#position`. */
  store(nameEnd: number, valueEnd: number, note: number, reference: number): void {
    const rules = this.rules;
    if (rules.isTe) {
      rules.isTe = false;
      this.teField = this.count;
    }
    if (this.count === this.capacity) this.#growFields();
    const offsets = this.offsets;
    const at = this.count * STRIDE;
    offsets[at] = this.position;
    offsets[at + 1] = nameEnd;
    offsets[at + 2] = nameEnd + 2;
    offsets[at + 3] = valueEnd;
    const noteAt = this.capacity * STRIDE + this.count * 2;
    offsets[noteAt] = note;
    offsets[noteAt + 1] = reference;
    this.count++;
    this.position = valueEnd + 2;
  }

  #growFields(): void {
    const old = this.offsets;
    const oldAt = this.capacity * STRIDE;
    const capacity = oldAt === 0 ? Math.max(FIELDS_MIN, this.lastCount) : this.capacity * 2;
    const offsets = new Int32Array(capacity * (STRIDE + 2));
    if (oldAt > 0) {
      offsets.set(old.subarray(0, oldAt));
      offsets.set(old.subarray(oldAt), capacity * STRIDE);
    }
    this.offsets = offsets;
    this.capacity = capacity;
  }

  /** Room for so many bytes at `position`; `lineStart` and `nameEnd` move along where there is none. */
  reserve(bytes: number): void {
    if (this.position + bytes > out.length) this.#moveOn(bytes);
  }

  /** Goes on in other memory with what is there of the block; in memory of its own when it is large. */
  #moveOn(bytes: number): void {
    const start = this.start;
    const needed = this.position - start + bytes;
    const isLarge = needed > ARENA_BYTES;
    const moved = Buffer.allocUnsafeSlow(isLarge ? needed * 2 : ARENA_BYTES);
    out.copy(moved, 0, start, this.position);
    out = moved;
    if (!isLarge) {
      arena = moved;
      arenaAt = 0;
    }
    this.start = 0;
    this.position -= start;
    this.lineStart -= start;
    this.nameEnd -= start;
    for (let at = 0; at < this.count * STRIDE; at++) this.offsets[at] = (this.offsets[at] ?? 0) - start;
  }

  /** `:authority` becomes the first line. A Host field that came instead of it stands where it came. */
  writeHost(): void {
    const { authority } = this.rules;
    if (authority !== this.#hostOf) {
      this.#hostOf = authority;
      this.#hostLine = `Host: ${authority}\r\n`;
    }
    const length = this.#hostLine.length;
    this.reserve(length);
    const at = this.position;
    out.latin1Write(this.#hostLine, at);
    this.store(at + 4, at + length - 2, HOST, 0);
    this.hasHost = true;
  }

  /** The block, whole; `tableNumber` is the table's now. */
  finish(tableNumber: number): FieldBlock {
    const rules = this.rules;
    if (!this.isTooLarge) rules.finish();
    if (this.isTooLarge || rules.malformed !== "") return this.#refused();
    if (rules.hasAuthority && !this.hasHost) this.#rewrite(true);
    if (rules.cookies > 1) this.#rewrite(false);
    const count = this.count;
    const te = this.teField;
    this.lastCount = count;
    if (out === arena) arenaAt = this.position;
    return blockOf(
      rules,
      {
        bytes: out,
        offsets: this.offsets,
        count,
        marks: te >= 0 || count > NO_MARKS.length ? marksOf(count, te) : NO_MARKS,
        teField: te,
        notesAt: this.capacity * STRIDE,
        // Where insertions began to count anew, their numbers mean nothing.
        table: tableNumber === this.tableNumber ? this.tableNumber : 0,
        names: 0,
      },
      0,
    );
  }

  #refused(): FieldBlock {
    const malformed = this.isTooLarge ? "" : this.rules.malformed;
    return { ...blockOf(this.rules, NO_FIELDS, 0), malformed, isTooLarge: this.isTooLarge };
  }

  /**
   * Writes the fields again behind what is there: with the line of Host, where `:authority` came so that it was not known
   * in time, or with several cookie fields as one in the place of the first (RFC 9113 §8.2.3), never indexed when one of
   * them was.
   */
  #rewrite(needsHost: boolean): void {
    this.reserve(this.position - this.start + 2 * this.count + this.rules.authority.length + 8);
    const old = this.offsets;
    const oldNotes = this.capacity * STRIDE;
    const oldCount = this.count;
    const oldTe = this.teField;
    const cookie = needsHost ? "" : this.#joinCookies();
    const never = needsHost ? 0 : this.#cookieNote();
    this.start = this.position;
    this.offsets = NO_OFFSETS;
    this.capacity = 0;
    this.count = 0;
    if (needsHost) this.writeHost();
    let isJoined = false;
    for (let field = 0; field < oldCount; field++) {
      const at = field * STRIDE;
      const start = old[at] ?? 0;
      const end = (old[at + 3] ?? 0) + 2;
      const note = old[oldNotes + field * 2] ?? 0;
      const isCrumb = !needsHost && (note & KIND) === COOKIE;
      if (isCrumb && isJoined) continue;
      const to = this.position;
      const nameEnd = to + (old[at + 1] ?? 0) - start;
      if (isCrumb) {
        isJoined = true;
        out.latin1Write(`cookie: ${cookie}\r\n`, to);
        this.store(nameEnd, nameEnd + 2 + cookie.length, note | never, 0);
      } else {
        out.copy(out, to, start, end);
        if (oldTe === field) this.teField = this.count;
        this.store(nameEnd, to + end - 2 - start, note, old[oldNotes + field * 2 + 1] ?? 0);
      }
    }
  }

  #joinCookies(): string {
    const crumbs: string[] = [];
    for (let field = 0; field < this.count; field++) {
      const at = field * STRIDE;
      if (((this.offsets[this.capacity * STRIDE + field * 2] ?? 0) & KIND) === COOKIE)
        crumbs.push(latin1(out, this.offsets[at + 2] ?? 0, this.offsets[at + 3] ?? 0));
    }
    return crumbs.join("; ");
  }

  /** `NEVER` where a cookie field has it. */
  #cookieNote(): number {
    let never = 0;
    for (let field = 0; field < this.count; field++) {
      const note = this.offsets[this.capacity * STRIDE + field * 2] ?? 0;
      if ((note & KIND) === COOKIE) never |= note & NEVER;
    }
    return never;
  }
}
