// OTLP's JSON of metrics (opentelemetry-proto, metrics/v1). What a batch measured is summed by name and attributes: each batch
// says what its interval added (delta temporality), so that proxies that come and go need no memory of each other.
import type { BackendOf } from "../contract/adapter.ts";
import type { OtlpEntry } from "./otlp.ts";
import { attributesOf, nanosOf, SCOPE, type KeyValue, type Resource } from "./otlp-logs.ts";

type Definitions = BackendOf<"otlp">["metrics"];
type Definition = Definitions[string];

/** The interval that is told of, milliseconds since the epoch. */
export interface Interval {
  readonly fromMs: number;
  readonly toMs: number;
}

const DELTA = 1;

/** One series of one metric. */
interface Point {
  readonly attributes: readonly KeyValue[];
  sum: number;
  count: number;
  last: number;
  readonly buckets: number[];
}

/** A request of `/v1/metrics`. */
export function renderMetrics(
  resource: Resource,
  entries: readonly OtlpEntry[],
  definitions: Definitions,
  interval: Interval,
): unknown {
  const metrics = [...Map.groupBy(entries, ({ instance }) => instance.name)].flatMap(([name, own]) => {
    const definition = definitions[name];
    return definition === undefined ? [] : [renderMetric(name, definition, pointsOf(own, definition), interval)];
  });
  return { resourceMetrics: [{ resource, scopeMetrics: [{ scope: SCOPE, metrics }] }] };
}

function pointsOf(entries: readonly OtlpEntry[], { bounds }: Definition): readonly Point[] {
  const points = new Map<string, Point>();
  for (const { instance } of entries) {
    const value = Number(instance.value ?? 1);
    if (!Number.isFinite(value)) continue;
    const attributes = attributesOf(instance.attributes);
    const key = JSON.stringify(attributes);
    const known = points.get(key);
    const point = known ?? { attributes, sum: 0, count: 0, last: 0, buckets: Array.from(bounds, () => 0).concat(0) };
    if (known === undefined) points.set(key, point);
    point.sum += value;
    point.count++;
    point.last = value;
    const above = bounds.findIndex((bound) => value <= bound);
    const bucket = above < 0 ? bounds.length : above;
    point.buckets[bucket] = (point.buckets[bucket] ?? 0) + 1;
  }
  return [...points.values()];
}

function renderMetric(
  name: string,
  { type, description, unit, bounds }: Definition,
  points: readonly Point[],
  { fromMs, toMs }: Interval,
): unknown {
  const times = { startTimeUnixNano: nanosOf(fromMs), timeUnixNano: nanosOf(toMs) };
  const head = { name, description, unit };
  const numbers = points.map(({ attributes, sum, last }) => ({
    ...times,
    attributes,
    asDouble: type === "gauge" ? last : sum,
  }));
  switch (type) {
    case "counter":
      return { ...head, sum: { aggregationTemporality: DELTA, isMonotonic: true, dataPoints: numbers } };
    case "gauge":
      return { ...head, gauge: { dataPoints: numbers } };
    case "histogram": {
      const dataPoints = points.map(({ attributes, sum, count, buckets }) => ({
        ...times,
        attributes,
        count: String(count),
        sum,
        bucketCounts: buckets.map(String),
        explicitBounds: bounds,
      }));
      return { ...head, histogram: { aggregationTemporality: DELTA, dataPoints } };
    }
  }
}
