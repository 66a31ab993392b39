// How many requests, of whom, in how long.
import { duration, z } from "../../sdk/index.ts";
import { compileBucket } from "./bucket.ts";

const fieldName = z
  .string()
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u, "is not a header name")
  .transform((name) => name.toLowerCase());
const metadataName = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/u, "is not the name of a value such as plan");

/** What tells who shares a limit. A request that lacks one of its parts is not under the limit. */
const KeyPart = z
  .strictObject({
    /** `ip`: the client's address; `principal`: the SPIFFE ID of the peer; `path`, without the query; `method`. */
    by: z.enum(["ip", "principal", "path", "method"]).optional(),
    header: fieldName.optional(),
    /** A value of an earlier filter, as `api-key` and `jwt` leave them. */
    metadata: metadataName.optional(),
  })
  .refine(
    ({ by, header, metadata }) => [by, header, metadata].filter((part) => part !== undefined).length === 1,
    "must have one of by, header and metadata",
  );
export type KeyPart = z.output<typeof KeyPart>;

const Limit = z
  .strictObject({
    /** In metrics, and part of the counters' keys: counts go on where it stays the same. */
    name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/u, "must be lower-case letters, digits, dashes and underscores"),
    /** Default: none, all requests share it. */
    key: z.array(KeyPart).max(8).default([]),
    /** `token_bucket` spreads requests evenly and allows `burst` at once; `fixed_window` counts from the beginning of each `per`. Default `token_bucket`. */
    algorithm: z.enum(["token_bucket", "fixed_window"]).default("token_bucket"),
    requests: z.int().min(1).max(1_000_000_000),
    /** `"1s"`, `"1m"`, … up to a day. */
    per: duration({ minMs: 100, maxMs: 86_400_000 }),
    /** Requests that a bucket holds when nobody came for long. Default: `requests`. */
    burst: z.int().min(1).max(1_000_000_000).optional(),
    /** Which requests are under the limit. Default: all. */
    when: z
      .strictObject({
        /** Beginning of the path. */
        path: z.string().startsWith("/").optional(),
        method: z.string().optional(),
        headers: z.record(fieldName, z.string()).default({}),
        metadata: z.record(metadataName, z.string()).default({}),
      })
      .prefault({}),
  })
  .transform((limit, context) => {
    const bucket = limit.algorithm === "token_bucket" ? compileBucket(limit) : undefined;
    if (typeof bucket !== "string") return { ...limit, bucket };
    context.addIssue({ code: "custom", path: ["requests"], message: bucket });
    return z.NEVER;
  });
export type Limit = z.output<typeof Limit>;

export const Config = z.strictObject({
  /** A request must be within each of them; the first that it is not within refuses it. */
  limits: z
    .array(Limit)
    .min(1)
    .max(32)
    .refine((limits) => new Set(limits.map(({ name }) => name)).size === limits.length, "must have names of their own"),
  /** Proxies in front that each add to `x-forwarded-for`, for `by: ip`. Default `0`: the connection's address. */
  trustedHops: z.int().min(0).max(16).default(0),
  /** `x-ratelimit-limit`, `-remaining` and `-reset`: on every reply, on refusals alone, or never. Default `refused`. */
  headers: z.enum(["always", "refused", "never"]).default("refused"),
  /** What is answered beyond a limit. Default `429`. */
  status: z.int().min(400).max(599).default(429),
  /** Only counts what it would refuse. Default `false`. */
  shadow: z.boolean().default(false),
});
export type Config = z.output<typeof Config>;
