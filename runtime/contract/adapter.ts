// Where rules send what they know of exchanges: backends that say whether a request may go on, how much may still be had,
// or keep what happened (Mixer's handlers).
import { z } from "zod";
import { BundleRef, type Manifest } from "./bundle.ts";
import { durationMs } from "./duration.ts";
import { FilterLimits, FilterUpstream, FilterUse } from "./filter.ts";

/** When an adapter is asked: before the request goes on, or once the exchange has ended. */
export const AdapterPhase = z.enum(["check", "quota", "report"]);
export type AdapterPhase = z.infer<typeof AdapterPhase>;

/** `host:port`; IPv6 in brackets. */
const Address = z
  .string()
  .max(260)
  .regex(/^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/u, {
    error: (issue) => `${JSON.stringify(issue.input)} is not an address such as "127.0.0.1:8125"`,
  });
const HttpPath = z
  .string()
  .max(2048)
  .regex(/^\/[\x21\x22\x24-\x7e]*$/u, { error: (issue) => `${JSON.stringify(issue.input)} is not a path` });
const HeaderValue = z
  .string()
  .max(4096)
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/u, { error: "a header value may hold no control character" });

/** How finished exchanges gather before they are sent. What comes while the queue is full is dropped and counted. */
export const ReportBatch = z
  .strictObject({
    /** A batch goes out when it has so many. Default `100`, as Mixer's. */
    entriesMax: z.int().min(1).max(10_000).default(100),
    /** … or so many bytes, roughly. Default 256 KiB. */
    bytesMax: z
      .int()
      .min(1024)
      .max(4 * 1024 * 1024)
      .default(256 * 1024),
    /** … or when its first has waited so long. Default `1s`, as Mixer's. */
    ageMs: durationMs(1000),
    /** Entries that may wait, in each worker, batches that are tried again included. Default `10_000`. */
    queueMax: z.int().min(1).max(1_000_000).default(10_000),
    /** … and their bytes, roughly. Default 16 MiB. */
    queueMaxBytes: z
      .int()
      .min(1024)
      .max(1024 * 1024 * 1024)
      .default(16 * 1024 * 1024),
  })
  .prefault({});
export type ReportBatch = z.infer<typeof ReportBatch>;

/** How long an answer is kept for the same values. */
const Caching = {
  /** `0`, the default, asks each time. */
  validForMs: durationMs(0),
  /** Uses of one answer. Default `10_000`. */
  validUses: z.int().min(1).max(1_000_000_000).default(10_000),
};

/** What a refusal is answered with. */
const Refusal = {
  /** Default `403`. */
  status: z.int().min(400).max(599).default(403),
  /** Body of the reply, plain text. Default none. */
  message: z.string().max(4096).default(""),
};

export const Stdout = z.strictObject({
  kind: z.literal("stdout"),
  stream: z.enum(["stdout", "stderr"]).default("stdout"),
  /** A file to append to, in the place of a stream. */
  file: z.string().min(1).optional(),
  batch: ReportBatch,
});

/** What becomes of an instance of a name. */
const StatsdMetric = z.strictObject({
  type: z.enum(["counter", "gauge", "histogram", "timing"]),
  /** Default: the instance's own. */
  name: z.string().min(1).max(200).optional(),
});

export const Statsd = z.strictObject({
  kind: z.literal("statsd"),
  /** Mixer's default. */
  address: Address.default("127.0.0.1:8125"),
  /** Goes before every name. Default none. */
  prefix: z.string().max(100).default(""),
  /** Metrics by the names of instances; an instance of another name is a counter. */
  metrics: z.record(z.string(), StatsdMetric).default({}),
  /** How attributes cross: `datadog` as `|#name:value,…`, which the collector and Datadog read; `none` leaves them out. */
  tags: z.enum(["none", "datadog"]).default("none"),
  /** Bytes of a datagram. Default `512`, as Mixer's: what passes any network whole. */
  packetMaxBytes: z.int().min(64).max(65_000).default(512),
  batch: ReportBatch,
});

