// Our `Filter`: one use of a filter in the chains of some proxies.
import { z } from "zod";
import { Digest, Stage } from "../../runtime/contract/bundle.ts";
import { FilterUpstream, FilterUse } from "../../runtime/contract/filter.ts";
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
  "ext-auth": { stage: "authz", priority: 0 },
  "rate-limit": { stage: "ratelimit", priority: 0 },
  fault: { stage: "transform", priority: 300 },
  "header-rewrite": { stage: "transform", priority: 0 },
} as const;
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the object above
const NAMES = Object.keys(BUILTINS) as (keyof typeof BUILTINS)[];

/** Where calls to one of a filter's upstreams go. */
const Upstream = z.strictObject({
  /** A short name is of the Filter's own namespace. */
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
    selector: z
      .strictObject({
        /** Services, as proxies name theirs by `--service`. None: every service of the namespace. */
        services: z.array(z.string().min(1)).default([]),
        /** Labels that the proxy must have. */
        labels: Labels.default({}),
        /** `inbound`: requests to the service. `outbound`: requests that it makes. Default `inbound`. */
        direction: z.enum(["inbound", "outbound"]).default("inbound"),
      })
      .prefault({}),
    /** Checked against the filter's own schema. Default `{}`. */
    config: FilterUse.shape.config,
    /** A request whose filter failed: `closed` answers 503, `open` goes on without it. Default `closed`. */
    failurePolicy: FilterUse.shape.failurePolicy,
    limits: FilterUse.shape.limits,
    /** By the filter's own names for them, each of which its manifest lists. */
    upstreams: z.record(z.string(), Upstream).default({}),
  })
  .superRefine(({ bundle, builtin }, context) => {
    if ((bundle === undefined) === (builtin === undefined)) {
      context.addIssue({ code: "custom", message: "must have either bundle or builtin" });
    }
  });
export type FilterSpec = z.infer<typeof FilterSpec>;
