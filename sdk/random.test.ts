// Numbers follow from their seed, and from nothing else.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { createRandom, SEED_BYTES } from "./random.ts";

function draw(seed: Uint8Array): readonly number[] {
  return Array.from({ length: 20 }, createRandom(seed));
}

test("a seed gives the same numbers again, another one others, all in [0, 1)", () => {
  const seeds = fc.uint8Array({ minLength: SEED_BYTES, maxLength: SEED_BYTES });
  fc.assert(
    fc.property(seeds, seeds, (first, second) => {
      expect(draw(first)).toEqual(draw(first));
      expect(draw(first).every((number) => number >= 0 && number < 1)).toBe(true);
      expect(Bun.deepEquals(draw(first), draw(second))).toBe(Bun.deepEquals(first, second));
    }),
  );
});

test("they are spread evenly", () => {
  const next = createRandom(new Uint8Array(SEED_BYTES));
  const counts = Array.from({ length: 10 }, () => 0);
  for (let count = 0; count < 10_000; count++) {
    const tenth = Math.floor(next() * 10);
    counts[tenth] = (counts[tenth] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
});
