// Small values that all workers read and replace by version. Every operation holds the lock of its bucket for a microsecond or
// two: a value is bytes, and is never seen half written.
import type { Clock } from "../exchange/exchange.ts";
import { KeyHasher } from "./shared-keys.ts";
import { lock, unlock, type LockOwner } from "./shared-lock.ts";
import {
  VALUE_BUCKETS,
  VALUE_BYTES,
  VALUE_HEADER_BYTES,
  VALUE_MAX_BYTES,
  VALUES_PER_BUCKET,
  type Region,
} from "./shared-memory.ts";

export interface SharedValue {
  readonly value: Uint8Array;
  /** Never the same again for this key, whatever happens to it. */
  readonly version: number;
}

/** A new value for a key. */
export interface Replacement {
  readonly key: string;
  readonly value: Uint8Array;
  /** What the key must have for it to be replaced; `0` where it must have no value. */
  readonly version: number;
  /** How long it stays. */
  readonly ttlMs: number;
}

/** Within a slot: two words of the key, the length (`WRITING` while it is written), one that is not used. */
const WORDS = VALUE_BYTES / 4;
const LENGTH_AT = 2;
/** In units of eight bytes: when it is over (`0` for a slot that is free), and the version. */
const LONGS = VALUE_BYTES / 8;
const EXPIRES_AT = 2;
const VERSION_AT = 3;
const WRITING = -1;

export class SharedValues {
  readonly #locks: Int32Array;
  readonly #words: Int32Array;
  readonly #numbers: Float64Array;
  readonly #bytes: Uint8Array;
  readonly #versions: BigInt64Array;
  readonly #hasher: KeyHasher;
  readonly #clock: Clock;
  readonly #owner: LockOwner;

  constructor(region: Region, clock: Clock, owner: LockOwner) {
    const slots = VALUE_BUCKETS * VALUES_PER_BUCKET;
    this.#locks = region.valueLocks;
    this.#words = new Int32Array(region.values, region.valuesOffset, slots * WORDS);
    this.#numbers = new Float64Array(region.values, region.valuesOffset, slots * LONGS);
    this.#bytes = new Uint8Array(region.values, region.valuesOffset, slots * VALUE_BYTES);
    this.#versions = region.versions;
    this.#hasher = new KeyHasher(region.seed);
    this.#clock = clock;
    this.#owner = owner;
  }

  /** The value of a key; `undefined` where it has none, or none any more. */
  get(key: string): SharedValue | undefined | "busy" {
    return this.#locked(key, (slot) => {
      if (slot === undefined) return undefined;
      const start = slot * VALUE_BYTES + VALUE_HEADER_BYTES;
      const length = this.#words[slot * WORDS + LENGTH_AT] ?? 0;
      return {
        value: this.#bytes.slice(start, start + length),
        version: this.#numbers[slot * LONGS + VERSION_AT] ?? 0,
      };
    });
  }

  /** The version that the key has now; `conflict` where it had another than was said, `full` where sixteen others are in its bucket. */
  replace({ key, value, version, ttlMs }: Replacement): number | "conflict" | "full" | "busy" {
    if (value.length > VALUE_MAX_BYTES) throw new RangeError(`value is ${value.length} bytes`);
    return this.#locked(key, (slot, { bucket, low, high }) => {
      const before = slot === undefined ? 0 : (this.#numbers[slot * LONGS + VERSION_AT] ?? 0);
      if (before !== version) return "conflict";
      const place = slot ?? this.#findFree(bucket);
      if (place === undefined) return "full";
      const at = place * WORDS;
      // A process that dies from here on leaves a slot that the next holder of the lock frees.
      this.#words[at + LENGTH_AT] = WRITING;
      this.#words[at] = low;
      this.#words[at + 1] = high;
      this.#bytes.set(value, place * VALUE_BYTES + VALUE_HEADER_BYTES);
      const next = Number(Atomics.add(this.#versions, 0, 1n)) + 1;
      this.#numbers[place * LONGS + VERSION_AT] = next;
      this.#numbers[place * LONGS + EXPIRES_AT] = this.#clock.now() + ttlMs;
      this.#words[at + LENGTH_AT] = value.length;
      return next;
    });
  }

  /** Whether there was a value. */
  delete(key: string): boolean | "busy" {
    return this.#locked(key, (slot) => {
      if (slot === undefined) return false;
      this.#free(slot);
      return true;
    });
  }

  #locked<Found>(key: string, run: (slot: number | undefined, place: Place) => Found): Found | "busy" {
    const { low, high } = this.#hasher.hash(key);
    const index = low & (VALUE_BUCKETS - 1);
    const bucket = index * VALUES_PER_BUCKET;
    const locking = lock(this.#locks, index, this.#owner);
    if (locking === "busy") return "busy";
    try {
      if (locking === "inherited") this.#repair(bucket);
      return run(this.#find(bucket, low, high), { bucket, low, high });
    } finally {
      unlock(this.#locks, index);
    }
  }

  #find(bucket: number, low: number, high: number): number | undefined {
    const nowMs = this.#clock.now();
    for (let slot = bucket; slot < bucket + VALUES_PER_BUCKET; slot++) {
      const at = slot * WORDS;
      if (this.#words[at] !== low || this.#words[at + 1] !== high) continue;
      if ((this.#numbers[slot * LONGS + EXPIRES_AT] ?? 0) > nowMs) return slot;
    }
    return undefined;
  }

  #findFree(bucket: number): number | undefined {
    const nowMs = this.#clock.now();
    for (let slot = bucket; slot < bucket + VALUES_PER_BUCKET; slot++) {
      if ((this.#numbers[slot * LONGS + EXPIRES_AT] ?? 0) <= nowMs) return slot;
    }
    return undefined;
  }

  #free(slot: number): void {
    this.#numbers[slot * LONGS + EXPIRES_AT] = 0;
    this.#words[slot * WORDS + LENGTH_AT] = 0;
  }

  #repair(bucket: number): void {
    for (let slot = bucket; slot < bucket + VALUES_PER_BUCKET; slot++) {
      if (this.#words[slot * WORDS + LENGTH_AT] === WRITING) this.#free(slot);
    }
  }
}

interface Place {
  readonly bucket: number;
  readonly low: number;
  readonly high: number;
}
