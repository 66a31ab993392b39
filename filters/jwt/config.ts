// Whose tokens are taken, where they are found and what is made of them: Istio's `jwtRules` by its names, and more.
import { duration, z, type SignatureAlgorithm } from "../../sdk/index.ts";
import { parseKeySet } from "./key-set.ts";

/** Signatures by key pairs alone: whoever checks an `HS…` token could make one. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"] as const;
ALGORITHMS satisfies readonly SignatureAlgorithm[];

const fieldName = z
  .string()
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u, "is not a header name")
  .transform((name) => name.toLowerCase());
const metadataName = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/u, "is not the name of a value such as user");

const Provider = z
  .strictObject({
    /** What `iss` must be, exactly. */
    issuer: z.string().min(1),
    /** One of them must be in `aud`. Default: any audience. */
    audiences: z.array(z.string()).default([]),
    /** A key set as an object or as JSON. Either this or `jwksFrom`. */
    jwks: z
      .unknown()
      .transform((given, context) => {
        if (given === undefined) return undefined;
        const keys = parseKeySet(given);
        if (typeof keys !== "string") return keys;
        context.addIssue({ code: "custom", message: keys });
        return z.NEVER;
      })
      .optional(),
    /** Where the key set is fetched: a name of the use's `upstreams`, and the path there. */
    jwksFrom: z
      .strictObject({
        upstream: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/u),
        path: z.string().startsWith("/").default("/.well-known/jwks.json"),
        /** Default `"20m"`. One that cannot be had leaves the keys that are there, and is asked for again after 10 s. */
        refresh: duration({ minMs: 10_000 }).prefault("20m"),
      })
      .optional(),
    /** Default: every one by a key pair. */
    algorithms: z
      .array(z.enum(ALGORITHMS))
      .min(1)
      .default([...ALGORITHMS]),
    /** How wrong clocks may be. Default `"60s"`. */
    leeway: duration({ maxMs: 600_000 }).prefault("60s"),
    /** Headers that hold tokens, behind a prefix. Default, where no place is given: `authorization` with `Bearer `, then the parameter `access_token`. */
    fromHeaders: z.array(z.strictObject({ name: fieldName, prefix: z.string().default("") })).default([]),
    /** Parameters of the query that hold tokens. */
    fromParams: z.array(z.string().min(1)).default([]),
    /** Cookies that hold tokens. */
    fromCookies: z.array(z.string().min(1)).default([]),
    /** Header that tells the service the claims, as the token has them (base64url of JSON). Default: none. */
    outputPayloadToHeader: fieldName.optional(),
    /** Headers that tell the service single claims; `a.b` is claim b inside of a. Default: none. */
    outputClaimToHeaders: z.array(z.strictObject({ header: fieldName, claim: z.string().min(1) })).default([]),
    /** The same for later filters and the access log, as `metadata.NAME`. Default: none. */
    outputClaimToMetadata: z.array(z.strictObject({ name: metadataName, claim: z.string().min(1) })).default([]),
    /** Lets the token go on to the service. Default `false`: it is removed from headers and cookies. */
    forwardOriginalToken: z.boolean().default(false),
  })
  .refine(
    ({ jwks, jwksFrom }) => (jwks === undefined) !== (jwksFrom === undefined),
    "must have either jwks or jwksFrom",
  )
  .transform((provider) => {
    const { fromHeaders, fromParams, fromCookies } = provider;
    if (fromHeaders.length + fromParams.length + fromCookies.length > 0) return provider;
    return { ...provider, fromHeaders: [{ name: "authorization", prefix: "Bearer " }], fromParams: ["access_token"] };
  });
export type Provider = z.output<typeof Provider>;

export const Config = z.strictObject({
  providers: z
    .array(Provider)
    .min(1)
    .max(16)
    .refine((all) => new Set(all.map(({ issuer }) => issuer)).size === all.length, "must be of different issuers"),
  /** The first whose `path` the request's begins with counts. Default: a request without a token passes, one with a wrong token never. */
  rules: z
    .array(
      z.strictObject({
        path: z.string().startsWith("/"),
        /** Whether a token must be there. Default `true`. */
        isRequired: z.boolean().default(true),
        /** Issuers whose tokens will do; 403 for others. Default: all. */
        issuers: z.array(z.string()).default([]),
        /** Claims that must have, or hold, one of these values; 403 otherwise. Default: none. */
        claims: z.record(z.string(), z.array(z.string()).min(1)).default({}),
      }),
    )
    .default([]),
  /** A longer token is refused before it is looked at. Default `8192`. */
  tokenMaxBytes: z.int().min(256).max(65_536).default(8192),
});
export type Config = z.output<typeof Config>;
