// Which request goes where: what a snapshot says about virtual hosts and routes.
import { z } from "zod";
import { durationMs } from "./duration.ts";

/** RFC 9110 §5.6.2: what a field name or a method may be made of. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/u;
/** RFC 9110 §5.5: no control character but tab, so that an edit can never split a head. Bytes above 0x7f are Latin-1. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/u;
/** RFC 9112 §3.2: what a request line may hold, so that a rewrite can never end it; no fragment. */
const PATH = /^\/[\x21\x22\x24-\x7e]*$/u;
/** RFC 3986 §3.2: a host and a port. */
const AUTHORITY = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::\d{1,5})?$/u;
const FRAMING = new Set([
  "content-length",
  "transfer-encoding",
  "connection",
  "host",
  "upgrade",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
]);

const headerName = z
  .string()
  .regex(TOKEN, { error: (issue) => `${JSON.stringify(issue.input)} is not a header name` })
  .refine((name) => !FRAMING.has(name.toLowerCase()), {
    error: (issue) => `${JSON.stringify(issue.input)} is set by the proxy and cannot be edited`,
  });
const headerValue = z
  .string()
  .regex(FIELD_VALUE, { error: "a header value may hold no control character and no character beyond U+00FF" });

/** Changes to a head, in the order remove, set, add. */
export const HeaderEdits = z
  .strictObject({
    /** Replaces every field of that name, or adds one. */
    set: z.record(headerName, headerValue).default({}),
    /** Adds a field after those of that name. */
    add: z.record(headerName, headerValue).default({}),
    /** Removes every field of that name. */
    remove: z.array(headerName).default([]),
  })
  .prefault({});
export type HeaderEdits = z.infer<typeof HeaderEdits>;

/** What a rewrite puts in the place of a path or its prefix. */
export const PathRewrite: z.ZodString = z.string().regex(PATH, {
  error: (issue) => `${JSON.stringify(issue.input)} is not a path: "/", then visible ASCII characters without "#"`,
});
/** What a rewrite puts in the place of `Host`. */
export const AuthorityRewrite: z.ZodString = z.string().regex(AUTHORITY, {
  error: (issue) => `${JSON.stringify(issue.input)} is not a host such as "reviews" or "reviews:9080"`,
});

const regexText = z
  .string()
  .max(4096)
  .superRefine((text, context) => {
    try {
      // The whole text must match, as in Envoy (RE2 full match).
      RegExp(`^(?:${text})$`, "u");
    } catch (error) {
      context.addIssue({
        code: "custom",
        message: `${JSON.stringify(text)} is not a regular expression: ${String(error)}`,
      });
    }
  });

/** How a text is compared. `prefix` is a plain string prefix, as in Istio's `StringMatch`. */
export const StringMatch = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("exact"), value: z.string() }),
  z.strictObject({ kind: z.literal("prefix"), value: z.string().min(1) }),
  z.strictObject({ kind: z.literal("regex"), value: regexText }),
  z.strictObject({ kind: z.literal("present") }),
]);
export type StringMatch = z.infer<typeof StringMatch>;

/** How a path is compared, without its query. `path_separated_prefix` matches whole segments: `/api` matches `/api/x` and not `/apiary`. */
export const PathMatch = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("exact"), value: z.string().startsWith("/") }),
  z.strictObject({ kind: z.literal("prefix"), value: z.string().startsWith("/") }),
  z.strictObject({ kind: z.literal("path_separated_prefix"), value: z.string().startsWith("/") }),
  z.strictObject({ kind: z.literal("regex"), value: regexText }),
]);
export type PathMatch = z.infer<typeof PathMatch>;

/** Conditions that must all hold. Fields left out match everything. */
export const RouteMatch = z.strictObject({
  path: PathMatch.optional(),
  /** Compares exact and prefix paths without regard to case. */
  ignoreCase: z.boolean().default(false),
  method: StringMatch.optional(),
  /** Every named header must match; several fields of a name are joined with a comma first. Names are lower case. */
  headers: z.record(z.string().regex(TOKEN).toLowerCase(), StringMatch).default({}),
  /** None of the named headers may match. */
  withoutHeaders: z.record(z.string().regex(TOKEN).toLowerCase(), StringMatch).default({}),
  /** `http`, or `https` where the request came over TLS. */
  scheme: StringMatch.optional(),
  /** `Host` as it came, with its port where it has one. */
  authority: StringMatch.optional(),
  /** The port that the client called: of its redirected connection, else of `Host`, else the virtual host's own. */
  port: z.int().min(1).max(65_535).optional(),
  /** Every named parameter of the query must match, by its first value, decoded. Names are compared with case. */
  queryParams: z.record(z.string().min(1), StringMatch).default({}),
});
export type RouteMatch = z.infer<typeof RouteMatch>;

/** A share of a route's requests. */
export const Destination = z.strictObject({
  /** Name of a cluster in the same snapshot. */
  cluster: z.string().min(1),
  /** Share among the route's destinations: `weight / sum`. `0` gets nothing. Default `1`. */
  weight: z.int().min(0).max(1_000_000).default(1),
  requestHeaders: HeaderEdits,
  responseHeaders: HeaderEdits,
});
export type Destination = z.infer<typeof Destination>;

/** Requests that one of `matches` fits, and what is done with them. */
export const Route = z.strictObject({
  /** Appears as `%ROUTE_NAME%` in the access log and as `route.name` in filters. */
  name: z.string().default(""),
  /** Any of these; none means every request. */
  matches: z.array(RouteMatch).max(1000).default([]),
  destinations: z.array(Destination).min(1).max(100),
  /** Replaces the matched prefix (or an exact path whole) before the request is sent. */
  prefixRewrite: PathRewrite.optional(),
  /** Replaces `Host` before the request is sent. */
  authorityRewrite: AuthorityRewrite.optional(),
  /** From the last byte of the request to the last of the reply; then 504 `UT`. `0`, the default, is no limit. */
  timeoutMs: durationMs(0),
  requestHeaders: HeaderEdits,
  responseHeaders: HeaderEdits,
});
export type Route = z.infer<typeof Route>;

/** Routes for a set of hosts; the first that matches wins. */
export const VirtualHost = z.strictObject({
  name: z.string().min(1),
  /** Hosts without a port: exact (`reviews`), suffix wildcard (`*.example.com`), or `*`. The most exact wins. */
  domains: z.array(z.string().min(1).max(253)).min(1),
  /** What `port` of a match is compared with where a request names none. Default 80, over TLS 443. */
  port: z.int().min(1).max(65_535).optional(),
  routes: z.array(Route),
});
export type VirtualHost = z.infer<typeof VirtualHost>;
