// What an author writes. The types hold a filter to what it declares: a header outside `reads` does not compile, and
// neither does an edit outside `writes`. The host checks the same again when the filter runs.
import type { z } from "zod";
import type { BodyMode, BodyModes, BufferedBody, StreamedBody } from "./body.ts";
import type { ConnectionHandlers, FilterConnection } from "./connection.ts";
import type { FilterContext } from "./context.ts";
import type { FilterHeaders } from "./headers.ts";
import type { AttributeTypes, InstanceType } from "./instance.ts";
import type { AnyMetric } from "./metric.ts";
import type { Verdict } from "./verdict.ts";
import type { Attribute, Phase } from "./wit/world.ts";

/** When a filter runs: stages go in this order. */
export type Stage = "authn" | "authz" | "ratelimit" | "transform" | "observe";

/** A filter as its author defines it: what it may see, what it may change, and what it does. */
export interface FilterDefinition<
  Read extends string,
  Write extends string,
  Schema extends z.ZodType,
  State,
  Metrics extends Readonly<Record<string, AnyMetric>>,
  Upstream extends string,
  Modes extends BodyModes,
> {
  /** Lower-case letters, digits and dashes. */
  readonly name: string;
  readonly stage: Stage;
  /**
   * Attributes (`:path`, `source.ip`, `metadata.user`, …) and header fields (lower case) that the handlers see; `*` for
   * every field and `metadata.*` for every value of earlier filters, where only the configuration knows which. Default: none.
   */
  readonly reads?: readonly Read[];
  /**
   * Header fields (lower case) that the handlers may change; `:status` for the reply's status; `metadata.NAME` for a value
   * that later filters read and the access log shows; `*` for every field and `metadata.*` for every value, where only the
   * configuration knows which. Fields that frame a message (`content-length`, …) never. Default: none.
   */
  readonly writes?: readonly Write[];
  /** Checked when the filter is configured; handlers get its output. Default: an empty object. */
  readonly config?: Schema;
  /** Bodies that the handlers look at. Default: none of them. */
  readonly body?: Modes;
  /** Names of the services that the handlers call; each use of the filter says which those are. `*` for whichever a use names, where only the configuration knows. Default: none. */
  readonly upstreams?: readonly Upstream[];
  /** By the names under which they are exposed. Default: none. */
  readonly metrics?: Metrics;
  /** Verdicts may be kept: what handlers decide depends on nothing but what they read and the configuration. Default: no. */
  readonly cacheable?: boolean;
  /** `request`: nothing that one exchange leaves in the guest is there for another. Default `shared`. */
  readonly isolation?: "shared" | "request";
  /** Once for each instance, before its first request; what it returns is `state`. Throwing refuses the configuration. */
  readonly setup?: (context: Context<Schema, undefined, Metrics, Upstream>) => State | Promise<State>;
  /** By period (`"30s"`, `"5m"`), in each worker of a proxy. */
  readonly every?: Readonly<
    Record<string, (context: Context<Schema, State, Metrics, Upstream>) => undefined | void | Promise<undefined | void>>
  >;
  /** On the way down. */
  readonly request?: Handler<
    FilterRequest<Read, Write> & BodyOf<Modes["request"]>,
    Context<Schema, State, Metrics, Upstream>
  >;
  /** On the way up. */
  readonly response?: Handler<
    FilterResponse<Read, Write> & BodyOf<Modes["response"]>,
    Context<Schema, State, Metrics, Upstream>
  >;
  /** What followed the request's body, where there is something. */
  readonly requestTrailers?: Observer<
    FilterTrailers<Read, Write>,
    Omit<Context<Schema, State, Metrics, Upstream>, "fetch" | "sleep">
  >;
  /** What followed the reply's body, where there is something. */
  readonly responseTrailers?: Observer<
    FilterTrailers<Read, Write>,
    Omit<Context<Schema, State, Metrics, Upstream>, "fetch" | "sleep">
  >;
  /**
   * A connection whose bytes are not HTTP, before an upstream is connected. Returns handlers of its bytes, or nothing where
   * they go on unseen; what it keeps for the connection it keeps in its own variables.
   */
  readonly tcp?: ConnectionHandler<FilterConnection<Read, Write, Upstream>, Context<Schema, State, Metrics, Upstream>>;
  /** After the last byte of an exchange. Its `status` and its attributes (`response.flags`, …) are those of the whole exchange. */
  readonly log?: Observer<FilterLogEntry<Read>, Context<Schema, State, Metrics, Upstream>>;
}

