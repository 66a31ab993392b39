// Istio's `DestinationRule`: subsets of a service, and how its endpoints are used.
import { z } from "zod";
import { Duration, ExportTo, Host, Labels, notYet } from "./fields.ts";

const count = z.int().min(0).max(4_294_967_295);

const TrafficPolicy = z.strictObject({
  loadBalancer: z
    .strictObject({
      /** Default `LEAST_REQUEST`; `LEAST_CONN` is its old name. */
      simple: z.enum(["UNSPECIFIED", "LEAST_CONN", "LEAST_REQUEST", "ROUND_ROBIN", "RANDOM"], {
        error: (issue) =>
          issue.input === undefined
            ? "is required: LEAST_REQUEST, ROUND_ROBIN or RANDOM"
            : `${JSON.stringify(issue.input)} must be LEAST_REQUEST, ROUND_ROBIN or RANDOM (PASSTHROUGH is not supported yet)`,
      }),
      ...notYet("consistentHash", "localityLbSetting", "warmupDurationSecs", "warmup"),
    })
    .optional(),
  connectionPool: z
    .strictObject({
      tcp: z
        .strictObject({
          /** Connections of one proxy to the cluster; `0` is Istio's default, no bound that a sidecar reaches. */
          maxConnections: count.optional(),
          /** Default 10 s. */
          connectTimeout: Duration.optional(),
          ...notYet("tcpKeepalive", "maxConnectionDuration", "idleTimeout"),
        })
        .optional(),
      http: z
        .strictObject({
          http1MaxPendingRequests: count.optional(),
          http2MaxRequests: count.optional(),
          maxRequestsPerConnection: count.optional(),
          /** Default 1 h. */
          idleTimeout: Duration.optional(),
          ...notYet("maxRetries", "h2UpgradePolicy", "useClientProtocol", "maxConcurrentStreams"),
        })
        .optional(),
    })
    .optional(),
  tls: z
    .strictObject({
      mode: z.literal("DISABLE", {
        error: (issue) => `${JSON.stringify(issue.input)} is not supported yet, only DISABLE is`,
      }),
    })
    .optional(),
  ...notYet("outlierDetection", "portLevelSettings", "tunnel", "proxyProtocol", "retryBudget"),
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
