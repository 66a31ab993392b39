// What a DestinationRule says of one cluster: which of its groups hold, and what they are to a proxy.
import type { z } from "zod";
import type { Cluster, ClusterLimits } from "../../runtime/contract/cluster.ts";
import type { Tls, TrafficPolicy } from "../resource/destination-rule.ts";
import { familyOf, type Protocol } from "../resource/service-entry.ts";

type ClusterInput = z.input<typeof Cluster>;

/** The groups that hold for one cluster. */
export type Policy = Omit<TrafficPolicy, "portLevelSettings">;

/** The largest that the proxy takes; Istio's "no bound" is beyond it. */
const CONNECTIONS_MAX = 65_535;
const PENDING_MAX = 1_000_000;

/**
 * Istio's order: a group of the subset replaces the rule's whole. Settings of a port, the subset's before the rule's, replace
 * three groups at once, also those that they do not have.
 */
export function mergePolicies(
  rule: TrafficPolicy | undefined,
  subset: TrafficPolicy | undefined,
  port: number,
): Policy {
  return override(override({}, rule, port), subset, port);
}

function override(base: Policy, over: TrafficPolicy | undefined, port: number): Policy {
  if (over === undefined) return base;
  const { portLevelSettings, ...groups } = over;
  const merged = { ...base, ...groups };
  const own = portLevelSettings.find((settings) => settings.port.number === port);
  if (own === undefined) return merged;
  return { ...merged, loadBalancer: own.loadBalancer, connectionPool: own.connectionPool, tls: own.tls };
}

const BALANCE = {
  UNSPECIFIED: "least_request",
  LEAST_CONN: "least_request",
  LEAST_REQUEST: "least_request",
  ROUND_ROBIN: "round_robin",
  RANDOM: "random",
} as const;

/** A cluster's fields; `protocol` is that of the service's port, `host` the service. */
export function policyFields(policy: Policy, protocol: Protocol, host: string): Partial<ClusterInput> {
  const { loadBalancer, connectionPool, tls, proxyProtocol } = policy;
  const { tcp, http } = connectionPool ?? {};
  const limits: z.input<typeof ClusterLimits> = {
    ...bound("maxConnections", tcp?.maxConnections, CONNECTIONS_MAX),
    ...bound("maxPendingRequests", http?.http1MaxPendingRequests, PENDING_MAX),
    ...bound("maxRequests", http?.http2MaxRequests, 4_294_967_295),
    ...bound("maxRequestsPerConnection", http?.maxRequestsPerConnection, 4_294_967_295),
  };
  // Istio has one idle timeout for pooled connections, and asks `http` for it first.
  const idleTimeoutMs = http?.idleTimeout ?? tcp?.idleTimeout;
  const streamsMax = http?.maxConcurrentStreams ?? 0;
  return {
    protocol: spokenTo(policy, protocol),
    ...(loadBalancer === undefined ? {} : { balance: BALANCE[loadBalancer.simple] }),
    ...(tcp?.connectTimeout === undefined ? {} : { connectTimeoutMs: tcp.connectTimeout }),
    ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
    ...(streamsMax === 0 ? {} : { http2: { maxConcurrentStreams: streamsMax } }),
    limits,
    ...(tls === undefined || tls.mode === "DISABLE" ? {} : { tls: tlsFields(tls, tls.mode, host) }),
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
  };
}

/** What is spoken to the endpoints. A port that nobody named a protocol for gets what its clients speak, as in Istio. */
function spokenTo({ connectionPool }: Policy, protocol: Protocol): NonNullable<ClusterInput["protocol"]> {
  const { useClientProtocol = false, h2UpgradePolicy = "DEFAULT" } = connectionPool?.http ?? {};
  if (useClientProtocol) return "downstream";
  if (h2UpgradePolicy === "UPGRADE") return "http2";
  if (protocol === "auto") return "downstream";
  return familyOf(protocol) === "http" && protocol !== "http" ? "http2" : "http1";
}

function tlsFields(tls: Tls, mode: "SIMPLE" | "MUTUAL", host: string): NonNullable<ClusterInput["tls"]> {
  const { caCertificates, clientCertificate, privateKey, subjectAltNames, insecureSkipVerify } = tls;
  return {
    mode,
    // Istio asks for the name in `Host`, which is this one where no rewrite changes it.
    sni: tls.sni === "" && !host.startsWith("*") ? host : tls.sni,
    // `system` is Istio's word for the default.
    ...(caCertificates === undefined || caCertificates === "system" ? {} : { caCertificates }),
    ...(mode === "SIMPLE" ? {} : { clientCertificate, privateKey }),
    subjectAltNames: [...subjectAltNames],
    insecureSkipVerify,
  };
}

/** Absent and `0` are Istio's default, no bound that a sidecar reaches. */
function bound(name: keyof ClusterLimits, value: number | undefined, max: number): Partial<ClusterLimits> {
  return value === undefined || value === 0 ? {} : { [name]: Math.min(value, max) };
}
