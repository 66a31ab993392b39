// Istio's `DestinationRule`: subsets of a service, and how its endpoints are used.
import { z } from "zod";
import { Duration, ExportTo, Host, Labels, notYet, Port } from "./fields.ts";

const count = z.int().min(0).max(4_294_967_295);
/** The path of a file of the proxy's machine; each proxy reads its own. */
const PemFile = z.string().min(1).max(4096);

const LoadBalancer = z.strictObject({
  /** Default `LEAST_REQUEST`; `LEAST_CONN` is its old name. */
  simple: z.enum(["UNSPECIFIED", "LEAST_CONN", "LEAST_REQUEST", "ROUND_ROBIN", "RANDOM"], {
    error: (issue) =>
      issue.input === undefined
        ? "is required: LEAST_REQUEST, ROUND_ROBIN or RANDOM"
        : `${JSON.stringify(issue.input)} must be LEAST_REQUEST, ROUND_ROBIN or RANDOM (PASSTHROUGH is not supported yet)`,
  }),
  ...notYet("consistentHash", "localityLbSetting", "warmupDurationSecs", "warmup"),
});

const ConnectionPool = z.strictObject({
  tcp: z
    .strictObject({
      /** Connections of one proxy to the cluster; `0` is Istio's default, no bound that a sidecar reaches. */
      maxConnections: count.optional(),
      /** Default 10 s. */
      connectTimeout: Duration.optional(),
      /** Of connections that are passed on, and of pooled ones where `http` has none. Default 1 h. */
      idleTimeout: Duration.optional(),
      ...notYet("tcpKeepalive", "maxConnectionDuration"),
    })
    .optional(),
  http: z
    .strictObject({
      http1MaxPendingRequests: count.optional(),
      http2MaxRequests: count.optional(),
      maxRequestsPerConnection: count.optional(),
      /** Streams at once on one HTTP/2 connection; `0` is Istio's default, 2^31 − 1. */
      maxConcurrentStreams: z.int().min(0).max(2_147_483_647).optional(),
      /** Default 1 h. */
      idleTimeout: Duration.optional(),
      /** `UPGRADE` speaks HTTP/2 to a port of HTTP. Default: what the port's protocol says. */
      h2UpgradePolicy: z.enum(["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]).default("DEFAULT"),
      /** Speaks the client's version of HTTP, whatever `h2UpgradePolicy` says. */
      useClientProtocol: z.boolean().default(false),
      ...notYet("maxRetries"),
    })
    .optional(),
});

const Tls = z
  .strictObject({
    /** `SIMPLE` checks the server's certificate, `MUTUAL` shows one too. */
    mode: z.enum(["DISABLE", "SIMPLE", "MUTUAL"], {
      error: (issue) =>
        issue.input === "ISTIO_MUTUAL"
          ? `"ISTIO_MUTUAL" is not supported yet: workloads have no identities; MUTUAL takes certificates from files`
          : `is ${JSON.stringify(issue.input) ?? "missing"}, must be DISABLE, SIMPLE or MUTUAL`,
    }),
    /** Name to ask for, and that the certificate must have. Default: the host, where it is not a wildcard. */
    sni: z.string().max(255).default(""),
    /** Roots to believe; default those of the system. */
    caCertificates: PemFile.optional(),
    clientCertificate: PemFile.optional(),
    privateKey: PemFile.optional(),
    /** Names of which the certificate must have one, instead of `sni`. */
    subjectAltNames: z.array(z.string().min(1).max(2048)).max(1000).default([]),
    /** Believes every server. */
    insecureSkipVerify: z.boolean().default(false),
    ...notYet("credentialName", "caCrl"),
  })
  .superRefine(({ mode, clientCertificate, privateKey }, context) => {
    if (mode !== "MUTUAL") return;
    for (const [name, value] of Object.entries({ clientCertificate, privateKey })) {
      if (value === undefined) context.addIssue({ code: "custom", path: [name], message: "is required for MUTUAL" });
    }
  });
export type Tls = z.infer<typeof Tls>;

/** The groups that a rule, a subset and a port each may have; a group is replaced whole. */
const GROUPS = {
  loadBalancer: LoadBalancer.optional(),
  connectionPool: ConnectionPool.optional(),
  tls: Tls.optional(),
} as const;

const TrafficPolicy = z.strictObject({
  ...GROUPS,
  /** For one port, instead of the groups above: those that it leaves out are Istio's defaults. Of two for a port the first holds. */
  portLevelSettings: z
    .array(z.strictObject({ port: z.strictObject({ number: Port }), ...GROUPS, ...notYet("outlierDetection") }))
    .max(1000)
    .default([]),
  /** Connections that are passed on begin with a header that names the client. */
  proxyProtocol: z.strictObject({ version: z.enum(["V1", "V2"]).default("V1") }).optional(),
  ...notYet("outlierDetection", "tunnel", "retryBudget"),
});
export type TrafficPolicy = z.infer<typeof TrafficPolicy>;

const Subset = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/u),
  /** An endpoint belongs to the subset when it has all of them. */
  labels: Labels.default({}),
  /** Each group of it replaces the one of the rule. */
  trafficPolicy: TrafficPolicy.optional(),
});
export type Subset = z.infer<typeof Subset>;

/** `spec` of a `DestinationRule`. */
export const DestinationRuleSpec = z
  .strictObject({
    host: Host,
    trafficPolicy: TrafficPolicy.optional(),
    subsets: z.array(Subset).max(1000).default([]),
    exportTo: ExportTo,
    ...notYet("workloadSelector"),
  })
  .superRefine(({ subsets }, context) => {
    const seen = new Set<string>();
    subsets.forEach(({ name }, index) => {
      if (seen.has(name)) {
        context.addIssue({ code: "custom", path: ["subsets", index, "name"], message: `"${name}" is used twice` });
      }
      seen.add(name);
    });
  });
export type DestinationRuleSpec = z.infer<typeof DestinationRuleSpec>;
