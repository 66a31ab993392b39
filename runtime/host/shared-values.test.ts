import { beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import { startClock, type TestClock } from "../../sdk/testing/exchange.ts";
import { PrivateMemory, VALUE_MAX_BYTES, type Region } from "./shared-memory.ts";
import { SharedValues } from "./shared-values.ts";

const OWNER = { pid: 1, isAlive: () => true };

let clock: TestClock;
let region: Region;
let values: SharedValues;

beforeEach(() => {
  clock = startClock();
  region = regionOf();
  values = new SharedValues(region, clock, OWNER);
});

function regionOf(): Region {
  const made = new PrivateMemory().regionOf("filter");
  if (made === undefined) throw new Error("no region");
  return made;
}

function replace(text: string, version: number, key = "key"): ReturnType<SharedValues["replace"]> {
  return values.replace({ key, value: new TextEncoder().encode(text), version, ttlMs: 1000 });
}

function read(key = "key"): string | undefined {
  const found = values.get(key);
  if (found === "busy") throw new Error("busy");
  return found === undefined ? undefined : new TextDecoder().decode(found.value);
}

test("a value is replaced by who knows its version, and by nobody else", () => {
  const first = replace("one", 0);
  expect(replace("two", 0)).toBe("conflict");
  expect(read()).toBe("one");
  const second = replace("two", Number(first));
  expect(read()).toBe("two");
  expect(replace("three", Number(first))).toBe("conflict");
  expect(Number(second)).toBeGreaterThan(Number(first));
});

test("a version is never there twice, though the value was deleted or is over", () => {
  const first = replace("one", 0);
  expect(values.delete("key")).toBe(true);
  expect(values.delete("key")).toBe(false);
  expect(replace("two", Number(first))).toBe("conflict");
  const second = replace("two", 0);
  expect(second).not.toBe(first);
  clock.advance(1000);
  expect(read()).toBeUndefined();
  expect(replace("three", Number(second))).toBe("conflict");
  expect(replace("three", 0)).toBeNumber();
});

test("bytes come back as they went, up to the largest", () => {
  const value = crypto.getRandomValues(new Uint8Array(VALUE_MAX_BYTES));
  values.replace({ key: "big", value, version: 0, ttlMs: 1000 });
  values.replace({ key: "none", value: new Uint8Array(), version: 0, ttlMs: 1000 });
  expect(values.get("big")).toMatchObject({ value });
  expect(values.get("none")).toMatchObject({ value: new Uint8Array() });
});

test("more than there is room for is refused, until something is over", () => {
  const answers = Array.from({ length: 1000 }, (_, index) => replace("x", 0, `key ${index}`));
  expect(answers.filter((answer) => answer === "full").length).toBeGreaterThan(700);
  expect(read("key 0")).toBe("x");
  clock.advance(1000);
  expect(replace("y", 0, "another")).toBeNumber();
});

test("a value that its writer did not finish is gone", () => {
  replace("one", 0);
  const words = new Int32Array(region.values, region.valuesOffset, 256 * 1032);
  for (let at = 2; at < words.length; at += 1032) if (words[at] === 3) words[at] = -1;
  region.valueLocks.fill(99);
  const next = new SharedValues(region, clock, { pid: 2, isAlive: () => false });
  expect(next.get("key")).toBeUndefined();
  expect(next.replace({ key: "key", value: new Uint8Array(1), version: 0, ttlMs: 1000 })).toBeNumber();
});

test("replacing agrees with a map of versions", () => {
  const step = fc.record({
    key: fc.constantFrom("a", "b", "c"),
    value: fc.uint8Array({ maxLength: 20 }),
    isNewest: fc.boolean(),
    advanceMs: fc.constantFrom(0, 0, 400, 1000),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const own = new SharedValues(regionOf(), clock, OWNER);
      const model = new Map<string, { value: Uint8Array; version: number; endsAtMs: number }>();
      for (const { key, value, isNewest, advanceMs } of steps) {
        clock.advance(advanceMs);
        const kept = model.get(key);
        const now = kept !== undefined && kept.endsAtMs > clock.now() ? kept : undefined;
        expect(own.get(key)).toEqual(now === undefined ? undefined : { value: now.value, version: now.version });
        const version = isNewest ? (now?.version ?? 0) : 4711;
        const replaced = own.replace({ key, value, version, ttlMs: 1000 });
        expect(typeof replaced).toBe(isNewest ? "number" : "string");
        if (typeof replaced === "number") model.set(key, { value, version: replaced, endsAtMs: clock.now() + 1000 });
      }
    }),
  );
});
