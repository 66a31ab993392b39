// The dynamic table of HPACK (RFC 7541 §2.3.2, §4), for both directions. Entries are whole lines, `name: value CRLF`,
// one after the other in memory of the table's own: a chunk that a field came in is never held, fields that were
// inserted together are copied together, and the memory is bounded by one and a half times the table's size.

/** Four numbers an entry: start of its line, end of its name, end of its value, and its owner's note. */
const STRIDE = 4;
/** What an entry costs beside its bytes (RFC 7541 §4.1). */
export const ENTRY_BYTES = 32;
/** `: ` and CRLF. */
const LINE_BYTES = 4;
const BYTES_MIN = 512;
const SLOTS_MIN = 16;
/** Insertions are counted up to here, then from 0 in what counts as another table. */
const INSERTED_MASK = 0x3fffffff;
let lastNumber = 0;

/** First in, first out. Nothing is allocated before the first insertion. */
export class FieldTable {
  bytes: Buffer = NO_BYTES;
  slots: Int32Array = NO_SLOTS;
  /** Entries that are there. */
  count = 0;
  /** Insertions so far; the entry inserted as the nth has the index `age(n)`. Wraps after 2³⁰. */
  inserted = 0;
  /** With the insertion it names an entry: no two in the process have both. Another one whenever `inserted` wraps. */
  number: number = ++lastNumber;
  /** Size as RFC 7541 §4.1 counts it. */
  sizeBytes = 0;
  maxBytes: number;
  /** Changes with whatever an index could mean. Wraps after 2³¹. */
  version = 0;
  #end = 0;
  /** Bytes before `#end` that are still to be filled in. */
  #unfilled = 0;
  #mask = -1;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Entries inserted since then, 1 for the newest entry's own insertion. */
  age(insertion: number): number {
    return (this.inserted - insertion) & INSERTED_MASK;
  }

  /** Insertion of the entry with this index among the dynamic ones. */
  insertionOf(index: number): number {
    return (this.inserted - index) & INSERTED_MASK;
  }

  /** Position in `slots` of the entry with this index among the dynamic ones, 1 for the newest. */
  slotOf(index: number): number {
    return ((this.inserted - index) & this.#mask) * STRIDE;
  }

  /** Evicts what no longer fits (RFC 7541 §4.3). */
  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.version = (this.version + 1) & 0x7fffffff;
    this.#evict(maxBytes);
  }

  /** Inserts a line, which must not lie in this table; false where it is larger than the table, which is empty then (RFC 7541 §4.4). */
  insert(source: Buffer, start: number, nameEnd: number, valueEnd: number, note: number): boolean {
    const isInserted = this.insertUnfilled(start, nameEnd, valueEnd, note);
    this.fill(source, valueEnd + 2);
    return isInserted;
  }

  /**
   * As `insert`, but for the bytes: several lines that lie one after the other are filled in at once, which `fill` has to
   * do before one of them is read or another line is inserted.
   */
  insertUnfilled(start: number, nameEnd: number, valueEnd: number, note: number): boolean {
    const length = valueEnd - start + 2;
    const size = length - LINE_BYTES + ENTRY_BYTES;
    this.version = (this.version + 1) & 0x7fffffff;
    this.#evict(this.maxBytes - size);
    if (size > this.maxBytes) return false;
    if (this.#end + length > this.bytes.length) this.#makeRoom(length);
    if (this.count > this.#mask) this.#addSlots();
    const at = this.#end;
    this.#end = at + length;
    this.#unfilled += length;
    const slots = this.slots;
    const slot = (this.inserted & this.#mask) * STRIDE;
    slots[slot] = at;
    slots[slot + 1] = at + nameEnd - start;
    slots[slot + 2] = at + length - 2;
    slots[slot + 3] = note;
    this.inserted = (this.inserted + 1) & INSERTED_MASK;
    if (this.inserted === 0) this.number = ++lastNumber;
    this.count++;
    this.sizeBytes += size;
    return true;
  }

  /** Fills in the lines that were inserted since the last time; the last of them ends at `end`. */
  fill(source: Buffer, end: number): void {
    const length = this.#unfilled;
    this.#unfilled = 0;
    if (length > 0) source.copy(this.bytes, this.#end - length, end - length, end);
  }

  #evict(maxBytes: number): void {
    while (this.sizeBytes > maxBytes && this.count > 0) {
      const slot = this.slotOf(this.count);
      this.sizeBytes -= (this.slots[slot + 2] ?? 0) - (this.slots[slot] ?? 0) - 2 + ENTRY_BYTES;
      this.count--;
    }
    if (this.count > 0) return;
    this.#end = 0;
    this.#unfilled = 0;
  }

  /** Moves what is there to the front, into more memory where most of it would stay full. */
  #makeRoom(length: number): void {
    const from = this.count === 0 ? this.#end : (this.slots[this.slotOf(this.count)] ?? 0);
    const live = this.#end - from;
    this.#unfilled = Math.min(this.#unfilled, live);
    let capacity = Math.max(this.bytes.length, BYTES_MIN);
    while ((live + length) * 4 > capacity * 3) capacity *= 2;
    capacity = Math.min(capacity, Math.max(BYTES_MIN, Math.ceil(this.maxBytes * 1.5)));
    const bytes = capacity === this.bytes.length ? this.bytes : Buffer.allocUnsafeSlow(capacity);
    this.bytes.copy(bytes, 0, from, this.#end);
    this.bytes = bytes;
    this.#end = live;
    for (let index = 1; index <= this.count; index++) {
      const slot = this.slotOf(index);
      for (let part = 0; part < 3; part++) this.slots[slot + part] = (this.slots[slot + part] ?? 0) - from;
    }
  }

  #addSlots(): void {
    const old = this.slots;
    const oldMask = this.#mask;
    const capacity = Math.max(SLOTS_MIN, (oldMask + 1) * 2);
    const slots = new Int32Array(capacity * STRIDE);
    for (let index = 1; index <= this.count; index++) {
      const from = ((this.inserted - index) & oldMask) * STRIDE;
      const to = ((this.inserted - index) & (capacity - 1)) * STRIDE;
      for (let part = 0; part < STRIDE; part++) slots[to + part] = old[from + part] ?? 0;
    }
    this.slots = slots;
    this.#mask = capacity - 1;
  }
}

const NO_BYTES = Buffer.alloc(0);
const NO_SLOTS = new Int32Array(0);
