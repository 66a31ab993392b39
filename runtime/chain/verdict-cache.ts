// Verdicts of a filter that decides on nothing but what it declares to read: the same head is answered from memory for as
// long as the filter said (Mixer's cache, keyed alike). The least recently used goes first.
import type { Clock } from "../exchange/exchange.ts";

/** Heads kept for one use of a filter. */
const ENTRIES_MAX = 4096;
/** A longer head is not kept: the whole is bounded by both. */
const HEAD_MAX_LENGTH = 4096;

interface Entry<Value> {
  readonly value: Value;
  readonly endsAtMs: number;
}

/** Values by head. It belongs to one configured filter and goes with it, so that a new configuration starts with none. */
export class VerdictCache<Value> {
  readonly #clock: Clock;
  /** The oldest first. */
  readonly #entries = new Map<string, Entry<Value>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(head: string): Value | undefined {
    const entry = this.#entries.get(head);
    if (entry === undefined) return undefined;
    this.#entries.delete(head);
    if (entry.endsAtMs <= this.#clock.monotonic()) return undefined;
    this.#entries.set(head, entry);
    return entry.value;
  }

  set(head: string, value: Value, forMs: number): void {
    if (head.length > HEAD_MAX_LENGTH || forMs <= 0) return;
    this.#entries.delete(head);
    if (this.#entries.size >= ENTRIES_MAX) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(head, { value, endsAtMs: this.#clock.monotonic() + forMs });
  }
}
