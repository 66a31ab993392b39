// Services, subsets and traffic policies become the clusters that routes lead to.
import type { z } from "zod";
import type { Cluster, ClusterLimits } from "../../runtime/contract/cluster.ts";
import type { TrafficPolicy } from "../resource/destination-rule.ts";
import { ruleOf, type HostRule } from "./rules.ts";
import { endpointsOf, type Service } from "./services.ts";
import { hasLabels, type World } from "./world.ts";

export type ClusterInput = z.input<typeof Cluster>;

/** The clusters of one snapshot: those that its routes ask for and no others, so that a change elsewhere is no push. */
export interface Clusters {
  /** The name of the cluster for a destination, which is listed from now on. `port` missing: the service's first. */
  use(host: string, subset: string | undefined, port: number | undefined): string;
  list(): readonly ClusterInput[];
}

/** Port in the name of a cluster whose host nobody declared. */
const PORT_UNKNOWN = 80;
/** The largest that the proxy takes; Istio's "no bound" is beyond it. */
const CONNECTIONS_MAX = 65_535;
const PENDING_MAX = 1_000_000;

export function collectClusters(world: World, namespace: string): Clusters {
  const services = world.services(namespace);
  const clusters = new Map<string, ClusterInput>();
  const rules = new Map<string, HostRule>();

  function ruleFor(host: string): HostRule {
    const rule = rules.get(host) ?? ruleOf(world.rules, host, namespace, services.get(host)?.namespace);
    rules.set(host, rule);
    return rule;
  }

  return {
    use(host, subset, port) {
      const service = services.get(host);
      const number = port ?? service?.ports[0]?.number ?? PORT_UNKNOWN;
      const name = `outbound|${number}|${subset ?? ""}|${host}`;
      if (!clusters.has(name)) clusters.set(name, buildCluster(name, host, subset, number, service, ruleFor(host)));
      return name;
    },
    list: () => [...clusters.values()],
  };
}

function buildCluster(
  name: string,
  host: string,
  subset: string | undefined,
  number: number,
  service: Service | undefined,
  rule: HostRule,
): ClusterInput {
  const chosen = subset === undefined ? undefined : rule.subsets.get(subset);
  const port = service?.ports.find((candidate) => candidate.number === number);
  // A host, port or subset that nobody declared yet: Istio takes the route and answers 503 until it is there.
  const isKnown = service !== undefined && port !== undefined && (subset === undefined || chosen !== undefined);
  const endpoints = isKnown ? endpointsOf(service, port) : [];
  const wanted = chosen?.labels ?? {};
  return {
    name,
    service: host,
    endpoints: endpoints.filter(({ labels }) => hasLabels(labels ?? {}, wanted)),
    // A group that the subset has replaces the rule's group whole.
    ...policyFields({ ...rule.trafficPolicy, ...chosen?.trafficPolicy }),
  };
}

const BALANCE = {
  UNSPECIFIED: "least_request",
  LEAST_CONN: "least_request",
  LEAST_REQUEST: "least_request",
  ROUND_ROBIN: "round_robin",
  RANDOM: "random",
} as const;

function policyFields({ loadBalancer, connectionPool }: TrafficPolicy): Partial<ClusterInput> {
  const { tcp, http } = connectionPool ?? {};
  const limits: z.input<typeof ClusterLimits> = {
    ...bound("maxConnections", tcp?.maxConnections, CONNECTIONS_MAX),
    ...bound("maxPendingRequests", http?.http1MaxPendingRequests, PENDING_MAX),
    ...bound("maxRequests", http?.http2MaxRequests, 4_294_967_295),
    ...bound("maxRequestsPerConnection", http?.maxRequestsPerConnection, 4_294_967_295),
  };
  return {
    ...(loadBalancer === undefined ? {} : { balance: BALANCE[loadBalancer.simple] }),
    ...(tcp?.connectTimeout === undefined ? {} : { connectTimeoutMs: tcp.connectTimeout }),
    ...(http?.idleTimeout === undefined ? {} : { idleTimeoutMs: http.idleTimeout }),
    limits,
  };
}

/** Absent and `0` are Istio's default, no bound that a sidecar reaches. */
function bound(name: keyof ClusterLimits, value: number | undefined, max: number): Partial<ClusterLimits> {
  return value === undefined || value === 0 ? {} : { [name]: Math.min(value, max) };
}
