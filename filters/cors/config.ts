// Istio's `CorsPolicy`, as written for it.
import { z } from "../../sdk/index.ts";
import { compileOrigins } from "./origins.ts";

const token = z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u, "is not a token such as GET or x-header");

/** One way to compare an origin. `regex` must match the whole of it. */
const StringMatch = z.union([
  z.strictObject({ exact: z.string() }),
  z.strictObject({ prefix: z.string().min(1) }),
  z.strictObject({ regex: z.string().min(1).max(1024) }),
]);

export const Config = z.strictObject({
  /** Origins that may read replies; `exact: "*"` is every one. The origin that matched is echoed. */
  allowOrigins: z.array(StringMatch).transform((matches, context) => {
    const allows = compileOrigins(matches);
    if (typeof allows !== "string") return allows;
    context.addIssue({ code: "custom", message: allows });
    return z.NEVER;
  }),
  /** Methods for `Access-Control-Allow-Methods`. Default: the header is left out. */
  allowMethods: z.array(token).default([]),
  /** Headers for `Access-Control-Allow-Headers`. Default: the header is left out. */
  allowHeaders: z.array(token).default([]),
  /** Headers that scripts may read. Default: none. */
  exposeHeaders: z.array(token).default([]),
  /** How long a preflight may be remembered: `"24h"`. Default: the header is left out. */
  maxAge: z
    .string()
    .regex(/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/u, `is not a duration such as "24h"`)
    .transform(secondsOf)
    .optional(),
  /** Whether requests may carry credentials. Default `false`. */
  allowCredentials: z.boolean().default(false),
  /** What becomes of a preflight from another origin: `FORWARD` to the service (the default), or `IGNORE`: answered 200 here without CORS headers. */
  unmatchedPreflights: z.enum(["UNSPECIFIED", "FORWARD", "IGNORE"]).default("FORWARD"),
});
export type Config = z.output<typeof Config>;

function secondsOf(duration: string): number {
  const units: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };
  let seconds = 0;
  for (const [, amount, unit = "s"] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/gu))
    seconds += Number(amount) * (units[unit] ?? 1);
  return Math.floor(seconds);
}
