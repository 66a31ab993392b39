// A built filter: what its author pushed, and the files that control derived from it for proxies to load.
import { z } from "zod";

/** `sha256:` and 64 hex digits: the name of a thing by its content. */
export const Digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/u, {
    error: (issue) => `${JSON.stringify(issue.input)} is not a digest such as "sha256:<64 hex digits>"`,
  })
  .brand<"Digest">();
export type Digest = z.infer<typeof Digest>;

/** When a filter runs. Stages go in this order; inside one, by priority (higher first), then by name. */
export const STAGES = ["authn", "authz", "ratelimit", "transform", "observe"] as const;
export const Stage = z.enum(STAGES);
export type Stage = z.infer<typeof Stage>;

/** What a call of a filter may be about: the WIT's enum. */
export const Phase = z.enum([
  "request",
  "response",
  "request-trailers",
  "response-trailers",
  "log",
  "setup",
  "timer",
  "connection",
  "check",
  "quota",
  "report",
]);
export type Phase = z.infer<typeof Phase>;

/** What a filter wants of a body: nothing, all of it at once when it asks, or each piece as it comes. */
export const BodyMode = z.enum(["none", "buffer", "stream"]);
export type BodyMode = z.infer<typeof BodyMode>;

/** A metric of the filter's own, exposed under its name with the labels `filter` and these. */
export const MetricDefinition = z.strictObject({
  name: z.string().regex(/^(?!istio_|envoy_|vespid_)[a-z][a-z0-9_]{0,99}$/u, {
    error:
      "must be lower-case letters, digits and underscores, 100 at most, and begin with none of istio_, envoy_, vespid_",
  }),
  kind: z.enum(["counter", "gauge", "histogram"]),
  help: z.string().max(200).default(""),
  /** Names of labels; each set of values is a series of its own, 1000 at most. */
  labels: z
    .array(
      z
        .string()
        .regex(/^(?!filter$|le$)[a-z_][a-z0-9_]{0,49}$/u, { error: "must be a label's name, neither filter nor le" }),
    )
    .max(8)
    .default([]),
  /** Upper bounds of a histogram's buckets, rising. */
  buckets: z.array(z.number()).max(32).default([]),
});
export type MetricDefinition = z.infer<typeof MetricDefinition>;

/** What an attribute of an action is, as an adapter takes it: an instant is text (RFC 3339), a span a number of milliseconds. */
export const InstanceType = z.enum(["string", "number", "boolean", "map"]);
export type InstanceType = z.infer<typeof InstanceType>;

const NAME = /^[a-z][a-z0-9-]{0,62}$/u;
const NAME_RULE = "must be lower-case letters, digits and dashes, starting with a letter, 63 at most";

/** What a filter says of itself; made by `vespid filter build`, checked by control. */
export const Manifest = z.strictObject({
  name: z.string().regex(NAME, { error: NAME_RULE }),
  /** The world that the component implements. */
  world: z.literal("vespid:filter/filter@2.0.0"),
  stage: Stage,
  /**
   * Attributes and headers that cross into the filter (lower case): `:path`, `x-user`, `source.principal`. Of an adapter
   * (phases check, quota, report) attributes of the actions that ask it.
   */
  reads: z.array(z.string().min(1)).max(100),
  /** Headers that it may set, add or remove (lower case). */
  writes: z.array(z.string().min(1)).max(100),
  /** Phases that it has a handler for. */
  phases: z.array(Phase).min(1),
  body: z.strictObject({ request: BodyMode.default("none"), response: BodyMode.default("none") }).prefault({}),
  /** Upstreams that it may call, by its own names for them; each use says which cluster is meant. `*`: whichever a use names. */
  upstreams: z
    .array(z.string().regex(/^(?:\*|[a-z][a-z0-9-]{0,62})$/u, { error: `${NAME_RULE}, or "*"` }))
    .max(16)
    .default([]),
  metrics: z.array(MetricDefinition).max(64).default([]),
  /** Phase `timer` begins with `name` every so often, in each worker. */
  timers: z
    .array(z.strictObject({ name: z.string().min(1).max(63), everyMs: z.int().min(100).max(86_400_000) }))
    .max(8)
    .default([]),
  /** A verdict may say how long it holds; a head that was answered is then not asked about again. */
  cacheable: z.boolean().default(false),
  /** `request`: each exchange meets an instance as if nobody had used it. */
  isolation: z.enum(["shared", "request"]).default("shared"),
  /** Of an adapter: the types of an action's value and attributes. Default: whatever an action gives, as text. */
  instance: z
    .strictObject({
      /** Without it the adapter takes no value. */
      value: InstanceType.optional(),
      /** By the names in `reads`. */
      attributes: z.record(z.string(), InstanceType).default({}),
    })
    .optional(),
  /** JSON Schema of its config (draft 2020-12), from the author's zod schema. */
  configSchema: z.record(z.string(), z.unknown()),
});
export type Manifest = z.infer<typeof Manifest>;

/** One file of what a proxy loads. */
export const BundleFile = z.strictObject({
  /** File name that the loader looks it up by: `filter.core.wasm`, `filter.js`. */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/u),
  digest: Digest,
  sizeBytes: z
    .int()
    .min(0)
    .max(64 * 1024 * 1024),
});
export type BundleFile = z.infer<typeof BundleFile>;

/** A bundle as snapshots name it: everything in it is covered by the snapshot's version. */
export const BundleRef = z.strictObject({
  /** Digest of what the author pushed. */
  digest: Digest,
  manifest: Manifest,
  /** What control derived: metered core modules and the transpiled glue. Fetched by digest, verified, cached. */
  files: z.array(BundleFile).min(1).max(32),
});
export type BundleRef = z.infer<typeof BundleRef>;
