// Metrics of a filter's own: declared with their labels, counted by handlers, exposed by the proxy.

interface Definition<Label extends string> {
  readonly help: string;
  readonly labels: readonly Label[];
}

export interface CounterDefinition<Label extends string = string> extends Definition<Label> {
  readonly kind: "counter";
}
export interface GaugeDefinition<Label extends string = string> extends Definition<Label> {
  readonly kind: "gauge";
}
export interface HistogramDefinition<Label extends string = string> extends Definition<Label> {
  readonly kind: "histogram";
  readonly buckets: readonly number[];
}
export type AnyMetric = CounterDefinition | GaugeDefinition | HistogramDefinition;

export interface MetricInit<Label extends string> {
  /** What it counts, for whoever looks at `/stats/prometheus`. */
  readonly help?: string;
  readonly labels?: readonly Label[];
}

/** Counts up: `counter({ labels: ["reason"] })`. */
export function counter<const Label extends string>(init: MetricInit<Label> = {}): CounterDefinition<Label> {
  return { kind: "counter", help: init.help ?? "", labels: init.labels ?? [] };
}

/** Goes up and down. */
export function gauge<const Label extends string>(init: MetricInit<Label> = {}): GaugeDefinition<Label> {
  return { kind: "gauge", help: init.help ?? "", labels: init.labels ?? [] };
}

/** Counts how often a value was at most each of `buckets`, which rise. */
export function histogram<const Label extends string>(
  init: MetricInit<Label> & { readonly buckets: readonly number[] },
): HistogramDefinition<Label> {
  return { kind: "histogram", help: init.help ?? "", labels: init.labels ?? [], buckets: init.buckets };
}

/** A definition without labels says nothing of their names, so that any string would do. */
type Values<Label extends string> = string extends Label ? [] : [labels: Readonly<Record<Label, string>>];

/** What handlers have of a counter: `metrics.denied_total.inc({ reason: "missing" })`. */
export interface Counter<Label extends string> {
  inc(...labels: Values<Label>): void;
  /** By an amount of at least 0. */
  add(amount: number, ...labels: Values<Label>): void;
}
export interface Gauge<Label extends string> {
  set(value: number, ...labels: Values<Label>): void;
}
export interface Histogram<Label extends string> {
  observe(value: number, ...labels: Values<Label>): void;
}

type Meter<Metric> =
  Metric extends CounterDefinition<infer Label>
    ? Counter<Label>
    : Metric extends GaugeDefinition<infer Label>
      ? Gauge<Label>
      : Metric extends HistogramDefinition<infer Label>
        ? Histogram<Label>
        : never;
export type Meters<Metrics> = { readonly [Name in keyof Metrics]: Meter<Metrics[Name]> };

/** Takes one measurement: the metric's name, the value, its labels' values in the order of the definition. */
export type RecordMetric = (name: string, value: number, labels: readonly string[], kind: AnyMetric["kind"]) => void;

type AnyLabels = Readonly<Record<string, string>> | undefined;

/** Meters for definitions, each over `record`. */
export function createMeters(definitions: Readonly<Record<string, AnyMetric>>, record: RecordMetric): unknown {
  return Object.fromEntries(
    Object.entries(definitions).map(([name, { kind, labels }]) => {
      const take = (value: number, given: AnyLabels): void =>
        record(
          name,
          value,
          labels.map((label) => given?.[label] ?? ""),
          kind,
        );
      if (kind === "counter") {
        return [name, { inc: (given: AnyLabels) => take(1, given), add: take }];
      }
      return [name, kind === "gauge" ? { set: take } : { observe: take }];
    }),
  );
}
