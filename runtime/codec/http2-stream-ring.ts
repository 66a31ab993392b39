// The open streams of one connection, found by id. Ids only grow, so a ring indexed by their low bits finds nearly all of
// them without hashing; a stream that stays open while a whole ring of others passes moves to a map.

/** Slots at first, and at most: most connections have few streams at once. */
const SLOTS_MIN = 16;
const SLOTS_MAX = 2048;

/** What lies in a ring. */
export interface Numbered {
  readonly id: number;
}

/** Open streams by id; ids of one side, so that they differ by two. */
export class StreamRing<S extends Numbered> {
  size = 0;
  #slots: (S | undefined)[] = Array.from<S | undefined>({ length: SLOTS_MIN }).fill(undefined);
  readonly #overflow = new Map<number, S>();

  get(id: number): S | undefined {
    const found = this.#slots[(id >>> 1) & (this.#slots.length - 1)];
    if (found !== undefined && found.id === id) return found;
    return this.#overflow.size === 0 ? undefined : this.#overflow.get(id);
  }

  add(stream: S): void {
    this.size++;
    let slot = (stream.id >>> 1) & (this.#slots.length - 1);
    while (this.#slots[slot] !== undefined && this.#slots.length < SLOTS_MAX) {
      this.#grow();
      slot = (stream.id >>> 1) & (this.#slots.length - 1);
    }
    const old = this.#slots[slot];
    if (old !== undefined) this.#overflow.set(old.id, old);
    this.#slots[slot] = stream;
  }

  delete(stream: S): void {
    const slot = (stream.id >>> 1) & (this.#slots.length - 1);
    if (this.#slots[slot] === stream) this.#slots[slot] = undefined;
    else if (!this.#overflow.delete(stream.id)) return;
    this.size--;
  }

  /** Every stream, in no order; a copy, so that streams may end meanwhile. */
  all(): readonly S[] {
    if (this.size === 0) return [];
    const streams: S[] = [...this.#overflow.values()];
    for (const stream of this.#slots) if (stream !== undefined) streams.push(stream);
    return streams;
  }

  #grow(): void {
    const streams = this.#slots;
    this.#slots = Array.from<S | undefined>({ length: streams.length * 2 }).fill(undefined);
    const mask = this.#slots.length - 1;
    for (const stream of streams) if (stream !== undefined) this.#slots[(stream.id >>> 1) & mask] = stream;
  }
}
