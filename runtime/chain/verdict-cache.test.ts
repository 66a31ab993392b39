import { expect, test } from "bun:test";
import fc from "fast-check";
import { startClock } from "../../sdk/testing/exchange.ts";
import { VerdictCache } from "./verdict-cache.ts";

const KILOBYTE = 1024;

function open() {
  const clock = startClock();
  return { clock, cache: new VerdictCache<string>(clock, (value) => value.length) };
}

test("what is kept together is bounded, and what is asked for stays", () => {
  const { cache } = open();
  const value = "x".repeat(60 * KILOBYTE);
  for (let index = 0; index < 200; index++) {
    cache.set(`head ${index}`, value, 1000);
    expect(cache.get("head 0")).toBe(value);
  }
  const kept = Array.from({ length: 200 }, (_, index) => cache.get(`head ${index}`)).filter((found) => found === value);
  // 8 MiB of them.
  expect(kept.length).toBe(136);
  expect(cache.get("head 1")).toBeUndefined();
  expect(cache.get("head 199")).toBe(value);
});

test("so is their number", () => {
  const { cache } = open();
  for (let index = 0; index < 5000; index++) cache.set(`${index}`, "", 1000);
  expect([cache.get("903"), cache.get("904"), cache.get("4999")]).toEqual([undefined, "", ""]);
});

test("where each was asked for, a new one is kept all the same, in the place of the oldest that is not spared", () => {
  const { cache } = open();
  for (let index = 0; index < 4096; index++) cache.set(`${index}`, "", 1000);
  for (let index = 0; index < 4096; index++) expect(cache.get(`${index}`)).toBe("");
  cache.set("new", "", 1000);
  expect([cache.get("15"), cache.get("16"), cache.get("17"), cache.get("new")]).toEqual(["", undefined, "", ""]);
});

test("a large one is not kept, nor what was there before it", () => {
  const { cache } = open();
  cache.set("head", "small", 1000);
  cache.set("head", "x".repeat(64 * KILOBYTE), 1000);
  expect(cache.get("head")).toBeUndefined();
});

test("whatever happens, it answers what was said last for that head, within its time, or nothing", () => {
  const step = fc.record({ head: fc.nat(5), value: fc.string(), forMs: fc.nat(50), passMs: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { clock, cache } = open();
      const said = new Map<string, { readonly value: string; readonly endsAtMs: number }>();
      for (const { head, value, forMs, passMs } of steps) {
        const key = `${head}`;
        cache.set(key, value, forMs);
        said.set(key, { value, endsAtMs: clock.monotonic() + forMs });
        clock.advance(passMs);
        for (const [name, { value: last, endsAtMs }] of said)
          expect(cache.get(name)).toBe(clock.monotonic() < endsAtMs ? last : undefined);
      }
    }),
  );
});
