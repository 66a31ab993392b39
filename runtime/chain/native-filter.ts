// From a filter of the proxy's own to one in the chain: configured, set up, its timers running.
import type { AnyFilter } from "../../sdk/define-filter.ts";
import { describeError } from "../../sdk/describe-error.ts";
import { createMeters } from "../../sdk/metric.ts";
import type { Logs } from "../../sdk/context.ts";
import type { LogLevel } from "../../sdk/wit/world.ts";
import type { MetricDefinition } from "../contract/bundle.ts";
import type { FilterUse } from "../contract/filter.ts";
import { createHostFunctions } from "../host/host-functions.ts";
import { createNativeShared } from "../host/native-shared.ts";
import type { SharedState } from "../host/shared-state.ts";
import { parseWith, type Parsed, type Problem } from "../contract/problem.ts";
import type { Clock, Schedule } from "../exchange/exchange.ts";
import type { Callout } from "./callout.ts";
import { compileWrites } from "./edits.ts";
import type { Filter } from "./filter.ts";
import type { DeclareMetrics } from "./meter.ts";
import { ITSELF } from "./native-call.ts";
import { NativeRunner } from "./native-runner.ts";
import { Operations } from "./operations.ts";
import { PhasedFilter, type Declared } from "./phased-filter.ts";
import { startTimers } from "./timers.ts";

/** Writes one line to the proxy's log. */
export type Log = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>) => void;

/** What filters of every kind use of the proxy. */
export interface FilterSurroundings {
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly log: Log;
  readonly callout: Callout;
  readonly declareMetrics: DeclareMetrics;
  readonly shared: SharedState;
}

/** In `upstreams` of a filter: whichever a use names. */
const EVERY_UPSTREAM = "*";
const NO_CONFIG = { ok: true, value: {} } as const;
const MESSAGE_MAX_LENGTH = 4096;

/** A native filter, or every problem of its configuration, by paths below the use (`config.realm`). */
export async function buildNativeFilter(
  filter: AnyFilter,
  use: FilterUse,
  surroundings: FilterSurroundings,
): Promise<Parsed<Filter>> {
  if (filter.instance !== undefined)
    return fault("source", `${filter.name} is an adapter: it sees no messages, rules ask it`);
  const writes = compileWrites(filter.writes);
  if (typeof writes === "string") return fault("source", writes);
  const runner = await buildNativeRunner(filter, use, surroundings);
  if (!runner.ok) return runner;
  return { ok: true, value: new PhasedFilter(use, declaredBy(filter), writes, runner.value, surroundings.clock) };
}

/** What calls its handlers, set up, or the same problems. */
export async function buildNativeRunner(
  filter: AnyFilter,
  use: FilterUse,
  surroundings: FilterSurroundings,
): Promise<Parsed<NativeRunner>> {
  const { schedule, log, callout, declareMetrics } = surroundings;
  const functions = createHostFunctions({ shared: () => surroundings.shared.scopeOf(use.name) });
  const config = filter.config === undefined ? NO_CONFIG : parseWith(filter.config, use.config, "config");
  const missing = missingUpstreams(filter.upstreams, use);
  if (!config.ok || missing.length > 0)
    return { ok: false, problems: [...(config.ok ? [] : config.problems), ...missing] };
  const meter = declareMetrics(use.name, definitionsOf(filter));
  if (!meter.ok) return fault("source", meter.error);
  const metrics = createMeters(filter.metrics, (name, value, labels) => meter.value.record(name, value, labels));
  const base = {
    config: config.value,
    state: undefined,
    log: logOf(use.name, log),
    metrics,
    shared: createNativeShared(functions, () => surroundings.shared.scopeOf(use.name)),
    host: ITSELF,
  };
  const runner = new NativeRunner({
    filter,
    use,
    base,
    operations: new Operations(use, callout, schedule),
    schedule,
  });
  try {
    await runner.background("setup", "");
  } catch (error) {
    // Its own message says what it could not do.
    return fault("config", `could not be set up: ${error instanceof Error ? error.message : String(error)}`);
  }
  runner.onStop = startTimers(
    filter.timers,
    (name) =>
      runner
        .background("timer", name)
        .catch((error: unknown) =>
          log("warn", "a filter's timer failed", { filter: use.name, timer: name, reason: describeError(error) }),
        ),
    schedule,
  );
  return { ok: true, value: runner };
}

/** Upstreams that the filter calls and its use leads nowhere, and the reverse. */
export function missingUpstreams(names: readonly string[], use: FilterUse): readonly Problem[] {
  const missing = names
    .filter((name) => name !== EVERY_UPSTREAM && !Object.hasOwn(use.upstreams, name))
    .map((name) => ({
      path: `upstreams.${name}`,
      message: "is missing: the filter calls it, and no cluster is named",
    }));
  const unknown = Object.keys(use.upstreams)
    .filter((name) => !names.includes(name) && !names.includes(EVERY_UPSTREAM))
    .map((name) => ({
      path: `upstreams.${name}`,
      message:
        names.length === 0 ? "is not called: the filter has no upstreams" : `is not called; ${names.join(", ")} are`,
    }));
  return [...missing, ...unknown];
}

/** Metrics as the manifest of a filter lists them. */
export function definitionsOf(filter: AnyFilter): readonly MetricDefinition[] {
  return Object.entries(filter.metrics).map(([name, metric]) => ({
    name,
    kind: metric.kind,
    help: metric.help,
    labels: [...metric.labels],
    buckets: metric.kind === "histogram" ? [...metric.buckets] : [],
  }));
}

function declaredBy({ reads, handlers, body, cacheable }: AnyFilter): Declared {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys that the type names
  const phases = Object.keys(handlers) as (keyof AnyFilter["handlers"])[];
  return { reads: [...reads], phases, body: { ...body }, cacheable };
}

function logOf(filter: string, log: Log): Logs {
  const at = (level: LogLevel) => (message: string, fields?: Readonly<Record<string, unknown>>) =>
    log(level, message.slice(0, MESSAGE_MAX_LENGTH), { ...fields, filter });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function fault(path: string, message: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path, message }] };
}
