// Istio's `VirtualService`: which request to a host goes where.
import { z } from "zod";
import { AuthorityRewrite, HeaderEdits, PathRewrite, RouteMatch } from "../../runtime/contract/route.ts";
import { TcpMatch } from "../../runtime/contract/tcp.ts";
import { Cidr, Duration, ExportTo, Host, Labels, notYet, Port, StringMatch } from "./fields.ts";

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

/** Of several destinations one must get something. */
function checkWeights(
  { route }: { readonly route: readonly { readonly weight: number }[] },
  context: z.RefinementCtx,
): void {
  if (route.length > 1 && route.every(({ weight }) => weight === 0)) {
    context.addIssue({ code: "custom", path: ["route"], message: "every weight is 0, one must be above" });
  }
}

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

/** Sidecars are the gateway `mesh`, the default. */
const Gateways = z.array(
  z.literal("mesh", {
    error: (issue) => `${JSON.stringify(issue.input)} is a gateway, which is not supported yet, only "mesh" is`,
  }),
);

/** For which proxies a match is: decided when their snapshots are built. */
const SOURCES = {
  /** Only in proxies whose workload has these labels. */
  sourceLabels: Labels.default({}),
  /** Only in proxies of this namespace. */
  sourceNamespace: z.string().optional(),
  gateways: Gateways.default([]),
} as const;

const HttpMatch = z.strictObject({
  uri: UriMatch.optional(),
  /** Compares exact and prefix `uri` without regard to case. */
  ignoreUriCase: z.boolean().default(false),
  method: StringMatch.optional(),
  /** `http`, or `https` where the client used TLS. */
  scheme: StringMatch.optional(),
  /** `Host` as it came, with its port where it has one. */
  authority: StringMatch.optional(),
  /** The port that the client called. */
  port: Port.optional(),
  /** All must match, each by the first value of that name; `{}` asks only that the parameter is there. */
  queryParams: z.record(z.string().min(1), StringMatch).default({}),
  /** All must match; `{}` asks only that the header is there. */
  headers: HeaderMatches,
  /** None may match. */
  withoutHeaders: HeaderMatches,
  ...SOURCES,
  ...notYet("name", "statPrefix"),
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
  .superRefine(checkWeights);
export type HttpRoute = z.infer<typeof HttpRoute>;

const TcpMatchSpec = z.strictObject({
  /** The port that the client called. */
  port: Port.optional(),
  /** Networks of which the client called an address, instead of the service's own. */
  destinationSubnets: z.array(Cidr).max(1000).default([]),
  ...SOURCES,
  ...notYet("sourceSubnet"),
});
const TlsMatchSpec = z.strictObject({
  ...TcpMatchSpec.shape,
  /** Names that clients ask for: `a.example.com`, `*.example.com`. */
  sniHosts: TcpMatch.shape.sniHosts.unwrap().min(1),
});

const ROUTE = z
  .array(
    z.strictObject({
      destination: Destination,
      /** `weight / sum of weights`; a destination that is alone gets all. */
      weight: z.int().min(0).max(1_000_000).default(0),
    }),
  )
  .min(1)
  .max(100);

const TcpRoute = z
  .strictObject({
    /** Any of these; none means every connection. */
    match: z.array(TcpMatchSpec).max(1000).default([]),
    route: ROUTE,
  })
  .superRefine(checkWeights);
export type TcpRoute = z.infer<typeof TcpRoute>;

const TlsRoute = z
  .strictObject({ match: z.array(TlsMatchSpec).min(1).max(1000), route: ROUTE })
  .superRefine(checkWeights);
export type TlsRoute = z.infer<typeof TlsRoute>;

/** `spec` of a `VirtualService`. */
export const VirtualServiceSpec = z
  .strictObject({
    hosts: z
      .array(
        Host.refine((host) => host !== "*", {
          error: `"*" is for gateways; a VirtualService of sidecars names its hosts`,
        }),
      )
      .min(1),
    gateways: Gateways.default(["mesh"]),
    /** For ports of HTTP. The first whose match fits wins. */
    http: z.array(HttpRoute).max(1000).default([]),
    /** For ports of HTTPS and TLS, which pass as they came. */
    tls: z.array(TlsRoute).max(1000).default([]),
    /** For the other ports. */
    tcp: z.array(TcpRoute).max(1000).default([]),
    exportTo: ExportTo,
  })
  .superRefine(({ hosts, http, tls, tcp }, context) => {
    if (http.length + tls.length + tcp.length === 0) {
      context.addIssue({ code: "custom", message: "must have at least one of http, tls, tcp" });
    }
    tls.forEach(({ match }, route) => {
      match.forEach(({ sniHosts }, index) => {
        sniHosts.forEach((sni, at) => {
          if (hosts.some((host) => covers(host, sni.toLowerCase()))) return;
          const path = ["tls", route, "match", index, "sniHosts", at];
          context.addIssue({ code: "custom", path, message: `${JSON.stringify(sni)} is none of the hosts` });
        });
      });
    });
  });
export type VirtualServiceSpec = z.infer<typeof VirtualServiceSpec>;

/** Istio: who may say where TLS for a name goes is who claims the name. */
function covers(host: string, sni: string): boolean {
  return host === sni || (host.startsWith("*.") && sni.endsWith(host.slice(1)));
}
