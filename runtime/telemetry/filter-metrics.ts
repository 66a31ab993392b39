// Metrics that filters define and measure themselves, exposed beside the proxy's own. A name means one thing in a proxy:
// filters that share it must define it alike. A use's next version may give it other labels; both are told while both run,
// and what nobody can measure any more is forgotten.
import type { FilterMeter } from "../chain/meter.ts";
import type { MetricDefinition } from "../contract/bundle.ts";
import type { Result } from "../exchange/failure.ts";
import { renderLabels } from "./labels.ts";

/** Label sets kept of one metric of one filter; what is beyond counts as `overflow`. */
const SERIES_MAX = 1000;
/** Longest value of a label, characters. */
const VALUE_MAX_LENGTH = 200;
/** Names in all. */
const METRICS_MAX = 1000;

interface Series {
  readonly labels: string;
  value: number;
  count: number;
  readonly buckets: Float64Array;
}

/** What one use measures by one definition. */
interface Measured {
  readonly definition: MetricDefinition;
  readonly use: string;
  readonly series: Map<string, Series>;
  overflow: Series | undefined;
  /** Who measures it: every build of the filter has one. A counter goes on where one takes over from another. */
  readonly meters: Set<WeakRef<FilterMeter>>;
}

/** Those of one name. */
type Metric = Measured[];

export class FilterMetrics {
  readonly #metrics = new Map<string, Metric>();
  /** Measurements of metrics that nobody defined, or with values that are no numbers. */
  dropped = 0;

  /** Declares the metrics of a use; `use` becomes the label `filter`. They are told for as long as the meter is held. */
  declare(use: string, definitions: readonly MetricDefinition[]): Result<FilterMeter, string> {
    this.#forget();
    const wrong = this.#findWrong(use, definitions);
    if (wrong !== undefined) return { ok: false, error: wrong };
    const own = new Map(definitions.map((definition) => [definition.name, this.#open(use, definition)]));
    const meter: FilterMeter = { record: (name, value, labels) => this.#record(own.get(name), value, labels) };
    for (const measured of own.values()) measured.meters.add(new WeakRef(meter));
    return { ok: true, value: meter };
  }

  /** Lines of Prometheus' text format. */
  render(): readonly string[] {
    this.#forget();
    const lines: string[] = [];
    for (const [name, metric] of this.#metrics) {
      const [{ definition } = NO_DEFINITION] = metric;
      if (definition.help !== "")
        lines.push(`# HELP ${name} ${definition.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
      lines.push(`# TYPE ${name} ${definition.kind}`);
      for (const { definition: own, series, overflow } of metric) {
        for (const each of series.values()) lines.push(...renderSeries(name, own, each));
        if (overflow !== undefined) lines.push(...renderSeries(name, own, overflow));
      }
    }
    lines.push("# TYPE vespid_filter_measurements_dropped_total counter");
    lines.push(`vespid_filter_measurements_dropped_total ${this.dropped}`);
    return lines;
  }

  #findWrong(use: string, definitions: readonly MetricDefinition[]): string | undefined {
    let names = this.#metrics.size;
    for (const definition of definitions) {
      const { name, kind } = definition;
      const known = this.#metrics.get(name);
      if (known === undefined && ++names > METRICS_MAX)
        return `metric ${name} is one too many, limit is ${METRICS_MAX}`;
      for (const { use: other, definition: its } of known ?? []) {
        if (other === use && its.kind !== kind) return `metric ${name} was a ${its.kind}; a ${kind} needs another name`;
        if (other !== use && shapeOf(its) !== shapeOf(definition))
          return `metric ${name} is another filter's, which defines it otherwise`;
      }
    }
    return undefined;
  }

  #open(use: string, definition: MetricDefinition): Measured {
    const metric = this.#metrics.get(definition.name) ?? [];
    this.#metrics.set(definition.name, metric);
    const shape = shapeOf(definition);
    const known = metric.find((each) => each.use === use && shapeOf(each.definition) === shape);
    if (known !== undefined) return known;
    const measured = {
      definition,
      use,
      series: new Map(),
      overflow: undefined,
      meters: new Set<WeakRef<FilterMeter>>(),
    };
    metric.push(measured);
    return measured;
  }

  /** What no meter is left of: its filter was stopped, and its memory collected. */
  #forget(): void {
    for (const [name, metric] of this.#metrics) {
      const kept = metric.filter(({ meters }) => {
        for (const meter of meters) if (meter.deref() === undefined) meters.delete(meter);
        return meters.size > 0;
      });
      if (kept.length === 0) this.#metrics.delete(name);
      else if (kept.length < metric.length) this.#metrics.set(name, kept);
    }
  }

  #record(measured: Measured | undefined, value: number, labels: readonly string[]): void {
    if (measured === undefined || !Number.isFinite(value) || (measured.definition.kind === "counter" && value < 0)) {
      this.dropped++;
      return;
    }
    const { definition } = measured;
    const series = seriesOf(measured, labels);
    if (definition.kind === "gauge") series.value = value;
    else series.value += value;
    if (definition.kind !== "histogram") return;
    series.count++;
    const { buckets } = definition;
    for (let index = 0; index < buckets.length; index++) {
      if (value <= (buckets[index] ?? 0)) series.buckets[index] = (series.buckets[index] ?? 0) + 1;
    }
  }
}

const NO_DEFINITION: Pick<Measured, "definition"> = {
  definition: { name: "", kind: "counter", help: "", labels: [], buckets: [] },
};

function seriesOf(measured: Measured, given: readonly string[]): Series {
  const { series, definition } = measured;
  const values = definition.labels.map((_, index) => (given[index] ?? "").slice(0, VALUE_MAX_LENGTH));
  // A value may hold anything: joined, two lists of them could read alike.
  const key = values.length > 1 ? JSON.stringify(values) : (values[0] ?? "");
  const known = series.get(key);
  if (known !== undefined) return known;
  if (series.size >= SERIES_MAX) return (measured.overflow ??= newSeries(measured, () => "overflow"));
  const made = newSeries(measured, (index) => values[index] ?? "");
  series.set(key, made);
  return made;
}

function newSeries({ use, definition }: Measured, valueOf: (index: number) => string): Series {
  const labels = definition.labels.map((label, index) => [label, valueOf(index)] as const);
  return {
    labels: renderLabels([["filter", use], ...labels]),
    value: 0,
    count: 0,
    buckets: new Float64Array(definition.buckets.length),
  };
}

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
