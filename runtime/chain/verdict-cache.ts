// Verdicts of a filter that decides on nothing but what it declares to read: the same head is answered from memory for as
// long as the filter said (Mixer's cache, keyed alike). The oldest goes first, unless it was asked for since it was looked
// at last: then it is kept for another round.
import type { Clock } from "../exchange/exchange.ts";

/** Heads kept for one use of a filter. */
const ENTRIES_MAX = 4096;
/** … and what they and their verdicts hold together, in characters and bytes. */
const SIZE_MAX = 8 * 1024 * 1024;
/** One that holds more is not kept: it would drive out what helps more. */
const ENTRY_SIZE_MAX = 64 * 1024;
/** Of those that were asked for, so many are spared to make room for one, so that no request waits for a search. */
const SPARED_MAX = 16;

interface Entry<Value> {
  readonly value: Value;
  readonly size: number;
  readonly endsAtMs: number;
  /** Asked for since it was set, or since it was spared. Where an answer only notes that, it moves nothing. */
  wasUsed: boolean;
}

/** Values by head. It belongs to one configured filter and goes with it, so that a new configuration starts with none. */
export class VerdictCache<Value> {
  readonly #clock: Clock;
  /** What a value holds, in characters and bytes. */
  readonly #sizeOf: (value: Value) => number;
  /** The oldest, or longest spared, first. */
  readonly #entries = new Map<string, Entry<Value>>();
  #size = 0;

  constructor(clock: Clock, sizeOf: (value: Value) => number) {
    this.#clock = clock;
    this.#sizeOf = sizeOf;
  }

  get(head: string): Value | undefined {
    // A filter that may keep its decisions, and does not, need not have its heads hashed.
    if (this.#entries.size === 0) return undefined;
    const entry = this.#entries.get(head);
    if (entry === undefined) return undefined;
    if (entry.endsAtMs <= this.#clock.monotonic()) {
      this.#drop(head);
      return undefined;
    }
    entry.wasUsed = true;
    return entry.value;
  }

  set(head: string, value: Value, forMs: number): void {
    this.#drop(head);
    const size = head.length + this.#sizeOf(value);
    if (size > ENTRY_SIZE_MAX || forMs <= 0) return;
    this.#makeRoom(size);
    this.#entries.set(head, { value, size, endsAtMs: this.#clock.monotonic() + forMs, wasUsed: false });
    this.#size += size;
  }

  #makeRoom(size: number): void {
    let spared = 0;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size < ENTRIES_MAX && this.#size + size <= SIZE_MAX) break;
      if (entry.wasUsed && spared++ < SPARED_MAX) this.#spare(oldest, entry);
      else this.#drop(oldest);
    }
  }

  #spare(head: string, entry: Entry<Value>): void {
    entry.wasUsed = false;
    this.#entries.delete(head);
    this.#entries.set(head, entry);
  }

  #drop(head: string): void {
    this.#size -= this.#entries.get(head)?.size ?? 0;
    this.#entries.delete(head);
  }
}
