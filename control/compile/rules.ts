// Which DestinationRule holds for a host, seen from one namespace.
import { ROOT_NAMESPACE, type DestinationRule } from "../resource/resource.ts";
import type { Subset, TrafficPolicy } from "../resource/destination-rule.ts";
import { compareSpecificity, fullHost, hostCovers, isVisible } from "./hosts.ts";
import type { World } from "./world.ts";

/** What the rules of one host say together. */
export interface HostRule {
  readonly trafficPolicy: TrafficPolicy | undefined;
  readonly subsets: ReadonlyMap<string, Subset>;
}

/** Istio's search: the namespace of the client, that of the service, the root namespace; in the first that has any, the most exact host. */
export function ruleOf(
  world: World,
  host: string,
  clientNamespace: string,
  serviceNamespace: string | undefined,
): HostRule {
  for (const namespace of new Set([clientNamespace, serviceNamespace, ROOT_NAMESPACE])) {
    if (namespace === undefined) continue;
    const candidates = world.destinationRules.filter(
      ({ metadata, spec }) =>
        metadata.namespace === namespace &&
        isVisible(spec.exportTo, namespace, clientNamespace) &&
        hostCovers(fullHost(spec.host, namespace), host),
    );
    const best = candidates
      .map(({ spec }) => fullHost(spec.host, namespace))
      .toSorted(compareSpecificity)
      .at(0);
    if (best === undefined) continue;
    return merge(candidates.filter(({ spec }) => fullHost(spec.host, namespace) === best));
  }
  return { trafficPolicy: undefined, subsets: new Map() };
}

/** Rules of one host in one namespace add up, the older first: its policy and its subsets are not replaced. */
function merge(rules: readonly DestinationRule[]): HostRule {
  const subsets = new Map<string, Subset>();
  for (const { spec } of rules) {
    for (const subset of spec.subsets) {
      if (!subsets.has(subset.name)) subsets.set(subset.name, subset);
    }
  }
  return { trafficPolicy: rules.find(({ spec }) => spec.trafficPolicy !== undefined)?.spec.trafficPolicy, subsets };
}
