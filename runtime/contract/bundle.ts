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

/** What a filter says of itself; made by `vespid filter build`, checked by control. */
export const Manifest = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/u, {
    error: "must be lower-case letters, digits and dashes, starting with a letter, 63 at most",
  }),
  /** The world that the component implements. */
  world: z.literal("vespid:filter/filter@2.0.0"),
  stage: Stage,
  /** Attributes and headers that cross into the filter (lower case): `:path`, `x-user`, `source.principal`. */
  reads: z.array(z.string().min(1)).max(100),
  /** Headers that it may set, add or remove (lower case). */
  writes: z.array(z.string().min(1)).max(100),
  /** Phases that it has a handler for. */
  phases: z.array(z.enum(["request", "response"])).min(1),
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
