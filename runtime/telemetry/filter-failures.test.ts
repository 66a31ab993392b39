// What an operator reads when a filter fails.
import { expect, test } from "bun:test";
import type { FilterRun } from "../exchange/observer.ts";
import { failure } from "../exchange/failure.ts";
import { FilterFailures } from "./filter-failures.ts";

function runOf(filter: string, message?: string): FilterRun {
  const failed = message === undefined ? undefined : failure("filter_failed", `filter ${filter}: ${message}`);
  return {
    filter,
    phase: "request",
    outcome: failed === undefined ? "proceed" : "failed",
    failure: failed,
    fuel: 7,
    tookMs: 1,
  };
}

test("a filter that fails says why once a second, and how often it was not said", () => {
  let nowMs = 0;
  const lines: unknown[] = [];
  const failures = new FilterFailures({ now: () => nowMs, monotonic: () => nowMs }, (fields) => lines.push(fields));
  for (const [atMs, run] of [
    [0, runOf("default/a")],
    [1, runOf("default/a", "oops")],
    [2, runOf("default/b", "broke")],
    [500, runOf("default/a", "oops")],
    [999, runOf("default/a", "oops")],
    [1001, runOf("default/a", "again")],
    [3000, runOf("default/a", "once more")],
  ] as const) {
    nowMs = atMs;
    failures.filterRan(run);
  }
  expect(lines).toEqual([
    { filter: "default/a", phase: "request", reason: "filter default/a: oops", fuel: 7 },
    { filter: "default/b", phase: "request", reason: "filter default/b: broke", fuel: 7 },
    { filter: "default/a", phase: "request", reason: "filter default/a: again", fuel: 7, leftOut: 2 },
    { filter: "default/a", phase: "request", reason: "filter default/a: once more", fuel: 7 },
  ]);
});
