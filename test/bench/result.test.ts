import { describe, expect, test } from "bun:test";
import { findPassedLimits, median, percentile, renderPassedLimit, renderResult, type BenchResult } from "./result.ts";

const result: BenchResult = {
  name: "sample",
  question: "how long does it take",
  rows: [
    { figure: "below", value: 1.234_56, unit: "µs", limit: 2 },
    { figure: "at the limit", value: 2, unit: "µs", limit: 2 },
    { figure: "above", value: 2.01, unit: "µs", limit: 2, note: "slow" },
    { figure: "not measured", value: Number.NaN, unit: "µs", limit: 2 },
    { figure: "unbounded", value: 12_345, unit: "requests/s" },
  ],
};

test("a figure passes its limit when it is above it or could not be measured", () => {
  expect(findPassedLimits(result).map(({ figure }) => figure)).toEqual(["above", "not measured"]);
});

test("a passed limit reads as one line that names the figure", () => {
  expect(findPassedLimits(result).map(renderPassedLimit)).toEqual([
    "above is 2.01 µs, limit is 2 µs",
    "not measured is n/a µs, limit is 2 µs",
  ]);
});

test("a table shows every figure with three digits", () => {
  const lines = renderResult(result).split("\n");
  expect(lines[0]).toBe("sample: how long does it take");
  expect(lines).toContain("below           1.23  µs          ≤ 2");
  expect(lines).toContain("unbounded     12,345  requests/s");
});

describe("percentiles interpolate", () => {
  test.each([
    [[3, 1, 2], 0.5, 2],
    [[4, 1, 2, 3], 0.5, 2.5],
    [[1, 2, 3, 4, 5], 1, 5],
    [[1, 2, 3, 4, 5], 0, 1],
    [[10], 0.99, 10],
  ])("%p at %p is %p", (values, share, expected) => {
    expect(percentile(values, share)).toBe(expected);
  });

  test("the median of nothing is not a number", () => {
    expect(median([])).toBeNaN();
  });
});