type Context<Schema extends z.ZodType, State, Metrics, Upstream extends string> = FilterContext<
  z.output<Schema>,
  State,
  Metrics,
  Upstream
>;

/** Decides on one message. Returning nothing is `proceed`; throwing fails the call, and the failure policy decides. */
export type Handler<Message, Of> = (message: Message, context: Of) => Answer | Promise<Answer>;

/** Decides on one connection. Throwing fails the call, and the failure policy decides. */
export type ConnectionHandler<Connection, Of> = (
  connection: Connection,
  context: Of,
) => ConnectionHandlers | Nothing | Promise<ConnectionHandlers | Nothing>;

/** Looks at something that it cannot decide about. */
type Observer<Message, Of> = (message: Message, context: Of) => Nothing | Promise<Nothing>;
// oxlint-disable-next-line typescript/no-invalid-void-type -- A handler without `return` is the common one.
type Nothing = undefined | void;

// oxlint-disable-next-line typescript/no-invalid-void-type -- As above.
type Answer = Verdict | undefined | void;

type BodyOf<Mode> = Mode extends "buffer"
  ? { readonly body: BufferedBody }
  : Mode extends "stream"
    ? { readonly body: StreamedBody }
    : unknown;

/** Attributes that a message offers as properties of their own, where `reads` declares them. */
interface NamedAttributes {
  readonly ":method": { readonly method: string };
  readonly ":path": { readonly path: string };
  readonly ":authority": { readonly authority: string };
}

type ReadNames<Read extends string> = "*" extends Read ? string : Exclude<Read, Attribute>;
type AttributeNames<Read extends string> =
  | Extract<Read, Attribute>
  | ("metadata.*" extends Read ? `metadata.${string}` : never);
type MetadataNames<Write extends string> = "metadata.*" extends Write
  ? `metadata.${string}`
  : Extract<Write, `metadata.${string}`>;
type FieldNames<Write extends string> = "*" extends Write ? string : Exclude<Write, Attribute>;
type Declared<Read extends string> = UnionToIntersection<NamedAttributes[Extract<Read, keyof NamedAttributes>]>;
type UnionToIntersection<Union> = (Union extends unknown ? (part: Union) => void : never) extends (
  whole: infer Whole,
) => void
  ? Whole
  : never;

/** What both messages have. */
interface FilterMessage<Read extends string, Write extends string> {
  readonly headers: FilterHeaders<ReadNames<Read>, FieldNames<Write>>;
  /** An attribute by name; `undefined` where it is not known. */
  attribute(name: AttributeNames<Read>): string | undefined;
  /** Leaves a value for later filters and the access log. */
  setAttribute(name: MetadataNames<Write>, value: string): void;
}

/** A request's declared part. `method`, `path` and `authority` are there where `reads` names `:method`, `:path`, `:authority`. */
export type FilterRequest<Read extends string, Write extends string> = Declared<Read> & FilterMessage<Read, Write>;

type Status<Read extends string, Write extends string> = ":status" extends Write
  ? { status: number }
  : ":status" extends Read
    ? { readonly status: number }
    : unknown;

/** A reply's declared part. `status` is there where `reads` or `writes` names `:status`, and can be set where `writes` does. */
export type FilterResponse<Read extends string, Write extends string> = Status<Read, Write> &
  FilterMessage<Read, Write> & {
    /** The request that this answers, as it went up the chain; its edits are over. */
    readonly request: FilterRequest<Read, never>;
  };

