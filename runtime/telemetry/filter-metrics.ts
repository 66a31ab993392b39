// Metrics that filters define and measure themselves, exposed beside the proxy's own. A name means one thing in a proxy:
// filters that share it must define it alike.
import type { FilterMeter } from "../chain/meter.ts";
import type { MetricDefinition } from "../contract/bundle.ts";
import type { Result } from "../exchange/failure.ts";
import { renderLabels } from "./labels.ts";

/** Label sets kept of one metric of one filter; what is beyond counts as `overflow`. */
const SERIES_MAX = 1000;
/** Longest value of a label, characters. */
const VALUE_MAX_LENGTH = 200;
/** Names in all. Definitions stay while the proxy runs, so that counters never go back. */
const METRICS_MAX = 1000;

interface Series {
  readonly labels: string;
  value: number;
  count: number;
  readonly buckets: Float64Array;
}

interface Metric {
  readonly definition: MetricDefinition;
  readonly shape: string;
  readonly uses: Map<string, Map<string, Series>>;
}

export class FilterMetrics {
  readonly #metrics = new Map<string, Metric>();
  /** Measurements of metrics that nobody defined, or with values that are no numbers. */
  dropped = 0;

  /** Declares the metrics of a use; `use` becomes the label `filter`. */
  declare(use: string, definitions: readonly MetricDefinition[]): Result<FilterMeter, string> {
    for (const definition of definitions) {
      const known = this.#metrics.get(definition.name);
      if (known !== undefined && known.shape !== shapeOf(definition))
        return refused(`metric ${definition.name} is another filter's, which defines it otherwise`);
      if (known === undefined && this.#metrics.size >= METRICS_MAX)
        return refused(`metric ${definition.name} is one too many, limit is ${METRICS_MAX}`);
      this.#metrics.set(definition.name, known ?? { definition, shape: shapeOf(definition), uses: new Map() });
    }
    return { ok: true, value: { record: (name, value, labels) => this.#record(use, name, value, labels) } };
  }

  /** Lines of Prometheus' text format. */
  render(): readonly string[] {
    const lines: string[] = [];
    for (const [name, { definition, uses }] of this.#metrics) {
      if (definition.help !== "")
        lines.push(`# HELP ${name} ${definition.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
      lines.push(`# TYPE ${name} ${definition.kind}`);
      for (const all of uses.values()) {
        for (const series of all.values()) lines.push(...renderSeries(name, definition, series));
      }
    }
    lines.push("# TYPE vespid_filter_measurements_dropped_total counter");
    lines.push(`vespid_filter_measurements_dropped_total ${this.dropped}`);
    return lines;
  }

  #record(use: string, name: string, value: number, labels: readonly string[]): void {
    const metric = this.#metrics.get(name);
    if (metric === undefined || !Number.isFinite(value) || (metric.definition.kind === "counter" && value < 0)) {
      this.dropped++;
      return;
    }
    const series = seriesOf(metric, use, labels);
    if (metric.definition.kind === "gauge") series.value = value;
    else series.value += value;
    if (metric.definition.kind !== "histogram") return;
    series.count++;
    const { buckets } = metric.definition;
    for (let index = 0; index < buckets.length; index++) {
      if (value <= (buckets[index] ?? 0)) series.buckets[index] = (series.buckets[index] ?? 0) + 1;
    }
  }
}

function seriesOf({ definition, uses }: Metric, use: string, given: readonly string[]): Series {
  let all = uses.get(use);
  if (all === undefined) {
    all = new Map();
    uses.set(use, all);
  }
  const values = definition.labels.map((_, index) => (given[index] ?? "").slice(0, VALUE_MAX_LENGTH));
  const key = values.join("\n");
  const known = all.get(key);
  if (known !== undefined) return known;
  const isFull = all.size >= SERIES_MAX;
  const overflow = isFull ? all.get(OVERFLOW) : undefined;
  if (overflow !== undefined) return overflow;
  const series: Series = {
    labels: renderLabels([
      ["filter", use],
      ...definition.labels.map((label, index) => [label, isFull ? "overflow" : (values[index] ?? "")] as const),
    ]),
    value: 0,
    count: 0,
    buckets: new Float64Array(definition.buckets.length),
  };
  all.set(isFull ? OVERFLOW : key, series);
  return series;
}

/** No set of values: those hold no two line breaks more than labels. */
const OVERFLOW = "\n\noverflow";

function renderSeries(name: string, { kind, buckets }: MetricDefinition, series: Series): readonly string[] {
  if (kind !== "histogram") return [`${name}{${series.labels}} ${series.value}`];
  return [
    ...buckets.map((bound, index) => `${name}_bucket{${series.labels},le="${bound}"} ${series.buckets[index] ?? 0}`),
    `${name}_bucket{${series.labels},le="+Inf"} ${series.count}`,
    `${name}_sum{${series.labels}} ${series.value}`,
    `${name}_count{${series.labels}} ${series.count}`,
  ];
}

function shapeOf({ kind, labels, buckets }: MetricDefinition): string {
  return JSON.stringify([kind, labels, buckets]);
}

function refused(error: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error };
}
