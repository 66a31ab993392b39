// Our `Filter`: one use of a filter in the chains of some proxies.
import { z } from "zod";
import { Digest, Stage } from "../../runtime/contract/bundle.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import { Labels } from "./fields.ts";

/** Filters that every proxy has, and the stage of each where a `Filter` names none. CORS answers preflights, which carry no credentials, so it comes before authentication in its stage. */
export const BUILTIN_STAGES = { cors: "authn", "basic-auth": "authn", "header-rewrite": "transform" } as const;
const BUILTINS = ["cors", "basic-auth", "header-rewrite"] as const;

/** `spec` of a `Filter`. */
export const FilterSpec = z
  .strictObject({
    /** What `vespid filter push` printed. Either this or `builtin`. */
    bundle: Digest.optional(),
    /** Runs native in the proxy. */
    builtin: z
      .enum(BUILTINS, {
        error: (issue) => `${JSON.stringify(issue.input)} is not a built-in filter; these are: ${BUILTINS.join(", ")}`,
      })
      .optional(),
    /** Default: the stage that the filter was written for. */
    stage: Stage.optional(),
    priority: FilterUse.shape.priority,
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
  })
  .superRefine(({ bundle, builtin }, context) => {
    if ((bundle === undefined) === (builtin === undefined)) {
      context.addIssue({ code: "custom", message: "must have either bundle or builtin" });
    }
  });
export type FilterSpec = z.infer<typeof FilterSpec>;