/** What followed a body. */
export interface FilterTrailers<Read extends string, Write extends string> {
  readonly headers: FilterHeaders<ReadNames<Read>, FieldNames<Write>>;
  /** An attribute of the exchange. */
  attribute(name: AttributeNames<Read>): string | undefined;
}

/** An exchange that is over. */
export type FilterLogEntry<Read extends string> = FilterResponse<Read, never>;

/** A filter of any shape, as builders and hosts take it. */
export type AnyFilter = Readonly<{
  name: string;
  stage: Stage;
  reads: readonly string[];
  writes: readonly string[];
  config: z.ZodType | undefined;
  body: Readonly<{ request: BodyMode; response: BodyMode }>;
  upstreams: readonly string[];
  metrics: Readonly<Record<string, AnyMetric>>;
  timers: readonly Readonly<{ name: string; everyMs: number }>[];
  cacheable: boolean;
  isolation: "shared" | "request";
  /** Of an adapter: what it takes of a rule's action. */
  instance?: Readonly<{ attributes: AttributeTypes; value?: InstanceType }>;
  /** By phase; `timer` is the handler of all of `timers`, which gets the name first. Those of an adapter get the head. */
  handlers: Readonly<Partial<Record<Phase, AnyHandler>>>;
}>;

/** A handler once its types have done their work: whoever calls it builds the message from what was declared. A method's type, since those accept any handler. */
export type AnyHandler = { handle(message: unknown, context: unknown): unknown }["handle"];

export interface NoMetrics {
  readonly [name: string]: never;
}

/** Defines a filter. Give it to `export default` in the filter's own file. Throws where a period is none. */
export function defineFilter<
  const Read extends Attribute | (string & {}) = never,
  const Write extends string = never,
  Schema extends z.ZodType = z.ZodObject,
  State = undefined,
  const Metrics extends Readonly<Record<string, AnyMetric>> = NoMetrics,
  const Upstream extends string = never,
  const Modes extends BodyModes = BodyModes,
>(definition: FilterDefinition<Read, Write, Schema, State, Metrics, Upstream, Modes>): AnyFilter {
  const reads: readonly string[] = definition.reads ?? [];
  const writes: readonly string[] = definition.writes ?? [];
  // What may be set may be read: `response.status += 1` would otherwise start from nothing.
  const needsStatus = writes.includes(":status") && !reads.includes(":status");
  const { setup, every = {}, request, response, requestTrailers, responseTrailers, tcp, log } = definition;
  const timers = timersOf(every);
  return {
    name: definition.name,
    stage: definition.stage,
    reads: needsStatus ? [...reads, ":status"] : reads,
    writes,
    config: definition.config,
    body: { request: definition.body?.request ?? "none", response: definition.body?.response ?? "none" },
    upstreams: definition.upstreams ?? [],
    metrics: definition.metrics ?? {},
    timers,
    cacheable: definition.cacheable ?? false,
    isolation: definition.isolation ?? "shared",
    handlers: {
      ...(setup && { setup: (_: unknown, context: never) => setup(context) }),
      ...(timers.length > 0 && { timer: (name: string, context: never) => every[name]?.(context) }),
      ...(request && { request }),
      ...(response && { response }),
      ...(requestTrailers && { "request-trailers": requestTrailers }),
      ...(responseTrailers && { "response-trailers": responseTrailers }),
      ...(tcp && { connection: tcp }),
      ...(log && { log }),
    },
  };
}

/** The timers of `every`. Throws where a period is none. */
export function timersOf(every: Readonly<Record<string, unknown>>): AnyFilter["timers"] {
  return Object.keys(every).map((name) => ({ name, everyMs: periodOf(name) }));
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function periodOf(text: string): number {
  const [, amount = "", unit = ""] = /^(\d{1,6})(ms|s|m|h)$/u.exec(text) ?? [];
  const everyMs = Number(amount) * (UNIT_MS[unit] ?? 0);
  if (everyMs < 100 || everyMs > 86_400_000)
    throw new TypeError(`every: ${JSON.stringify(text)} is not a period such as "30s", of 100ms to 24h`);
  return everyMs;
}
