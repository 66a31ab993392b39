// Where measurements of filters go; `telemetry/filter-metrics.ts` keeps them.
import type { MetricDefinition } from "../contract/bundle.ts";
import type { Result } from "../exchange/failure.ts";

/** Takes measurements of one use of a filter. */
export interface FilterMeter {
  /** One measurement; what fits no definition is dropped and counted. `labels` are in the definition's order. */
  record(name: string, value: number, labels: readonly string[]): void;
}

/** Declares the metrics of a use, or says why they cannot stand beside those of others. */
export type DeclareMetrics = (use: string, definitions: readonly MetricDefinition[]) => Result<FilterMeter, string>;

/** For filters that measure nothing. */
export const NO_METER: FilterMeter = { record: () => undefined };
