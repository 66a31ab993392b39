// Answers to questions that were asked before: Mixer's client cache. An answer holds for a while and for a number of uses.
import type { Clock } from "../exchange/exchange.ts";
import type { AdapterAnswer } from "./adapter.ts";

/** Answers kept, as Mixer's cache; the least recently used goes first. */
const ENTRIES_MAX = 10_000;
/** What is told apart by more is not kept: the whole is bounded by both. */
const KEY_MAX_LENGTH = 2048;

/** What may be kept. */
export type Kept = Exclude<AdapterAnswer, { kind: "failed" }>;

interface Entry {
  readonly answer: Kept;
  readonly endsAtMs: number;
  usesLeft: number;
}

/** The answers of one adapter; it goes with the adapter's configuration. */
export class CheckCache {
  readonly #clock: Clock;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Uses an answer once. */
  get(key: string): Kept | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (entry.endsAtMs <= this.#clock.monotonic()) return undefined;
    entry.usesLeft--;
    if (entry.usesLeft > 0) this.#entries.set(key, entry);
    return entry.answer;
  }

  /** Keeps an answer that was used once already. */
  set(key: string, answer: Kept): void {
    const { validForMs, validUses } = answer;
    if (validForMs <= 0 || validUses <= 1 || key.length > KEY_MAX_LENGTH) return;
    this.#entries.delete(key);
    if (this.#entries.size >= ENTRIES_MAX) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    const endsAtMs = this.#clock.monotonic() + validForMs;
    this.#entries.set(key, { answer, endsAtMs, usesLeft: validUses - 1 });
  }
}
