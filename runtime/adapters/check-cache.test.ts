import { expect, test } from "bun:test";
import { startClock } from "../../sdk/testing/exchange.ts";
import { CheckCache, type Kept } from "./check-cache.ts";

function allowed(validForMs: number, validUses: number): Kept {
  return { kind: "allowed", validForMs, validUses };
}

test("an answer holds for its time and for its number of uses, the first included", () => {
  const clock = startClock();
  const cache = new CheckCache(clock);
  cache.set("time", allowed(100, 1000));
  cache.set("uses", allowed(1000, 3));
  cache.set("once", allowed(1000, 1));
  cache.set("now", allowed(0, 1000));
  expect(["uses", "uses", "uses", "once", "now"].map((key) => cache.get(key) !== undefined)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
  clock.advance(99);
  expect(cache.get("time")).toBeDefined();
  clock.advance(1);
  expect(cache.get("time")).toBeUndefined();
});

test("the least recently used of 10 000 goes first, and long keys are not kept", () => {
  const cache = new CheckCache(startClock());
  for (let index = 0; index < 10_000; index++) cache.set(String(index), allowed(1000, 1000));
  expect(cache.get("0")).toBeDefined();
  cache.set("one more", allowed(1000, 1000));
  expect([cache.get("0") !== undefined, cache.get("1") !== undefined]).toEqual([true, false]);
  cache.set("x".repeat(2049), allowed(1000, 1000));
  expect(cache.get("x".repeat(2049))).toBeUndefined();
});
