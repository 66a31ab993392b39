// Services, subsets and traffic policies become the clusters that routes lead to.
import type { z } from "zod";
import type { Cluster } from "../../runtime/contract/cluster.ts";
import { protocolOf } from "../resource/service-entry.ts";
import { mergePolicies, policyFields } from "./policy.ts";
import { ruleOf, type HostRule } from "./rules.ts";
import { endpointsOf, httpPorts, type Service } from "./services.ts";
import { hasLabels, type World } from "./world.ts";

export type ClusterInput = z.input<typeof Cluster>;

/** The clusters of one snapshot: those that its routes ask for and no others, so that a change elsewhere is no push. */
export interface Clusters {
  /** The name of the cluster for a destination, which is listed from now on. `port` missing: the service's first of HTTP. */
  use(host: string, subset: string | undefined, port: number | undefined): string;
  /** How long connections that are passed on to it may be idle; `undefined` where no rule says. */
  tcpIdleTimeoutMs(host: string, subset: string | undefined, port: number): number | undefined;
  list(): readonly ClusterInput[];
}

/** Port in the name of a cluster whose host nobody declared. */
const PORT_UNKNOWN = 80;

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
      const number = port ?? (service === undefined ? PORT_UNKNOWN : firstPort(service));
      const name = `outbound|${number}|${subset ?? ""}|${host}`;
      if (!clusters.has(name)) clusters.set(name, buildCluster(name, host, subset, number, service, ruleFor(host)));
      return name;
    },
    tcpIdleTimeoutMs(host, subset, port) {
      const rule = ruleFor(host);
      const chosen = subset === undefined ? undefined : rule.subsets.get(subset);
      return mergePolicies(rule.trafficPolicy, chosen?.trafficPolicy, port).connectionPool?.tcp?.idleTimeout;
    },
    list: () => [...clusters.values()],
  };
}

function firstPort(service: Service): number {
  return (httpPorts(service)[0] ?? service.ports[0])?.number ?? PORT_UNKNOWN;
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
  const policy = mergePolicies(rule.trafficPolicy, chosen?.trafficPolicy, number);
  return {
    name,
    service: host,
    endpoints: endpoints.filter(({ labels }) => hasLabels(labels ?? {}, wanted)),
    ...policyFields(policy, port === undefined ? "http" : protocolOf(port), host),
  };
}
