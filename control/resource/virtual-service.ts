// Istio's `VirtualService`: which request to a host goes where.
import { z } from "zod";
import { AuthorityRewrite, HeaderEdits, PathRewrite, RouteMatch } from "../../runtime/contract/route.ts";
import { Duration, ExportTo, Host, Labels, notYet, Port, StringMatch } from "./fields.ts";

/** Envoy reads `%…%` in a value as an operator, and `%%` as a percent sign. */
const WITHOUT_OPERATORS = /^(?:[^%]|%%)*$/u;

const HeaderOperations = HeaderEdits.superRefine((edits, context) => {
  for (const operation of ["set", "add"] as const) {
    for (const [name, value] of Object.entries(edits[operation])) {
      if (WITHOUT_OPERATORS.test(value)) continue;
      const message = `${JSON.stringify(value)} has an operator such as %REQ(name)%, which is not supported yet; write %% for a percent sign`;
      context.addIssue({ code: "custom", path: [operation, name], message });
    }
  }
});

const Headers = z.strictObject({ request: HeaderOperations, response: HeaderOperations }).prefault({});

const Destination = z.strictObject({
  /** A short name is of the VirtualService's own namespace. */
  host: Host,
  /** Of a DestinationRule of the host. */
  subset: z.string().min(1).optional(),
  /** Needed where the host has several ports. */
  port: z.strictObject({ number: Port }).optional(),
});
export type Destination = z.infer<typeof Destination>;

const HttpRouteDestination = z.strictObject({
  destination: Destination,
  /** `weight / sum of weights`; a destination that is alone gets all. */
  weight: z.int().min(0).max(1_000_000).default(0),
  headers: Headers,
});

const HeaderMatches = z
  .record(z.string().min(1), StringMatch)
  .default({})
  .superRefine((headers, context) => {
    const checked = RouteMatch.shape.headers.safeParse(
      Object.fromEntries(Object.keys(headers).map((name) => [name, { kind: "present" }])),
    );
    for (const { path } of checked.error?.issues ?? []) {
      context.addIssue({ code: "custom", path: [...path], message: "is not a header name" });
    }
  });

const UriMatch = StringMatch.superRefine((uri, context) => {
  const [kind, value] = Object.entries(uri)[0] ?? [];
  if (kind === undefined || value === undefined) {
    context.addIssue({ code: "custom", message: "must have one of exact, prefix, regex" });
  } else if (kind !== "regex" && !value.startsWith("/")) {
    context.addIssue({ code: "custom", path: [kind], message: `${JSON.stringify(value)} must start with "/"` });
  }
});

const HttpMatch = z.strictObject({
  uri: UriMatch.optional(),
  /** Compares exact and prefix `uri` without regard to case. */
  ignoreUriCase: z.boolean().default(false),
  method: StringMatch.optional(),
  /** All must match; `{}` asks only that the header is there. */
  headers: HeaderMatches,
  /** None may match. */
  withoutHeaders: HeaderMatches,
  /** Only in proxies whose workload has these labels. */
  sourceLabels: Labels.default({}),
  /** Only in proxies of this namespace. */
  sourceNamespace: z.string().optional(),
  ...notYet("name", "scheme", "authority", "port", "queryParams", "gateways", "statPrefix"),
});
export type HttpMatch = z.infer<typeof HttpMatch>;

const HttpRoute = z
  .strictObject({
    /** Shown in the access log. */
    name: z.string().default(""),
    /** Any of these; none means every request. */
    match: z.array(HttpMatch).max(1000).default([]),
    route: z.array(HttpRouteDestination).min(1).max(100),
    rewrite: z
      .strictObject({
        /** Replaces the matched prefix, or the whole path of an exact or regex match. */
        uri: PathRewrite.optional(),
        /** Replaces `Host`. */
        authority: AuthorityRewrite.optional(),
        ...notYet("uriRegexRewrite"),
      })
      .prefault({}),
    /** Of the whole exchange. `0s`, the default, is no limit. */
    timeout: Duration.optional(),
    headers: Headers,
    ...notYet("redirect", "directResponse", "delegate", "retries", "fault", "mirror", "mirrors", "corsPolicy"),
    ...notYet("mirrorPercent", "mirrorPercentage"),
  })
  .superRefine(({ route }, context) => {
    if (route.length > 1 && route.every(({ weight }) => weight === 0)) {
      context.addIssue({ code: "custom", path: ["route"], message: "every weight is 0, one must be above" });
    }
  });
export type HttpRoute = z.infer<typeof HttpRoute>;

/** `spec` of a `VirtualService`. */
export const VirtualServiceSpec = z.strictObject({
  hosts: z
    .array(
      Host.refine((host) => host !== "*", {
        error: `"*" is for gateways; a VirtualService of sidecars names its hosts`,
      }),
    )
    .min(1),
  /** Sidecars are the gateway `mesh`, the default. */
  gateways: z
    .array(
      z.literal("mesh", {
        error: (issue) => `${JSON.stringify(issue.input)} is a gateway, which is not supported yet, only "mesh" is`,
      }),
    )
    .default(["mesh"]),
  /** The first whose match fits wins. */
  http: z.array(HttpRoute).min(1).max(1000),
  exportTo: ExportTo,
  ...notYet("tls", "tcp"),
});
export type VirtualServiceSpec = z.infer<typeof VirtualServiceSpec>;
