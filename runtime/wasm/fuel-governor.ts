// How much fuel a call may spend. A filter that runs out of it again and again holds its worker up each time: then its
// calls get a small multiple of what calls have needed so far, until it has kept to that for a while.
import type { Clock } from "../exchange/exchange.ts";

/** So many calls that run out in a window strain the worker: each holds it up for some 60 ms, a hundredth of ten seconds is 100. */
const OUTS_MAX = 3;
const WINDOW_MS = 30_000;
/** How long less is given after that, and after each that runs out meanwhile. */
const STRAINED_MS = 30_000;
/** What is given then, as a multiple of what a call has needed at most, … */
const PEAK_MULTIPLE = 4;
/** … and at least: half a millisecond. */
const STRAINED_MIN = 100_000;

/** Of one use of a filter, whichever instance its calls run in. */
export class FuelGovernor {
  readonly #max: number;
  readonly #clock: Clock;
  #peak = 0;
  #outs = 0;
  #windowEndsMs = 0;
  #strainedUntilMs = 0;

  constructor(max: number, clock: Clock) {
    this.#max = max;
    this.#clock = clock;
  }

  /** What the next call may spend. */
  get limit(): number {
    if (this.#strainedUntilMs === 0) return this.#max;
    if (this.#clock.monotonic() < this.#strainedUntilMs)
      return Math.min(this.#max, Math.max(STRAINED_MIN, this.#peak * PEAK_MULTIPLE));
    this.#strainedUntilMs = 0;
    return this.#max;
  }

  /** A call returned, having spent so much. */
  spent(fuel: number): void {
    if (fuel > this.#peak) this.#peak = fuel;
  }

  /** A call ran out. */
  ranOut(): void {
    const nowMs = this.#clock.monotonic();
    if (nowMs >= this.#windowEndsMs) {
      this.#outs = 0;
      this.#windowEndsMs = nowMs + WINDOW_MS;
    }
    if (++this.#outs >= OUTS_MAX || nowMs < this.#strainedUntilMs) this.#strainedUntilMs = nowMs + STRAINED_MS;
  }
}
