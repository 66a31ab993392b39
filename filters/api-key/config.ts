// Which keys are known, where requests carry them, and what later filters and the service learn.
import { z } from "../../sdk/index.ts";
import { compileKeys } from "./keys.ts";

const fieldName = z
  .string()
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u, "is not a header name")
  .transform((name) => name.toLowerCase());

/** One known key. */
const Key = z.strictObject({
  /** Who has it; several keys may be of one client, so that they can be changed in turn. */
  client: z.string().regex(/^[\x21-\x7e]{1,128}$/u, "must be 1 to 128 printable characters without spaces"),
  /** SHA-256 of the key in hex: `printf %s KEY | sha256sum`. */
  sha256: z
    .string()
    .regex(/^[0-9A-Fa-f]{64}$/u, "is not a SHA-256 in hex: 64 digits")
    .transform((digest) => digest.toLowerCase()),
  /** Of metric `api_key_requests_total`. Default: the client. */
  label: z.string().min(1).max(64).optional(),
  /** Left for later filters and the access log as `metadata.NAME`. Default: none. */
  metadata: z
    .record(
      z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/u),
      z.string().regex(/^[\t\x20-\x7e\x80-\xff]{0,1024}$/u, "holds a character that a header cannot have"),
    )
    .default({}),
});
export type Key = z.output<typeof Key>;

/** One place of a key: a header (behind a prefix such as `Bearer `), a query parameter or a cookie. */
const Source = z
  .strictObject({
    header: fieldName.optional(),
    prefix: z.string().default(""),
    query: z.string().min(1).optional(),
    cookie: z.string().min(1).optional(),
  })
  .refine(
    ({ header, query, cookie }) => [header, query, cookie].filter((place) => place !== undefined).length === 1,
    "must have one of header, query and cookie",
  );
export type Source = z.output<typeof Source>;

export const Config = z.strictObject({
  keys: z
    .array(Key)
    .min(1)
    .transform((keys, context) => {
      const known = compileKeys(keys);
      if (typeof known !== "string") return known;
      context.addIssue({ code: "custom", message: known });
      return z.NEVER;
    }),
  /** Looked at in this order; the first that is there counts. Default `[{ header: x-api-key }]`. */
  from: z
    .array(Source)
    .min(1)
    .prefault([{ header: "x-api-key" }]),
  /** A request without a key passes, as nobody's; a wrong key never does. Default `false`. */
  isOptional: z.boolean().default(false),
  /** Who may go where: the first whose `path` the request's begins with. Default: every client everywhere. */
  paths: z.array(z.strictObject({ path: z.string().startsWith("/"), clients: z.array(z.string()) })).default([]),
  /** Header that tells the service which client it is; one that came from outside is removed in any case. Default: none. */
  clientHeader: fieldName.optional(),
  /** Removes the key from headers and cookies before the request goes on. Default `true`. */
  hidesKey: z.boolean().default(true),
});
export type Config = z.output<typeof Config>;