/** Sums of a name go out as a metric; an instance of a name that is not here is a log record. */
const OtlpMetric = z.strictObject({
  type: z.enum(["counter", "gauge", "histogram"]),
  description: z.string().max(500).default(""),
  /** UCUM: `ms`, `By`, `1`. Default `1`. */
  unit: z.string().max(63).default("1"),
  /** Upper bounds of a histogram's buckets, rising. Default the OpenTelemetry SDK's. */
  bounds: z
    .array(z.number())
    .max(100)
    .default([0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000])
    .refine((bounds) => bounds.every((bound, index) => index === 0 || bound > (bounds[index - 1] ?? bound)), {
      error: "must rise",
    }),
});

export const Otlp = z.strictObject({
  kind: z.literal("otlp"),
  /** A collector that takes OTLP over HTTP (port 4318). */
  upstream: FilterUpstream,
  logsPath: HttpPath.default("/v1/logs"),
  metricsPath: HttpPath.default("/v1/metrics"),
  /** Fields of every request, for credentials. */
  headers: z.record(z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u), HeaderValue).default({}),
  /** Attributes of the resource, beside `service.name` and `service.namespace`. */
  resource: z.record(z.string(), z.string()).default({}),
  metrics: z.record(z.string(), OtlpMetric).default({}),
  batch: ReportBatch,
});

export const Fluentd = z.strictObject({
  kind: z.literal("fluentd"),
  /** Mixer's default. */
  address: Address.default("127.0.0.1:24224"),
  /** Before the instance's name: `vespid.access`. Default `vespid`. */
  tag: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,100}$/u)
    .default("vespid"),
  /** Each batch is kept until the server has said that it has it. Default `true`. */
  requireAck: z.boolean().default(true),
  timeoutMs: durationMs(5000),
  batch: ReportBatch,
});

export const Deny = z.strictObject({ kind: z.literal("deny"), ...Refusal });

export const List = z.strictObject({
  kind: z.literal("list"),
  /** `strings` compares exactly, `case_insensitive` without regard to case, `regex` is RE2's syntax and finds a part, `ip_addresses` are addresses and networks. */
  entryType: z.enum(["strings", "case_insensitive", "regex", "ip_addresses"]).default("strings"),
  /** `allow`, the default: only what is listed passes. `deny`: what is listed does not. */
  mode: z.enum(["allow", "deny"]).default("allow"),
  entries: z.array(z.string().min(1).max(2048)).max(100_000).default([]),
  /** A file of the proxy's machine, an entry a line (`#` begins a comment), read again every `refreshMs`. */
  file: z.string().min(1).optional(),
  /** The same from a service of the mesh. */
  url: z.strictObject({ upstream: FilterUpstream, path: HttpPath }).optional(),
  /** Default 30 s. */
  refreshMs: durationMs(30_000),
  /**
   * What was read last is used for so long while it cannot be read again; after that the adapter fails. At least twice
   * `refreshMs`. Default 5 min.
   */
  staleForMs: durationMs(300_000),
  ...Refusal,
});

/** How much there is for some, in the place of what there is for others. */
const QuotaOverride = z.strictObject({
  /** Values of the action's attributes, as text; all that are named must be equal. */
  dimensions: z.record(z.string(), z.string()),
  maxAmount: z.int().min(0).max(1_000_000_000),
});

const Quota = z.strictObject({
  maxAmount: z.int().min(0).max(1_000_000_000),
  /** The window in which so much may be had. Default 1 s. */
  validForMs: durationMs(1000),
  /**
   * `fixed_window` counts from one multiple of the window to the next, and lets twice as much pass around it;
   * `rolling_window` counts in ten parts of it, and never lets more pass. Default `rolling_window`.
   */
  algorithm: z.enum(["fixed_window", "rolling_window"]).default("rolling_window"),
  /** The first that fits holds. */
  overrides: z.array(QuotaOverride).max(1000).default([]),
});
export type Quota = z.infer<typeof Quota>;

export const RedisQuota = z.strictObject({
  kind: z.literal("redis_quota"),
  /** `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS. */
  url: z
    .string()
    .max(1024)
    .regex(/^rediss?:\/\/[^\s/]+(?:\/\d+)?$/u, { error: "is not an address such as redis://127.0.0.1:6379" }),
  /** By the names of instances. */
  quotas: z.record(z.string(), Quota),
  /** Before every key. Proxies that name it alike share their quotas. Default `vespid`. */
  prefix: z.string().min(1).max(100).default("vespid"),
  /** One charge. Default 100 ms. */
  timeoutMs: durationMs(100),
});

