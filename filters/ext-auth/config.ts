// Istio's `envoyExtAuthzHttp` provider, by its names.
import { duration, z } from "../../sdk/index.ts";
import { compileNames } from "./names.ts";

/** Header names; `x-*` and `*-id` are names that begin or end so. */
const names = z.array(z.string().min(1)).transform((patterns, context) => {
  const list = compileNames(patterns);
  if (typeof list !== "string") return list;
  context.addIssue({ code: "custom", message: list });
  return z.NEVER;
});
const path = z.string().regex(/^\/[\x21-\x7e]*$/u, "must begin with / and hold no space");

export const Config = z.strictObject({
  /** Put before the request's path. Default: the path as it is. */
  pathPrefix: path.default(""),
  /** How long a check may take; the use's `upstreams.auth.timeout` bounds it too. Default: that. */
  timeout: duration({ minMs: 1, maxMs: 600_000 }).optional(),
  /** A check that fails lets the request pass. Default `false`. */
  failOpen: z.boolean().default(false),
  /** What a request is answered whose check failed. Default `403`. */
  statusOnError: z.int().min(400).max(599).default(403),
  /** Fields of the request that the service sees besides `authorization`. Default: none. */
  includeRequestHeadersInCheck: names.prefault([]),
  /** Fields that it gets in any case, over the request's own. Default: none. */
  includeAdditionalHeadersInCheck: z.record(z.string(), z.string()).default({}),
  /** The request's body goes to the service. Default: it does not, and is not waited for. */
  includeRequestBodyInCheck: z
    .strictObject({
      /** Longer bodies are answered 413. */
      maxRequestBytes: z.int().min(1),
      /** Longer bodies are sent in part instead. Default `false`. */
      allowPartialMessage: z.boolean().default(false),
    })
    .optional(),
  /** Fields of the answer that replace the request's, where it is allowed. Default: none. */
  headersToUpstreamOnAllow: names.prefault([]),
  /** Fields of the answer that the client gets, where it is allowed. Default: none. */
  headersToDownstreamOnAllow: names.prefault([]),
  /** Fields of the answer that the client gets, where it is denied, besides `www-authenticate`, `location` and `content-type`. Default: all. */
  headersToDownstreamOnDeny: names.optional(),
  /** Paths that begin so are not checked. Default: none. */
  except: z.array(path).default([]),
});
export type Config = z.output<typeof Config>;
