// What an author of an adapter writes: Mixer's check, quota and report as handlers of what rules ask and tell. It lowers to
// what a filter is, and is built, pushed, bounded and run as one.
import type { z } from "zod";
import { readAnswer, type AdapterAnswer, type Allowed, type Granted, type Refused } from "./adapter-answer.ts";
import type { FilterContext } from "./context.ts";
import { timersOf, type AnyFilter, type AnyHandler, type NoMetrics } from "./define-filter.ts";
import {
  compileShape,
  readInstance,
  readInstances,
  readQuotaInstance,
  type AdapterInstance,
  type AttributeTypes,
  type InstanceType,
  type QuotaInstance,
} from "./instance.ts";
import type { AnyMetric } from "./metric.ts";

/** An adapter as its author defines it: what it takes of a rule's action, and what it makes of it. */
export interface AdapterDefinition<
  Reads extends AttributeTypes,
  Value extends InstanceType,
  Schema extends z.ZodType,
  State,
  Metrics extends Readonly<Record<string, AnyMetric>>,
  Upstream extends string,
> {
  /** Lower-case letters, digits and dashes. */
  readonly name: string;
  /**
   * Attributes of an action by the adapter's own names for them (lower-case letters, digits, `.`, `-`, `_`), and what they
   * are. A rule says which expression each is; one that gives another type is refused. Default: none.
   */
  readonly reads?: Reads;
  /** What the action's value is, of a check or report. Default: it takes none. Of a quota the value is the amount. */
  readonly value?: Value;
  /** Checked when the adapter is configured; handlers get its output. Default: an empty object. */
  readonly config?: Schema;
  /** Names of the services that the handlers call; each `Adapter` says which those are. `*` for whichever one names. Default: none. */
  readonly upstreams?: readonly Upstream[];
  /** By the names under which they are exposed. Default: none. */
  readonly metrics?: Metrics;
  /** `request`: each call has an instance of its own, which engines without cheap instances refuse. Default `shared`. */
  readonly isolation?: "shared" | "request";
  /** Once for each instance, before anything is asked; what it returns is `context.state`. */
  readonly setup?: (
    context: Omit<FilterContext<z.output<Schema>, undefined, Metrics, Upstream>, "state">,
  ) => State | Promise<State>;
  /** What is done every so often in each worker, by period: `"30s"`, `"5m"`; 100 ms to 24 h. */
  readonly every?: Readonly<
    Record<string, (context: Context<Schema, State, Metrics, Upstream>) => Nothing | Promise<Nothing>>
  >;
  /** Whether a request may go on. Throwing fails the call, and the failure policy decides: by default 503. */
  readonly check?: (
    instance: AdapterInstance<Reads, Value>,
    context: Context<Schema, State, Metrics, Upstream>,
  ) => Allowed | Refused | Promise<Allowed | Refused>;
  /** How much of an amount may be had. Throwing fails the call, and the failure policy decides: by default the request goes on. */
  readonly quota?: (
    instance: QuotaInstance<Reads>,
    context: Context<Schema, State, Metrics, Upstream>,
  ) => Granted | Refused | Promise<Granted | Refused>;
  /**
   * Takes what rules tell of exchanges that are over, a batch of them. Throwing, or not being done in time, has the batch
   * told again after a while; `refuse()` drops it.
   */
  readonly report?: (
    instances: readonly AdapterInstance<Reads, Value>[],
    context: Context<Schema, State, Metrics, Upstream>,
  ) => Refused | Nothing | Promise<Refused | Nothing>;
}

type Context<Schema extends z.ZodType, State, Metrics, Upstream extends string> = FilterContext<
  z.output<Schema>,
  State,
  Metrics,
  Upstream
>;

// oxlint-disable-next-line typescript/no-invalid-void-type -- A handler without `return` is the common one.
type Nothing = undefined | void;

/** Defines an adapter. Give it to `export default` in the adapter's own file. Throws where a period is none. */
export function defineAdapter<
  const Reads extends AttributeTypes = NoAttributes,
  const Value extends InstanceType = never,
  Schema extends z.ZodType = z.ZodObject,
  State = undefined,
  const Metrics extends Readonly<Record<string, AnyMetric>> = NoMetrics,
  const Upstream extends string = never,
>(definition: AdapterDefinition<Reads, Value, Schema, State, Metrics, Upstream>): AnyFilter {
  const { name, value, config, setup, every = {}, check, quota, report } = definition;
  const reads: AttributeTypes = definition.reads ?? {};
  const shape = compileShape(reads, value);
  const timers = timersOf(every);
  return {
    name,
    // Where rules ask, and where they tell.
    stage: check === undefined && quota === undefined ? "observe" : "ratelimit",
    reads: Object.keys(reads),
    writes: [],
    config,
    body: { request: "none", response: "none" },
    upstreams: definition.upstreams ?? [],
    metrics: definition.metrics ?? {},
    timers,
    cacheable: false,
    isolation: definition.isolation ?? "shared",
    instance: { attributes: reads, ...(value === undefined ? {} : { value }) },
    handlers: {
      ...(setup && { setup: (_: unknown, context: never) => setup(context) }),
      ...(timers.length > 0 && { timer: (timer: string, context: never) => every[timer]?.(context) }),
      ...(check && { check: lower("check", check, (head) => readInstance(head, shape)) }),
      ...(quota && { quota: lower("quota", quota, (head) => readQuotaInstance(head, shape)) }),
      ...(report && { report: lower("report", report, (head) => readInstances(head, shape)) }),
    },
  };
}

interface NoAttributes {
  readonly [name: string]: never;
}

/** From the author's handler to one of lines, whose answer was checked; at once where the author's answers at once. */
function lower(phase: "check" | "quota" | "report", handle: AnyHandler, read: (head: string) => unknown): AnyHandler {
  return (head: string, context: unknown): AdapterAnswer | Promise<AdapterAnswer> => {
    const given = handle(read(head), context);
    return given instanceof Promise ? given.then((late) => readAnswer(phase, late)) : readAnswer(phase, given);
  };
}
