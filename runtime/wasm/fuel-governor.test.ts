// Fuel is only cut for filters that run out of it again and again, and comes back.
import { expect, test } from "bun:test";
import { startClock } from "../../sdk/testing/exchange.ts";
import { FuelGovernor } from "./fuel-governor.ts";

test("a call that runs out now and then gets all of it the next time", () => {
  const clock = startClock();
  const governor = new FuelGovernor(10_000_000, clock);
  for (let minute = 0; minute < 10; minute++) {
    governor.ranOut();
    governor.ranOut();
    expect(governor.limit).toBe(10_000_000);
    clock.advance(60_000);
  }
});

test("one that keeps running out gets a multiple of what calls have needed, for a while", () => {
  const clock = startClock();
  const governor = new FuelGovernor(10_000_000, clock);
  governor.spent(40_000);
  governor.spent(2000);
  for (let out = 0; out < 3; out++) governor.ranOut();
  expect(governor.limit).toBe(160_000);
  clock.advance(9999);
  expect(governor.limit).toBe(160_000);
  clock.advance(1);
  expect(governor.limit).toBe(10_000_000);
});

test("what is given is never more than the limit", () => {
  const governor = new FuelGovernor(5000, startClock());
  governor.spent(4000);
  for (let out = 0; out < 3; out++) governor.ranOut();
  expect(governor.limit).toBe(5000);
});
