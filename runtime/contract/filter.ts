// One use of a filter: which one, when it runs, with what configuration, inside which bounds.
import { z } from "zod";
import { BundleRef, Stage } from "./bundle.ts";

/** Bounds on one sandboxed filter. */
export const FilterLimits = z
  .strictObject({
    /** Loop turns and function entries that one call may spend. Default `10_000_000` (tens of milliseconds). */
    fuel: z.int().min(1000).max(1_000_000_000).default(10_000_000),
    /** Linear memory of the guest's engine, bytes, rounded up to 64 KiB. Default 16 MiB. */
    memoryMaxBytes: z
      .int()
      .min(2 * 1024 * 1024)
      .max(256 * 1024 * 1024)
      .default(16 * 1024 * 1024),
    /** From the beginning of a call to its verdict, where it waits for something. Default `5_000`. */
    deadlineMs: z.int().min(1).max(600_000).default(5000),
    /** Operations (`fetch`, `sleep`, reading a body) that one call may start. Default `32`. */
    operationsMax: z.int().min(0).max(10_000).default(32),
    /**
     * Bytes of a body that is read whole or replaced, of one answer of an upstream, and of what one chunk may become.
     * A longer request is answered 413, anything else fails the call. Default 1 MiB.
     */
    bodyMaxBytes: z
      .int()
      .min(0)
      .max(64 * 1024 * 1024)
      .default(1024 * 1024),
    /** Calls after which an instance is replaced by a fresh one, as also when it holds three quarters of its memory. Default `1_000_000`. */
    callsMax: z.int().min(1).max(1_000_000_000).default(1_000_000),
    /** Calls that may wait at once, in each worker; one more fails. Default `1_024`. */
    pendingMax: z.int().min(1).max(100_000).default(1024),
  })
  .prefault({});
export type FilterLimits = z.infer<typeof FilterLimits>;

/** `builtin` runs native, from `filters/` of the proxy itself; `bundle` runs sandboxed. */
export const FilterSource = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("builtin"), name: z.string().min(1) }),
  z.strictObject({ kind: z.literal("bundle"), bundle: BundleRef }),
]);
export type FilterSource = z.infer<typeof FilterSource>;

/** Where calls to one of a filter's upstreams go. */
export const FilterUpstream = z.strictObject({
  /** A cluster of the snapshot. */
  cluster: z.string().min(1),
  /** `Host` of the calls. Default: the cluster's service. */
  authority: z.string().min(1).max(255).optional(),
  /** The whole of one call, unless it asks for less. Default `1_000`. */
  timeoutMs: z.int().min(1).max(600_000).default(1000),
});
export type FilterUpstream = z.infer<typeof FilterUpstream>;

/** By what requests are told apart where some of them meet another version: an attribute, or a field in lower case. */
export const ChoiceKey = z.string().regex(/^(?:request\.id|source\.(?:ip|principal)|[a-z0-9!#$%&'*+\-^_`|~]+)$/u, {
  error: "must be request.id, source.ip, source.principal or a header's name in lower case",
});

/** Another version of a filter, on trial beside the live one. */
export const FilterCandidate = z.strictObject({
  /** Names this trial: another version, configuration, share or mode is another trial, whose counts begin at none. */
  trial: z.string().min(1).max(128),
  source: FilterSource,
  config: z.record(z.string(), z.unknown()).default({}),
  upstreams: z.record(z.string(), FilterUpstream).default({}),
  /**
   * `canary`: it decides in the live version's place for its share of the exchanges; where it fails, the live one decides.
   * `shadow`: it sees the heads that the live version sees, and nothing that it decides is done.
   */
  mode: z.enum(["canary", "shadow"]).default("canary"),
  /** Share of the exchanges. Default `100`. */
  percent: z.number().min(0).max(100).default(100),
  /** Exchanges that have it in common meet the same version; those without it go by `request.id`. Default `request.id`. */
  by: ChoiceKey.default("request.id"),
  /** A shadow's calls to its upstreams are made; without it they fail, as calls may change what they reach. Default `false`. */
  fetches: z.boolean().default(false),
});
export type FilterCandidate = z.infer<typeof FilterCandidate>;

/** A filter in a listener's chain. */
export const FilterUse = z.strictObject({
  /** Name of the use, unique in its chain; metrics and logs carry it. */
  name: z.string().min(1),
  source: FilterSource,
  stage: Stage,
  /** Inside a stage, higher runs first (as Istio's `WasmPlugin`). Default `0`. */
  priority: z.int().min(-2_147_483_648).max(2_147_483_647).default(0),
  /** Passed to the filter after its own schema checked it. Default `{}`. */
  config: z.record(z.string(), z.unknown()).default({}),
  /** What happens to a request whose filter failed: `closed` answers 503, `open` goes on as if it were absent. Default `closed`. */
  failurePolicy: z.enum(["closed", "open"]).default("closed"),
  limits: FilterLimits,
  /** One entry for each upstream that its manifest names. Default: none. */
  upstreams: z.record(z.string(), FilterUpstream).default({}),
  candidate: FilterCandidate.optional(),
});
export type FilterUse = z.infer<typeof FilterUse>;

/** How a version is called: a bundle by its digest, a filter of the proxy's own as `builtin/cors`. */
export function versionName(source: FilterSource): string {
  return source.kind === "bundle" ? source.bundle.digest : `builtin/${source.name}`;
}
