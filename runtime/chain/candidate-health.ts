// When a proxy stops a candidate by itself: one that fails hard is not to be asked until control, which sees all proxies, has
// heard of it. Unlike a circuit it does not close again: a trial that was stopped is over.

/** So many failures one after the other are enough. */
const IN_A_ROW = 5;
/** Else at least half of a window's runs, where it has so many. */
const RUNS_MIN = 20;
const WINDOW_MS = 10_000;

export class CandidateHealth {
  #inARow = 0;
  #runs = 0;
  #failed = 0;
  #windowEndsMs = 0;

  /** Why it must be stopped; `undefined` where it may go on. `nowMs` is monotonic. */
  record(hasFailed: boolean, nowMs: number): string | undefined {
    if (nowMs >= this.#windowEndsMs) {
      this.#runs = 0;
      this.#failed = 0;
      this.#windowEndsMs = nowMs + WINDOW_MS;
    }
    this.#runs++;
    if (!hasFailed) {
      this.#inARow = 0;
      return undefined;
    }
    this.#inARow++;
    this.#failed++;
    if (this.#inARow >= IN_A_ROW) return `${IN_A_ROW} calls in a row failed`;
    const isHalf = this.#runs >= RUNS_MIN && this.#failed * 2 >= this.#runs;
    return isHalf ? `${this.#failed} of ${this.#runs} calls failed` : undefined;
  }
}
