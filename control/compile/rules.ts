// Which DestinationRule holds for a host, seen from one namespace.
import { ROOT_NAMESPACE, type DestinationRule } from "../resource/resource.ts";
import type { Subset, TrafficPolicy } from "../resource/destination-rule.ts";
import { compareSpecificity, fullHost, hostCovers, isVisible } from "./hosts.ts";

/** What the rules of one host say together. */
export interface HostRule {
  readonly trafficPolicy: TrafficPolicy | undefined;
  readonly subsets: ReadonlyMap<string, Subset>;
}

/** Rules by namespace and full host; wildcards from the longest. Oldest first within a host. */
export type RuleIndex = ReadonlyMap<string, NamespaceRules>;

interface NamespaceRules {
  readonly byHost: ReadonlyMap<string, readonly DestinationRule[]>;
  readonly wildcards: readonly string[];
}

/** `rules` oldest first. */
export function indexRules(rules: readonly DestinationRule[]): RuleIndex {
  const byNamespace = Map.groupBy(rules, ({ metadata }) => metadata.namespace);
  return new Map(
    [...byNamespace].map(([namespace, own]) => {
      const byHost = Map.groupBy(own, ({ spec }) => fullHost(spec.host, namespace));
      const wildcards = [...byHost.keys()].filter((host) => host.startsWith("*")).toSorted(compareSpecificity);
      return [namespace, { byHost, wildcards }];
    }),
  );
}

/** Istio's search: the namespace of the client, that of the service, the root namespace; in the first that has any, the most exact host. */
export function ruleOf(
  index: RuleIndex,
  host: string,
  clientNamespace: string,
  serviceNamespace: string | undefined,
): HostRule {
  for (const namespace of new Set([clientNamespace, serviceNamespace, ROOT_NAMESPACE])) {
    const rules = namespace === undefined ? undefined : index.get(namespace);
    for (const pattern of rules === undefined ? [] : [host, ...rules.wildcards]) {
      if (!hostCovers(pattern, host)) continue;
      const visible = rules?.byHost
        .get(pattern)
        ?.filter(({ metadata, spec }) => isVisible(spec.exportTo, metadata.namespace, clientNamespace));
      if (visible !== undefined && visible.length > 0) return merge(visible);
    }
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
