import { expect, test } from "bun:test";
import { MetricDefinition } from "../contract/bundle.ts";
import type { FilterMeter } from "../chain/meter.ts";
import { FilterMetrics } from "./filter-metrics.ts";

const counter = (labels: readonly string[] = [], init: object = {}) =>
  MetricDefinition.parse({ name: "seen_total", kind: "counter", labels, ...init });

function declare(metrics: FilterMetrics, use: string, definition: MetricDefinition): FilterMeter {
  const declared = metrics.declare(use, [definition]);
  if (!declared.ok) throw new Error(declared.error);
  return declared.value;
}

const seen = (metrics: FilterMetrics) => metrics.render().filter((line) => line.startsWith("seen_total"));

test("values of labels that read alike when they are joined are two series", () => {
  const metrics = new FilterMetrics();
  const meter = declare(metrics, "a", counter(["x", "y"]));
  meter.record("seen_total", 1, ["p\nq", "r"]);
  meter.record("seen_total", 1, ["p", "q\nr"]);
  meter.record("seen_total", 1, ["p", "q\nr"]);
  expect(seen(metrics).map((line) => line.split(" ").at(-1))).toEqual(["1", "2"]);
});

test("more series than are kept count as one, which no value can name", () => {
  const metrics = new FilterMetrics();
  const meter = declare(metrics, "a", counter(["x"]));
  meter.record("seen_total", 1, ["\n\noverflow"]);
  for (let index = 0; index < 1100; index++) meter.record("seen_total", 1, [`v${index}`]);
  expect(seen(metrics)).toHaveLength(1001);
  expect(seen(metrics).at(-1)).toBe('seen_total{filter="a",x="overflow"} 101');
});

test("the next version of a filter may have other labels, and goes on counting where it has not", () => {
  const metrics = new FilterMetrics();
  const old = declare(metrics, "a", counter(["x"]));
  old.record("seen_total", 1, ["1"]);
  const next = declare(metrics, "a", counter(["x", "y"]));
  next.record("seen_total", 1, ["1", "2"]);
  const again = declare(metrics, "a", counter(["x"]));
  again.record("seen_total", 1, ["1"]);
  expect(seen(metrics)).toEqual(['seen_total{filter="a",x="1"} 2', 'seen_total{filter="a",x="1",y="2"} 1']);
  expect(metrics.declare("a", [counter(["x"], { kind: "gauge" })])).toMatchObject({
    ok: false,
    error: "metric seen_total was a counter; a gauge needs another name",
  });
  expect(metrics.declare("b", [counter(["z"])])).toMatchObject({ ok: false });
});

test("what nobody measures any more is forgotten, and its name is free", async () => {
  const metrics = new FilterMetrics();
  declare(metrics, "a", counter(["x"])).record("seen_total", 1, ["1"]);
  const kept = declare(metrics, "b", MetricDefinition.parse({ name: "kept_total", kind: "counter" }));
  kept.record("kept_total", 1, []);
  // A reference that was read in a turn of the event loop holds until that is over.
  await new Promise((resolve) => setImmediate(resolve));
  Bun.gc(true);
  expect(metrics.render()).toContain('kept_total{filter="b"} 1');
  expect(seen(metrics)).toEqual([]);
  declare(metrics, "c", counter([], { kind: "gauge" })).record("seen_total", 3, []);
  expect(seen(metrics)).toEqual(['seen_total{filter="c"} 3']);
  kept.record("kept_total", 1, []);
});
