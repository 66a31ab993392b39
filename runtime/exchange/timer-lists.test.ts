import { expect, test } from "bun:test";
import fc from "fast-check";
import { startClock } from "../../sdk/testing/exchange.ts";
import { TimerLists } from "./timer-lists.ts";

function start() {
  const clock = startClock();
  return { clock, timers: new TimerLists(() => clock.monotonic(), clock.schedule) };
}

test("timers run when they are due, and those that were called off do not", () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 1, max: 4 }),
    stop: fc.option(fc.nat(50), { nil: undefined }),
    advanceMs: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { clock, timers } = start();
      const [ran, expected]: [string[], string[]] = [[], []];
      const stops = steps.map(({ afterMs, stop, advanceMs }, index) => {
        const dueMs = clock.monotonic() + afterMs;
        const stopReal = timers.schedule(() => ran.push(`${index} at ${clock.monotonic()}`), afterMs);
        const stopPlain = clock.schedule(() => expected.push(`${index} at ${dueMs}`), afterMs);
        const both = (): void => [stopReal, stopPlain].forEach((act) => act());
        if (stop === index) both();
        return { both, stop, advanceMs };
      });
      for (const { stop, advanceMs } of stops) {
        if (stop !== undefined) stops[stop]?.both();
        clock.advance(advanceMs);
      }
      clock.advance(10);
      expect(ran.toSorted()).toEqual(expected.toSorted());
      expect(clock.scheduled).toBe(0);
    }),
  );
});

test("one system timer serves all of a length, and those that come after them", () => {
  const { clock, timers } = start();
  for (let count = 0; count < 100; count++) timers.schedule(() => undefined, 50)();
  const ran: number[] = [];
  timers.schedule(() => ran.push(clock.monotonic()), 50);
  const startedMs = clock.monotonic();
  expect(clock.scheduled).toBe(1);
  clock.advance(50);
  expect([ran, clock.scheduled]).toEqual([[startedMs + 50], 0]);
});

test("lengths that are asked for once leave a bounded number of system timers", () => {
  const { clock, timers } = start();
  for (let afterMs = 1; afterMs <= 1000; afterMs++) timers.schedule(() => undefined, afterMs)();
  timers.schedule(() => undefined, 1_000_000)();
  expect(clock.scheduled).toBe(16);
  clock.advance(16);
  timers.schedule(() => undefined, 100)();
  expect(clock.scheduled).toBe(1);
});

test("a timer that throws keeps none from running, nor do those that it sets and calls off", () => {
  const { clock, timers } = start();
  const ran: string[] = [];
  timers.schedule(() => {
    throw new Error("boom");
  }, 10);
  timers.schedule(() => {
    stop();
    ran.push("second");
    timers.schedule(() => ran.push("later"), 10);
  }, 10);
  const stop = timers.schedule(() => ran.push("called off"), 10);
  expect(() => clock.advance(10)).toThrow("boom");
  clock.advance(0);
  expect(ran).toEqual(["second"]);
  clock.advance(10);
  expect(ran).toEqual(["second", "later"]);
});
