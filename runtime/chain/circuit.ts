// A filter that keeps failing is not asked for a while: each of its failures costs a request its time, and what it calls
// its rest. After the pause one exchange tries it; it is asked again once it has answered.

/** Calls of a window that must have been made before it can open. */
const CALLS_MIN = 20;
/** Above this part of a window's calls failing, it opens. */
const FAILED_RATIO = 0.5;
const WINDOW_MS = 10_000;
const PAUSE_MIN_MS = 1000;
const PAUSE_MAX_MS = 30_000;

/** Counts one filter's failures. Times are monotonic milliseconds. */
export class Circuit {
  #calls = 0;
  #failed = 0;
  #windowEndsMs = 0;
  #pauseMs = 0;
  #openUntilMs = 0;
  #isTrying = false;

  /** Whether the filter may be asked now. */
  allows(nowMs: number): boolean {
    if (this.#openUntilMs === 0) return true;
    if (nowMs < this.#openUntilMs || this.#isTrying) return false;
    this.#isTrying = true;
    return true;
  }

  /** The filter answered. Milliseconds for which it is not asked from now on, `0` where it serves again, `undefined` where nothing changed. */
  record(hasFailed: boolean, nowMs: number): number | undefined {
    if (this.#openUntilMs > 0) return this.#recordTry(hasFailed, nowMs);
    if (nowMs >= this.#windowEndsMs) {
      this.#calls = 0;
      this.#failed = 0;
      this.#windowEndsMs = nowMs + WINDOW_MS;
    }
    this.#calls++;
    if (!hasFailed) return undefined;
    this.#failed++;
    return this.#calls >= CALLS_MIN && this.#failed > this.#calls * FAILED_RATIO ? this.#open(nowMs) : undefined;
  }

  /** The filter was asked and kept from answering: another exchange may try it. */
  forget(): undefined {
    this.#isTrying = false;
    return undefined;
  }

  /** What was asked when it opened answers late, and decides nothing. */
  #recordTry(hasFailed: boolean, nowMs: number): number | undefined {
    if (!this.#isTrying) return undefined;
    this.#isTrying = false;
    if (hasFailed) return this.#open(nowMs);
    this.#openUntilMs = 0;
    this.#pauseMs = 0;
    this.#windowEndsMs = 0;
    return 0;
  }

  #open(nowMs: number): number {
    this.#pauseMs = Math.min(PAUSE_MAX_MS, Math.max(PAUSE_MIN_MS, this.#pauseMs * 2));
    this.#openUntilMs = nowMs + this.#pauseMs;
    return this.#pauseMs;
  }
}
