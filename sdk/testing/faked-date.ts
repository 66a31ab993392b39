// The wall clock that native filters and tests see through `Date`: while a filter is mounted it is the test's.
import { setSystemTime } from "bun:test";
import type { TestClock } from "./exchange.ts";

export class FakedDate {
  readonly #clock: TestClock;

  constructor(clock: TestClock) {
    this.#clock = clock;
    this.show();
  }

  /** After the clock was moved. */
  show(): void {
    setSystemTime(new Date(this.#clock.now()));
  }

  restore(): void {
    setSystemTime();
  }
}
