// Counters of fixed windows that every worker counts in at once. A counter's window and count are one word of 64 bits, so that
// they change together and nobody waits for anybody; only a key that is new takes a lock, of its bucket.
//
// A slot is taken over once its window has been over for a second: no process is so far behind in an operation of a
// microsecond that it would still count there. Where a bucket has no such slot, the smallest count gives way and starts
// again: under more keys than there is room for, limits hold for those that use them most.
import type { Clock } from "../exchange/exchange.ts";
import { KeyHasher } from "./shared-keys.ts";
import { lock, unlock, type LockOwner } from "./shared-lock.ts";
import { COUNTER_BUCKETS, COUNTER_BYTES, COUNTERS_PER_BUCKET, type Region } from "./shared-memory.ts";

/** One count; `busy` where a bucket's lock was held all the time. */
export type Counted = Count | "busy";

export interface Count {
  /** In the window; with this count where it was allowed. */
  readonly value: number;
  /** Until the window is over. */
  readonly resetMs: number;
  /** The limit was not passed; where it would have been, nothing was counted. */
  readonly isAllowed: boolean;
}

/** What is counted. */
export interface Counting {
  readonly key: string;
  /** `0` only looks. */
  readonly count: number;
  readonly windowMs: number;
  readonly limit: number;
}

/** The largest count; one more would read as CLAIMED in the last window. */
export const COUNT_MAX = 0xffff_fffe;
/** The state of a slot that its bucket's holder gives to another key. */
const CLAIMED = 0xffff_ffff_ffff_ffffn;
const FREE = 0n;
const GRACE_MS = 1000;
/** A slot changes under one attempt only when another process counts: more than this in a row does not happen. */
const ATTEMPTS_MAX = 10_000;
const WORDS = COUNTER_BYTES / 4;
const LONGS = COUNTER_BYTES / 8;
/** Within a slot: two words of the key, the window's length, one that is not used; then the state. */
const WINDOW_AT = 2;
const STATE_AT = 2;

export class SharedCounters {
  readonly #locks: Int32Array;
  readonly #words: Int32Array;
  readonly #states: BigUint64Array;
  readonly #hasher: KeyHasher;
  readonly #clock: Clock;
  readonly #owner: LockOwner;
  /** A state and its two halves: count, window. */
  readonly #state = new BigUint64Array(1);
  readonly #halves = new Uint32Array(this.#state.buffer);
  /** Counts of this process that made room for others before their windows were over. */
  displaced = 0;

  constructor(region: Region, clock: Clock, owner: LockOwner) {
    const slots = COUNTER_BUCKETS * COUNTERS_PER_BUCKET;
    this.#locks = region.counterLocks;
    this.#words = new Int32Array(region.counters, region.countersOffset, slots * WORDS);
    this.#states = new BigUint64Array(region.counters, region.countersOffset, slots * LONGS);
    this.#hasher = new KeyHasher(region.seed);
    this.#clock = clock;
    this.#owner = owner;
  }

