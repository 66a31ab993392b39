import { expect, test } from "bun:test";
import { idleHost } from "../../test/contract/subjects.ts";
import { BoundedHost } from "./bounded-host.ts";

const NOTHING = new Uint8Array();

/** A host whose functions take so long, and what calls of it spend. */
function start(tookMs: number, fuel = 1000) {
  let nowMs = 0;
  let spent = 0;
  const settled: string[] = [];
  const answer = () => {
    nowMs += tookMs;
    return { result: { ok: true as const, value: "ok" }, fuel };
  };
  const inner = idleHost({
    clock: { now: () => nowMs, monotonic: () => nowMs },
    log: () => undefined,
    text: answer,
    settle: (_, text) => void settled.push(text),
  });
  const host = new BoundedHost(inner, (units) => {
    spent += units;
  });
  return { host, settled, spent: () => spent };
}

test("what crosses is paid for, whatever the function makes of it", () => {
  const { host, spent } = start(0, 0);
  host.text("x", "a".repeat(1600), new Uint8Array(160));
  expect(spent()).toBe(110);
});

test("host functions that take longer than their prices are paid for by the clock, beyond 20 ms of one call", () => {
  const { host, spent } = start(5);
  for (let time = 0; time < 4; time++) host.text("x", "", NOTHING);
  expect(spent()).toBe(4000);
  host.text("x", "", NOTHING);
  expect(spent()).toBeGreaterThan(800_000);
  host.beginCall();
  const before = spent();
  host.text("x", "", NOTHING);
  expect(spent() - before).toBe(1000);
});

test("what is cheaper than its price makes nothing else cheaper", () => {
  const { host, spent } = start(0, 10_000_000);
  host.text("x", "", NOTHING);
  const late = start(25, 0);
  late.host.text("x", "", NOTHING);
  expect([spent(), late.spent() > 800_000]).toEqual([10_000_000, true]);
});

test("a late answer is as long as an answer at once may be", () => {
  const { host, settled, spent } = start(0);
  expect(() => host.settle(1, "a".repeat(1_048_577))).toThrow("settles with 1048577 characters, limit is 1048576");
  expect(spent()).toBe(65_536);
  host.settle(1, "b");
  expect(settled).toEqual(["b"]);
});
