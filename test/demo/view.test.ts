import { expect, test } from "bun:test";
import { openView, renderLine, renderPanel, type ViewState } from "./view.ts";

const state: ViewState = {
  elapsedMs: 83_400,
  step: "canary: 90 % v1, 10 % v2",
  filter: undefined,
  requests: 1234,
  failed: 0,
  perSecond: 99.7,
  p50Ms: 3.14,
  p99Ms: 20,
  shares: { v1: 0.9, v2: 0.1, v3: 0 },
};

test("a line says how things stand", () => {
  expect(renderLine(state)).toBe("01:23  100/s  p50 3.1 ms  p99 20.0 ms  v1 90 % v2 10 % v3 0 %  failed 0");
});

test("a panel shows each version's share as a bar", () => {
  const panel = renderPanel({ ...state, filter: "8.2 µs a call" });
  expect(panel).toContain(`  reviews  v1 ${"█".repeat(27)}░░░  90 %`);
  expect(panel).toContain(`           v3 ${"░".repeat(30)}   0 %`);
  expect(panel).toContain("  filter    8.2 µs a call");
});

test("before the first visit there is no latency", () => {
  expect(renderLine({ ...state, p50Ms: Number.NaN, p99Ms: Number.NaN })).toContain("p50 –  p99 –");
});

test("on a terminal a picture is drawn over the one before, and what was said stays above it", () => {
  const written: string[] = [];
  const view = openView({ isTTY: true, columns: 40, write: (text) => written.push(text) });
  view.show(state);
  view.show(state);
  view.say("applied");
  view.show(state);
  const [first = "", second = "", said = "", last = ""] = written;
  const height = first.split("\n").length - 1;
  expect(second).toBe(`\u001B[${height}F\u001B[J${first}`);
  expect(said).toBe(`\u001B[${height}F\u001B[Japplied\n`);
  expect(last).toBe(first);
  expect(Math.max(...first.split("\n").map((line) => line.length))).toBe(40);
});

test("elsewhere every picture is a line", () => {
  const written: string[] = [];
  const view = openView({ write: (text) => written.push(text) });
  view.show(state);
  view.say("applied");
  expect(written).toEqual([`${renderLine(state)}\n`, "applied\n"]);
});