  /** Counts where the limit allows it. */
  count({ key, count, windowMs, limit }: Counting): Counted {
    const { low, high } = this.#hasher.hash(key);
    const place = { low, high, windowMs };
    const bucket = (low & (COUNTER_BUCKETS - 1)) * COUNTERS_PER_BUCKET;
    const nowMs = this.#clock.now();
    const window = Math.floor(nowMs / windowMs);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const slot = this.#find(bucket, place);
      const state = slot === undefined ? CLAIMED : Atomics.load(this.#states, slot * LONGS + STATE_AT);
      if (slot === undefined || state === CLAIMED) {
        if (!this.#insert(bucket, place, nowMs)) return "busy";
        continue;
      }
      // Between the two it may have become another key's.
      if (!this.#holds(slot, place)) continue;
      this.#state[0] = state;
      const [held = 0, heldWindow = 0] = this.#halves;
      const behind = (window - heldWindow) | 0;
      // One window ahead: another process read its clock after this one. Farther ahead, the clock was set back.
      const isAhead = behind === -1;
      const before = behind === 0 || isAhead ? held : 0;
      const after = before + count;
      const isAllowed = after <= limit && after <= COUNT_MAX;
      const resetMs = (window + (isAhead ? 2 : 1)) * windowMs - nowMs;
      if (!isAllowed || count === 0) return { value: before, resetMs, isAllowed };
      this.#halves[0] = after;
      this.#halves[1] = isAhead ? heldWindow : window;
      const next = this.#state[0];
      if (Atomics.compareExchange(this.#states, slot * LONGS + STATE_AT, state, next) === state)
        return { value: after, resetMs, isAllowed };
    }
    return "busy";
  }

  #find(bucket: number, place: Place): number | undefined {
    for (let slot = bucket; slot < bucket + COUNTERS_PER_BUCKET; slot++) if (this.#holds(slot, place)) return slot;
    return undefined;
  }

  #holds(slot: number, { low, high, windowMs }: Place): boolean {
    const at = slot * WORDS;
    return (
      Atomics.load(this.#words, at) === low &&
      Atomics.load(this.#words, at + 1) === high &&
      Atomics.load(this.#words, at + WINDOW_AT) === windowMs
    );
  }

  /** Gives the key a slot, if it has none by now; `false` where the bucket cannot be had. */
  #insert(bucket: number, place: Place, nowMs: number): boolean {
    const index = bucket / COUNTERS_PER_BUCKET;
    const locking = lock(this.#locks, index, this.#owner);
    if (locking === "busy") return false;
    try {
      if (locking === "inherited") this.#repair(bucket);
      while (this.#find(bucket, place) === undefined) {
        const slot = this.#findOver(bucket, nowMs) ?? this.#findSmallest(bucket);
        const state = Atomics.load(this.#states, slot * LONGS + STATE_AT);
        // Somebody may count in it at this moment: then it is looked for again.
        if (Atomics.compareExchange(this.#states, slot * LONGS + STATE_AT, state, CLAIMED) !== state) continue;
        if (!this.#isOver(slot, state, nowMs)) this.displaced++;
        this.#fill(slot, place, nowMs);
      }
      return true;
    } finally {
      unlock(this.#locks, index);
    }
  }

  /** A slot that is free, or whose window is over. */
  #findOver(bucket: number, nowMs: number): number | undefined {
    for (let slot = bucket; slot < bucket + COUNTERS_PER_BUCKET; slot++) {
      if (this.#isOver(slot, Atomics.load(this.#states, slot * LONGS + STATE_AT), nowMs)) return slot;
    }
    return undefined;
  }

  #findSmallest(bucket: number): number {
    let smallest = bucket;
    let count = COUNT_MAX;
    for (let slot = bucket; slot < bucket + COUNTERS_PER_BUCKET; slot++) {
      const its = Number(Atomics.load(this.#states, slot * LONGS + STATE_AT) & 0xffff_ffffn);
      if (its >= count) continue;
      smallest = slot;
      count = its;
    }
    return smallest;
  }

  #isOver(slot: number, state: bigint, nowMs: number): boolean {
    const windowMs = Atomics.load(this.#words, slot * WORDS + WINDOW_AT);
    if (windowMs === 0) return true;
    const window = Math.floor(nowMs / windowMs);
    const behind = (window - Number(state >> 32n)) | 0;
    // The clock was set back by more than a window.
    if (behind < -1) return true;
    return nowMs >= (window - behind + 1) * windowMs + GRACE_MS;
  }

  #fill(slot: number, { low, high, windowMs }: Place, nowMs: number): void {
    Atomics.store(this.#words, slot * WORDS, low);
    Atomics.store(this.#words, slot * WORDS + 1, high);
    Atomics.store(this.#words, slot * WORDS + WINDOW_AT, windowMs);
    this.#halves[0] = 0;
    this.#halves[1] = Math.floor(nowMs / windowMs);
    Atomics.store(this.#states, slot * LONGS + STATE_AT, this.#state[0] ?? FREE);
  }

  /** Frees what the last holder had claimed and not filled. */
  #repair(bucket: number): void {
    for (let slot = bucket; slot < bucket + COUNTERS_PER_BUCKET; slot++) {
      if (Atomics.load(this.#states, slot * LONGS + STATE_AT) !== CLAIMED) continue;
      for (let word = 0; word <= WINDOW_AT; word++) Atomics.store(this.#words, slot * WORDS + word, 0);
      Atomics.store(this.#states, slot * LONGS + STATE_AT, FREE);
    }
  }
}

/** Which counter: its key's hash, and how long its windows are. */
interface Place {
  readonly low: number;
  readonly high: number;
  readonly windowMs: number;
}