export const Opa = z.strictObject({
  kind: z.literal("opa"),
  /** An OPA server. */
  upstream: FilterUpstream,
  /** A document of its data: `/v1/data/mesh/allow`. Its result is a boolean, or an object with `allow`, `status`, `message`. */
  path: HttpPath,
  ...Caching,
  ...Refusal,
});

/**
 * An adapter of one's own (`defineAdapter` of the SDK), as control derived it. It runs in the sandbox, inside the same bounds
 * as a filter. How long an answer holds is what it says with it.
 */
export const FilterBackend = z.strictObject({
  kind: z.literal("filter"),
  bundle: BundleRef,
  /** Checked against its own schema. Default `{}`. */
  config: FilterUse.shape.config,
  limits: FilterLimits,
  /** One entry for each upstream that its manifest names. Default: none. */
  upstreams: FilterUse.shape.upstreams,
  /** Of what it is told of exchanges that are over. */
  batch: ReportBatch,
});

/** What the schema of a list's times cannot say. */
export function checkListTimes(
  { refreshMs, staleForMs }: Pick<z.infer<typeof List>, "refreshMs" | "staleForMs">,
  context: z.RefinementCtx,
): void {
  if (refreshMs < 100) context.addIssue({ code: "custom", path: ["refreshMs"], message: "must be at least 100ms" });
  if (staleForMs < 2 * refreshMs) {
    const message = "must be at least twice refreshMs, so that one failure to read it harms nobody";
    context.addIssue({ code: "custom", path: ["staleForMs"], message });
  }
}

/** What is behind an adapter. */
export const AdapterBackend = z.discriminatedUnion("kind", [
  Stdout,
  Statsd,
  Otlp,
  Fluentd,
  Deny,
  List.superRefine(checkListTimes),
  RedisQuota,
  Opa,
  FilterBackend,
]);
export type AdapterBackend = z.infer<typeof AdapterBackend>;
/** The configuration of one kind. */
export type BackendOf<Kind extends AdapterBackend["kind"]> = Extract<AdapterBackend, { kind: Kind }>;

/** One adapter, which any number of rules may use. */
export const Adapter = z.strictObject({
  /** Unique in the snapshot; metrics and logs carry it. */
  name: z.string().min(1).max(320),
  backend: AdapterBackend,
  /**
   * A request whose check or charge failed: `closed` answers 503, `open` lets it go on. Default `closed` for checks, `open`
   * for quotas. A report that fails never touches its exchange.
   */
  failurePolicy: z.enum(["closed", "open"]).optional(),
});
export type Adapter = z.infer<typeof Adapter>;

/** What rules may ask or tell a component; nothing where it is a filter. */
export function adapterPhasesOf({ phases }: Pick<Manifest, "phases">): readonly AdapterPhase[] {
  return AdapterPhase.options.filter((phase) => phases.includes(phase));
}

/** What an adapter of that backend is for: whatever its handlers are of, where it is one's own. */
export function phasesOf(backend: AdapterBackend): readonly AdapterPhase[] {
  switch (backend.kind) {
    case "stdout":
    case "statsd":
    case "otlp":
    case "fluentd":
      return ["report"];
    case "deny":
    case "list":
    case "opa":
      return ["check"];
    case "redis_quota":
      return ["quota"];
    case "filter":
      return adapterPhasesOf(backend.bundle.manifest);
  }
}

/** When an adapter of that backend is asked or told by an action; `undefined` where it is not for that, or the action must say. */
export function phaseOf(
  backend: AdapterBackend,
  { phase }: { readonly phase?: AdapterPhase | undefined },
): AdapterPhase | undefined {
  const phases = phasesOf(backend);
  if (phase !== undefined) return phases.includes(phase) ? phase : undefined;
  return phases.length === 1 ? phases[0] : undefined;
}

/** The clusters that a backend calls, by where it says so. */
export function upstreamsOf(backend: AdapterBackend): readonly (readonly [string, FilterUpstream])[] {
  switch (backend.kind) {
    case "opa":
    case "otlp":
      return [["upstream", backend.upstream]];
    case "list":
      return backend.url === undefined ? [] : [["url.upstream", backend.url.upstream]];
    case "filter":
      return Object.entries(backend.upstreams).map(([name, upstream]) => [`upstreams.${name}`, upstream]);
    case "stdout":
    case "statsd":
    case "fluentd":
    case "deny":
    case "redis_quota":
      return [];
  }
}
