// Our `Filter`: one use of a filter in the chains of some proxies.
import { z } from "zod";
import { Digest, Stage } from "../../runtime/contract/bundle.ts";
import { FilterCandidate, FilterUpstream, FilterUse } from "../../runtime/contract/filter.ts";
import { Duration, Host, Labels, Port } from "./fields.ts";

/**
 * Filters that every proxy has: where each runs when a `Filter` does not say. What costs least refuses first; CORS goes before
 * what asks for credentials, since a browser's preflight carries none.
 */
export const BUILTINS = {
  "ip-list": { stage: "authn", priority: 300 },
  "body-limit": { stage: "authn", priority: 200 },
  cors: { stage: "authn", priority: 100 },
  "api-key": { stage: "authn", priority: 0 },
  "basic-auth": { stage: "authn", priority: 0 },
  jwt: { stage: "authn", priority: -100 },
  "ext-auth": { stage: "authz", priority: 0 },
  "redis-guard": { stage: "authz", priority: 0 },
  "rate-limit": { stage: "ratelimit", priority: 0 },
  fault: { stage: "transform", priority: 300 },
  compress: { stage: "transform", priority: 200 },
  // What the service gets, once it is decompressed.
  "request-validate": { stage: "transform", priority: 150 },
  // Behind what decompresses requests, and before what compresses replies.
  redact: { stage: "transform", priority: 100 },
  "header-rewrite": { stage: "transform", priority: 0 },
} as const;
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the object above
const NAMES = Object.keys(BUILTINS) as (keyof typeof BUILTINS)[];

/** Where calls to a service go: to one of a filter's upstreams, or to what is behind an adapter. */
export const Upstream = z.strictObject({
  /** A short name is of the resource's own namespace. */
  host: Host.refine((host) => !host.startsWith("*"), {
    error: (issue) => `${JSON.stringify(issue.input)} is a wildcard, must be one service`,
  }),
  /** Needed where the host has several ports. */
  port: Port.optional(),
  /** Of a DestinationRule of the host. */
  subset: z.string().min(1).optional(),
  /** The whole of one call, unless it asks for less. Default 1 s, at most 10 min. */
  timeout: Duration.refine((ms) => ms >= 1 && ms <= 600_000, { error: "must be 1ms to 10m" }).optional(),
  /** `Host` of the calls. Default: the host. */
  authority: FilterUpstream.shape.authority,
});
export type Upstream = z.infer<typeof Upstream>;

/** When a candidate is rolled back by itself. */
const RollbackBounds = z
  .strictObject({
    /** Above this part of its calls failing. Default `0.05`. */
    failureRate: z.number().min(0).max(1).default(0.05),
    /** Above this 99th percentile of its calls' spans. Default: no bound. */
    latency: Duration.optional(),
    /** Above this many times the live version's mean span. Default: no bound. */
    latencyRatio: z.number().min(1).max(1000).optional(),
    /** Calls that a window must have before anything is said of it. Default `20`. */
    calls: z.int().min(1).max(1_000_000).default(20),
    /** Calls of all proxies in this span are looked at. Default 1 min. */
    window: Duration.refine((ms) => ms >= 1000 && ms <= 3_600_000, { error: "must be 1s to 1h" }).default(60_000),
  })
  .prefault({});
export type RollbackBounds = z.infer<typeof RollbackBounds>;

/** Another version on trial beside the live one. */
export const Candidate = z.strictObject({
  /** Default: the live version's, for another configuration of the same. */
  bundle: Digest.optional(),
  /** Default: the live version's. */
  config: FilterUse.shape.config.unwrap().optional(),
  /** `canary`: decides for its share of the requests. `shadow`: looks on, and nothing of it is applied. Default `canary`. */
  mode: FilterCandidate.shape.mode,
  /** Default `100`. */
  percent: FilterCandidate.shape.percent,
  /** Requests that have it in common meet the same version: `request.id`, `source.ip`, `source.principal` or a header. Default `request.id`. */
  by: FilterCandidate.shape.by,
  /** Whether a shadow's calls to its upstreams are made. Default `false`. */
  fetches: FilterCandidate.shape.fetches,
  rollback: RollbackBounds,
});
export type Candidate = z.infer<typeof Candidate>;

/** The proxies that something is for. */
export const Selector = z
  .strictObject({
    /** Services, as proxies name theirs by `--service`. None: every service of the namespace. */
    services: z.array(z.string().min(1)).default([]),
    /** Labels that the proxy must have. */
    labels: Labels.default({}),
    /** `inbound`: requests to the service. `outbound`: requests that it makes. Default `inbound`. */
    direction: z.enum(["inbound", "outbound"]).default("inbound"),
  })
  .prefault({});

/** `spec` of a `Filter`. */
export const FilterSpec = z
  .strictObject({
    /** What `vespid filter push` printed. Either this or `builtin`. */
    bundle: Digest.optional(),
    /** Runs native in the proxy. */
    builtin: z
      .enum(NAMES, {
        error: (issue) => `${JSON.stringify(issue.input)} is not a built-in filter; these are: ${NAMES.join(", ")}`,
      })
      .optional(),
    /** Default: the stage that the filter was written for. */
    stage: Stage.optional(),
    /** Inside a stage, higher runs first. Default: the built-in filter's own, else `0`. */
    priority: FilterUse.shape.priority.unwrap().optional(),
    selector: Selector,
    /** Checked against the filter's own schema. Default `{}`. */
    config: FilterUse.shape.config,
    /** A request whose filter failed: `closed` answers 503, `open` goes on without it. Default `closed`. */
    failurePolicy: FilterUse.shape.failurePolicy,
    limits: FilterUse.shape.limits,
    /** By the filter's own names for them, each of which its manifest lists. */
    upstreams: z.record(z.string(), Upstream).default({}),
    candidate: Candidate.optional(),
  })
  .superRefine(({ bundle, builtin, candidate }, context) => {
    if ((bundle === undefined) === (builtin === undefined)) {
      context.addIssue({ code: "custom", message: "must have either bundle or builtin" });
    }
    if (candidate === undefined) return;
    if (candidate.bundle === undefined && candidate.config === undefined) {
      context.addIssue({ code: "custom", path: ["candidate"], message: "must have a bundle or a config of its own" });
    }
    if (candidate.bundle !== undefined && bundle === undefined) {
      const message = "cannot take a built-in filter's place; a built-in's candidate is another config";
      context.addIssue({ code: "custom", path: ["candidate", "bundle"], message });
    }
  });
export type FilterSpec = z.infer<typeof FilterSpec>;
