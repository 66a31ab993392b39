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
  clock.advance(20_000);
  governor.ranOut();
  clock.advance(29_999);
  expect(governor.limit).toBe(160_000);
  clock.advance(1);
  expect(governor.limit).toBe(10_000_000);
});

test("a loop every other second holds a worker up for less than a hundredth of the time", () => {
  const clock = startClock();
  const governor = new FuelGovernor(10_000_000, clock);
  let spent = 0;
  for (let second = 0; second < 600; second += 2) {
    spent += governor.limit;
    governor.ranOut();
    clock.advance(2000);
  }
  // Some 6 ns a unit.
  expect(spent * 6).toBeLessThan(0.01 * 600e9);
});

test("what is given is never more than the limit", () => {
  const governor = new FuelGovernor(5000, startClock());
  governor.spent(4000);
  for (let out = 0; out < 3; out++) governor.ranOut();
  expect(governor.limit).toBe(5000);
});
