import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { startClock, type TestClock } from "../../sdk/testing/exchange.ts";
import { COUNT_MAX, SharedCounters, type Count, type Counting } from "./shared-counters.ts";
import { COUNTER_BUCKETS, COUNTERS_PER_BUCKET, PrivateMemory, type Region } from "./shared-memory.ts";

const OWNER = { pid: 1, isAlive: () => true };

let clock: TestClock;
let region: Region;
let counters: SharedCounters;

beforeEach(() => {
  clock = startClock();
  // To the beginning of a minute.
  clock.advance(60_000 - (clock.now() % 60_000));
  region = regionOf("filter");
  counters = new SharedCounters(region, clock, OWNER);
});

function regionOf(use: string): Region {
  const made = new PrivateMemory().regionOf(use);
  if (made === undefined) throw new Error("no region");
  return made;
}

function count(init: Partial<Counting> = {}): Count {
  const counted = counters.count({ key: "ada", count: 1, windowMs: 1000, limit: 3, ...init });
  if (counted === "busy") throw new Error("busy");
  return counted;
}

test("a limit is reached and not passed, and a new window begins at nothing", () => {
  expect([1, 2, 3, 4].map(() => count())).toEqual([
    { value: 1, resetMs: 1000, isAllowed: true },
    { value: 2, resetMs: 1000, isAllowed: true },
    { value: 3, resetMs: 1000, isAllowed: true },
    { value: 3, resetMs: 1000, isAllowed: false },
  ]);
  clock.advance(999);
  expect(count()).toEqual({ value: 3, resetMs: 1, isAllowed: false });
  clock.advance(1);
  expect(count()).toEqual({ value: 1, resetMs: 1000, isAllowed: true });
});

test("what would pass the limit is not counted at all, and nothing is counted by looking", () => {
  count({ count: 2 });
  expect(count({ count: 2 })).toMatchObject({ value: 2, isAllowed: false });
  expect(count({ count: 0 })).toMatchObject({ value: 2, isAllowed: true });
  expect(count({ count: 1 })).toMatchObject({ value: 3, isAllowed: true });
});

test("keys, and windows of other lengths, count by themselves", () => {
  count();
  expect(count({ key: "eve" }).value).toBe(1);
  expect(count({ windowMs: 60_000 }).value).toBe(1);
  expect(count().value).toBe(2);
});

test("a count ends at its maximum", () => {
  expect(count({ count: COUNT_MAX, limit: COUNT_MAX })).toMatchObject({ value: COUNT_MAX, isAllowed: true });
  expect(count({ limit: COUNT_MAX })).toMatchObject({ value: COUNT_MAX, isAllowed: false });
});

test("a process whose clock is a moment behind counts in the window that has begun", () => {
  const ahead = new SharedCounters(region, { ...clock, now: () => clock.now() + 1 }, OWNER);
  clock.advance(999);
  count({ count: 2 });
  expect(ahead.count({ key: "ada", count: 2, windowMs: 1000, limit: 3 })).toMatchObject({ value: 2, isAllowed: true });
  expect(count({ count: 2 })).toEqual({ value: 2, resetMs: 1001, isAllowed: false });
});

test("a clock that was set back begins a window", () => {
  count({ count: 3 });
  clock.advance(-3_600_000);
  expect(count()).toEqual({ value: 1, resetMs: 1000, isAllowed: true });
});

describe("with more keys than there is room for", () => {
  const room = COUNTER_BUCKETS * COUNTERS_PER_BUCKET;

  test("windows that are over make room first", () => {
    for (let key = 0; key < room; key++) count({ key: `a${key}` });
    const { displaced } = counters;
    clock.advance(3000);
    for (let key = 0; key < room / 4; key++) count({ key: `b${key}` });
    expect(counters.displaced).toBe(displaced);
  });

  test("the smallest counts give way, and are told", () => {
    for (let use = 0; use < 3; use++) count();
    for (let key = 0; key < 3 * room; key++) count({ key: `k${key}` });
    expect(count()).toMatchObject({ value: 3, isAllowed: false });
    expect(counters.displaced).toBeGreaterThan(room);
  });
});

test("what a process left half done when it died is put right by the next", () => {
  count();
  // As a holder leaves it that dies after it claimed every slot and before it filled one.
  region.counterLocks.fill(99);
  const states = new BigUint64Array(region.counters, region.countersOffset, COUNTER_BUCKETS * COUNTERS_PER_BUCKET * 3);
  for (let state = 2; state < states.length; state += 3) states[state] = 0xffff_ffff_ffff_ffffn;
  const next = new SharedCounters(region, clock, { pid: 2, isAlive: (pid) => pid !== 99 });
  expect(next.count({ key: "ada", count: 1, windowMs: 1000, limit: 3 })).toMatchObject({ value: 1, isAllowed: true });
  expect(next.count({ key: "ada", count: 1, windowMs: 1000, limit: 3 })).toMatchObject({ value: 2, isAllowed: true });
});

test("a lock that somebody alive keeps is not waited for without end", () => {
  region.counterLocks.fill(99);
  expect(counters.count({ key: "new", count: 1, windowMs: 1000, limit: 3 })).toBe("busy");
});

test("counting agrees with the plain definition", () => {
  const step = fc.record({
    key: fc.constantFrom("a", "b", "c"),
    count: fc.nat({ max: 4 }),
    windowMs: fc.constantFrom(10, 25, 1000),
    limit: fc.nat({ max: 9 }),
    advanceMs: fc.constantFrom(0, 0, 1, 7, 30, 2000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const own = new SharedCounters(regionOf("x"), clock, OWNER);
      const model = new Map<string, number>();
      for (const { key, count: by, windowMs, limit, advanceMs } of steps) {
        clock.advance(advanceMs);
        const name = `${key} ${windowMs} ${Math.floor(clock.now() / windowMs)}`;
        const before = model.get(name) ?? 0;
        const isAllowed = before + by <= limit;
        if (isAllowed) model.set(name, before + by);
        expect(own.count({ key, count: by, windowMs, limit })).toEqual({
          value: model.get(name) ?? 0,
          resetMs: windowMs - (clock.now() % windowMs),
          isAllowed,
        });
      }
    }),
  );
});
