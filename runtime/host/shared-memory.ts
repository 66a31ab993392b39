// Where filters keep what all workers share: a region of memory for each filter use, the same bytes in every process. What a
// filter fills is its own region alone. A proxy of one process has the same regions without a file.
import { ftruncateSync } from "node:fs";

/** The parts of a region, as views of its bytes. */
export interface Region {
  /** Random, so that nobody who does not see it can make two keys meet. */
  readonly seed: bigint;
  /** The last version that a value got. */
  readonly versions: BigInt64Array;
  readonly counterLocks: Int32Array;
  readonly counters: ArrayBuffer;
  readonly countersOffset: number;
  readonly valueLocks: Int32Array;
  readonly values: ArrayBuffer;
  readonly valuesOffset: number;
}

/** Gives each filter use its region; `undefined` where there are no more. */
export interface SharedMemory {
  regionOf(use: string): Region | undefined;
}

/** 32,768 counters. Buckets of 32 are full one in ten thousand when half of all are in use. */
export const COUNTER_BUCKETS = 1024;
export const COUNTERS_PER_BUCKET = 32;
export const COUNTER_BYTES = 24;
/** 256 values. */
export const VALUE_BUCKETS = 16;
export const VALUES_PER_BUCKET = 16;
export const VALUE_HEADER_BYTES = 32;
export const VALUE_MAX_BYTES = 4096;
export const VALUE_BYTES: number = VALUE_HEADER_BYTES + VALUE_MAX_BYTES;

const HEADER_BYTES = 64;
const COUNTER_LOCKS_AT = HEADER_BYTES;
const COUNTERS_AT = COUNTER_LOCKS_AT + COUNTER_BUCKETS * 4;
const VALUE_LOCKS_AT = COUNTERS_AT + COUNTER_BUCKETS * COUNTERS_PER_BUCKET * COUNTER_BYTES;
const VALUES_AT = VALUE_LOCKS_AT + VALUE_BUCKETS * 4;
const USED_BYTES = VALUES_AT + VALUE_BUCKETS * VALUES_PER_BUCKET * VALUE_BYTES;
/** Larger pages than any that we run on. */
const PAGE_BYTES = 65_536;
const REGION_BYTES = Math.ceil(USED_BYTES / PAGE_BYTES) * PAGE_BYTES;
/** Filter uses that can share something in the life of a proxy; a region that is not used takes no memory. */
const REGIONS_MAX = 128;
/** Changes with the layout: processes that do not agree on it share nothing. */
export const SHARED_LAYOUT = 1;

/** The regions of one process alone. */
export class PrivateMemory implements SharedMemory {
  readonly #regions = new Map<string, Region>();

  regionOf(use: string): Region | undefined {
    const known = this.#regions.get(use);
    if (known !== undefined || this.#regions.size >= REGIONS_MAX) return known;
    const region = viewRegion(new ArrayBuffer(REGION_BYTES), 0);
    this.#regions.set(use, region);
    return region;
  }
}

/** Makes a file as long as all regions together; its pages are there when something is written. */
export function sizeSharedFile(fd: number): void {
  ftruncateSync(fd, PAGE_BYTES + REGIONS_MAX * REGION_BYTES);
}

/** The regions of a file that other processes map as well. */
export class MappedMemory implements SharedMemory {
  readonly #path: string;
  /** Hashes of the uses' names; the place of a name is the number of its region. */
  readonly #directory: BigUint64Array;
  readonly #regions = new Map<string, Region>();

  /** Throws where the file cannot be mapped. */
  constructor(path: string) {
    this.#path = path;
    const page = Bun.mmap(path, { shared: true, offset: 0, size: PAGE_BYTES });
    this.#directory = new BigUint64Array(page.buffer, page.byteOffset, REGIONS_MAX);
  }

  regionOf(use: string): Region | undefined {
    const known = this.#regions.get(use);
    if (known !== undefined) return known;
    const index = this.#claim(use);
    if (index === undefined) return undefined;
    // Mapped when it is used: what a process maps counts as its heap.
    const bytes = Bun.mmap(this.#path, { shared: true, offset: PAGE_BYTES + index * REGION_BYTES, size: REGION_BYTES });
    const region = viewRegion(bytes.buffer, bytes.byteOffset);
    this.#regions.set(use, region);
    return region;
  }

  #claim(use: string): number | undefined {
    const name = Bun.hash.wyhash(use) || 1n;
    for (let index = 0; index < REGIONS_MAX; index++) {
      const before = Atomics.compareExchange(this.#directory, index, 0n, name);
      if (before === 0n || before === name) return index;
    }
    return undefined;
  }
}

function viewRegion(buffer: ArrayBuffer, at: number): Region {
  const seeds = new BigUint64Array(buffer, at, 1);
  const [random = 0n] = crypto.getRandomValues(new BigUint64Array(1));
  // The first process to look chooses it for all.
  const chosen = Atomics.compareExchange(seeds, 0, 0n, random | 1n);
  return {
    seed: chosen === 0n ? random | 1n : chosen,
    versions: new BigInt64Array(buffer, at + 8, 1),
    counterLocks: new Int32Array(buffer, at + COUNTER_LOCKS_AT, COUNTER_BUCKETS),
    counters: buffer,
    countersOffset: at + COUNTERS_AT,
    valueLocks: new Int32Array(buffer, at + VALUE_LOCKS_AT, VALUE_BUCKETS),
    values: buffer,
    valuesOffset: at + VALUES_AT,
  };
}
