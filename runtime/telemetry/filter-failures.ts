// Says in the log why a filter failed. A filter may fail on each of ten thousand requests a second, so a filter gets a line
// a second; the next one says how many were left out.
import type { Clock } from "../exchange/exchange.ts";
import type { FilterRun } from "../exchange/observer.ts";

/** Shortest time between two lines of one filter. */
const LINE_EVERY_MS = 1000;
/** Filters have bounded names, messages are the author's own. */
const REASON_MAX_LENGTH = 4096;

/** Writes one line. */
export type WriteFailure = (fields: Readonly<Record<string, unknown>>, message: string) => void;

export class FilterFailures {
  readonly #clock: Clock;
  readonly #write: WriteFailure;
  readonly #lines = new Map<string, { lastMs: number; leftOut: number }>();

  constructor(clock: Clock, write: WriteFailure) {
    this.#clock = clock;
    this.#write = write;
  }

  /** Takes every run; those that went well cost a comparison. */
  filterRan({ filter, phase, failure, fuel }: FilterRun): void {
    if (failure === undefined) return;
    const nowMs = this.#clock.monotonic();
    const line = this.#lines.get(filter);
    if (line !== undefined && nowMs - line.lastMs < LINE_EVERY_MS) {
      line.leftOut++;
      return;
    }
    const leftOut = line?.leftOut ?? 0;
    this.#lines.set(filter, { lastMs: nowMs, leftOut: 0 });
    const reason = failure.message.slice(0, REASON_MAX_LENGTH);
    this.#write({ filter, phase, reason, fuel, ...(leftOut === 0 ? {} : { leftOut }) }, "a filter failed");
  }
}
