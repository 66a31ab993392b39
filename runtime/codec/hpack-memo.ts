// Decoded blocks by the bytes they came as: a client mostly sends the same head again. What refers to the dynamic table
// counts only while that is unchanged; what was inserted is inserted again. A block is kept at its second sight, and
// traffic that never repeats is soon asked only now and then.
import type { FieldBlock } from "./hpack-block.ts";
import type { FieldTable } from "./hpack-table.ts";

const ENTRIES = 8;
const SEEN = 64;
/** Longer ones are not kept. */
const KEY_MAX_BYTES = 256;
/** Beyond this all are forgotten: what a memo holds of a connection that is idle. */
const KEPT_MAX_BYTES = 4096;
/** About what an entry and its block take beside their arrays. */
const OBJECTS_BYTES = 300;
/** After this many misses in a row blocks pass unseen, for twice as many each time. */
const MISSES_MAX = 16;
const PAUSE_MAX = 1024;

/** One block, or the part of one that follows its pseudo-header fields. */
export interface Remembered {
  readonly key: Buffer;
  readonly hash: number;
  readonly block: FieldBlock;
  /** The table's version that it holds for, -1 where it does not refer to the table. */
  readonly version: number;
  /** Lines that it inserts, and their slots as in `FieldTable`. */
  readonly lines: Buffer;
  readonly slots: Int32Array;
  /** What the fields after the pseudo-header fields count against the limits. */
  readonly sizeBytes: number;
  readonly fields: number;
}

/** The last few blocks of one direction of one connection. */
export class BlockMemo {
  /** The bytes that `find` missed last came before: `remember` them. */
  isSecondSight = false;

  #entries: (Remembered | undefined)[] = [];
  #keptBytes = 0;
  #seen: Int32Array | undefined = undefined;
  #last: Remembered | undefined = undefined;
  #hash = 0;
  #misses = 0;
  #paused = 0;
  #pause = MISSES_MAX;

  find(bytes: Buffer, start: number, end: number, table: FieldTable): Remembered | undefined {
    this.isSecondSight = false;
    if (this.#paused > 0) {
      this.#paused--;
      return undefined;
    }
    const length = end - start;
    if (length > KEY_MAX_BYTES) return undefined;
    let found = this.#last;
    if (found === undefined || found.key.length !== length || !isSame(found.key, bytes, start, length)) {
      let hash = length;
      for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
      this.#hash = hash;
      found = this.#entries[hash & (ENTRIES - 1)];
      if (
        found === undefined ||
        found.hash !== hash ||
        found.key.length !== length ||
        !isSame(found.key, bytes, start, length)
      )
        return this.#miss();
    }
    this.#hash = found.hash;
    if (found.version >= 0 && found.version !== table.version) return this.#miss();
    this.#last = found;
    this.#misses = 0;
    this.#pause = MISSES_MAX;
    return found;
  }

  /** Keeps the block that `find` missed last. `inserted` entries of the table are its own; `version` is as in `Remembered`. */
  remember(
    bytes: Buffer,
    start: number,
    end: number,
    block: FieldBlock,
    table: FieldTable,
    version: number,
    inserted: number,
    sizeBytes: number,
    fields: number,
  ): void {
    if (inserted > table.count || (inserted > 0 && version >= 0)) return;
    const kept: Remembered = {
      key: Buffer.from(bytes.subarray(start, end)),
      hash: this.#hash,
      block,
      version,
      ...copyNewest(table, inserted),
      sizeBytes,
      fields,
    };
    const added = bytesOf(kept);
    if (added > KEPT_MAX_BYTES) return;
    if (this.#keptBytes + added > KEPT_MAX_BYTES) {
      this.#entries = [];
      this.#keptBytes = 0;
    }
    const slot = this.#hash & (ENTRIES - 1);
    const old = this.#entries[slot];
    this.#keptBytes += added - (old === undefined ? 0 : bytesOf(old));
    this.#entries[slot] = kept;
    this.#last = kept;
  }

  #miss(): undefined {
    if (++this.#misses >= MISSES_MAX) {
      this.#misses = 0;
      this.#paused = this.#pause;
      this.#pause = Math.min(this.#pause * 2, PAUSE_MAX);
    }
    this.#seen ??= new Int32Array(SEEN);
    const slot = this.#hash & (SEEN - 1);
    this.isSecondSight = this.#seen[slot] === this.#hash;
    this.#seen[slot] = this.#hash;
    return undefined;
  }
}

function bytesOf({ key, block, lines, slots }: Remembered): number {
  return key.length + block.bytes.length + block.offsets.byteLength + lines.length + slots.byteLength + OBJECTS_BYTES;
}

function isSame(key: Buffer, bytes: Buffer, start: number, length: number): boolean {
  if (length > 48) return key.compare(bytes, start, start + length) === 0;
  // From the end, where paths and values differ.
  for (let at = length - 1; at >= 0; at--) if (key[at] !== bytes[start + at]) return false;
  return true;
}

/** The newest entries of the table, oldest first. */
function copyNewest(table: FieldTable, count: number): { readonly lines: Buffer; readonly slots: Int32Array } {
  if (count === 0) return NOTHING;
  const slots = new Int32Array(count * 4);
  const first = table.slots[table.slotOf(count)] ?? 0;
  const last = table.slotOf(1);
  for (let entry = 0; entry < count; entry++) {
    const slot = table.slotOf(count - entry);
    for (let part = 0; part < 4; part++)
      slots[entry * 4 + part] = (table.slots[slot + part] ?? 0) - (part === 3 ? 0 : first);
  }
  return { lines: Buffer.from(table.bytes.subarray(first, (table.slots[last + 2] ?? 0) + 2)), slots };
}

const NOTHING = { lines: Buffer.alloc(0), slots: new Int32Array(0) };
