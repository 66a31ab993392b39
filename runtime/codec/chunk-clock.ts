// Time stands still while the bytes of one chunk are worked on: what a client sent at once came at one time, and asking the
// system for each of 32 requests costs a tenth of their JavaScript. Filters may take long: they ask for the exact time, and
// what follows them in the chunk sees it too.
import type { Clock } from "../exchange/exchange.ts";
import { currentChunk } from "./chunk.ts";

/** Another clock, asked once in each chunk, and each time outside of them. */
export class ChunkClock implements Clock {
  /** Never stands still, and moves this one on. */
  readonly exact: Clock;
  readonly #clock: Clock;
  #nowMs = 0;
  #monotonicMs = 0;
  /** The chunks that those were read in; 0 is none. */
  #nowChunk = 0;
  #monotonicChunk = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.exact = { now: () => clock.now(), monotonic: () => this.#read() };
  }

  now(): number {
    if (currentChunk === 0 || currentChunk !== this.#nowChunk) {
      this.#nowMs = this.#clock.now();
      this.#nowChunk = currentChunk;
    }
    return this.#nowMs;
  }

  monotonic(): number {
    if (currentChunk === 0 || currentChunk !== this.#monotonicChunk) return this.#read();
    return this.#monotonicMs;
  }

  #read(): number {
    this.#monotonicMs = this.#clock.monotonic();
    this.#monotonicChunk = currentChunk;
    return this.#monotonicMs;
  }
}
