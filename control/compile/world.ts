// Everything that is wanted, sorted out once for each change; proxies' snapshots are built from it.
import type { BundleRef, Digest } from "../../runtime/contract/bundle.ts";
import {
  ROOT_NAMESPACE,
  type Adapter,
  type DestinationRule,
  type Filter,
  type Resource,
  type Rule,
  type ServiceEntry,
  type Sidecar,
  type VirtualService,
} from "../resource/resource.ts";
import { fullHost, isVisible } from "./hosts.ts";
import { indexRules, type RuleIndex } from "./rules.ts";
import { servicesOf, type Service } from "./services.ts";

/** Who a proxy is, as far as its snapshot depends on it. */
export interface Identity {
  readonly service: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Resources oldest first: where two claim the same, Istio lets the older win. What every snapshot needs is indexed once. */
export interface World {
  readonly virtualServices: readonly VirtualService[];
  readonly sidecars: readonly Sidecar[];
  readonly filters: readonly Filter[];
  readonly adapters: readonly Adapter[];
  /** Those that lead to adapters; `rules` are DestinationRules'. */
  readonly adapterRules: readonly Rule[];
  readonly bundles: ReadonlyMap<Digest, BundleRef>;
  readonly rules: RuleIndex;
  /** Services by full host, as a proxy of the namespace sees them. */
  services(namespace: string): ReadonlyMap<string, Service>;
  /** The oldest VirtualService of the namespace that claims the full host. */
  ownerOf(namespace: string, host: string): VirtualService | undefined;
}

/** `resources` oldest first. */
export function buildWorld(resources: readonly Resource[], bundles: ReadonlyMap<Digest, BundleRef>): World {
  const serviceEntries: ServiceEntry[] = [];
  const destinationRules: DestinationRule[] = [];
  const virtualServices: VirtualService[] = [];
  const sidecars: Sidecar[] = [];
  const filters: Filter[] = [];
  const adapters: Adapter[] = [];
  const adapterRules: Rule[] = [];
  for (const resource of resources) {
    switch (resource.kind) {
      case "ServiceEntry":
        serviceEntries.push(resource);
        break;
      case "DestinationRule":
        destinationRules.push(resource);
        break;
      case "VirtualService":
        virtualServices.push(resource);
        break;
      case "Sidecar":
        sidecars.push(resource);
        break;
      case "Filter":
        filters.push(resource);
        break;
      case "Adapter":
        adapters.push(resource);
        break;
      case "Rule":
        adapterRules.push(resource);
        break;
    }
  }
  const services = new Map<string, ReadonlyMap<string, Service>>();
  const owners = indexOwners(virtualServices);
  return {
    virtualServices,
    sidecars,
    filters,
    adapters,
    adapterRules,
    bundles,
    rules: indexRules(destinationRules),
    services(namespace) {
      const seen = services.get(namespace) ?? servicesOf(serviceEntries, namespace);
      services.set(namespace, seen);
      return seen;
    },
    ownerOf: (namespace, host) => owners.get(`${namespace}/${host}`),
  };
}

function indexOwners(virtualServices: readonly VirtualService[]): ReadonlyMap<string, VirtualService> {
  const owners = new Map<string, VirtualService>();
  for (const virtualService of virtualServices) {
    const { namespace } = virtualService.metadata;
    for (const host of virtualService.spec.hosts) {
      const key = `${namespace}/${fullHost(host, namespace)}`;
      if (!owners.has(key)) owners.set(key, virtualService);
    }
  }
  return owners;
}

/** Whether all of `wanted` are among `labels`. */
export function hasLabels(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

/** The VirtualServices of sidecars that a proxy of the namespace sees, the oldest first. */
export function seenVirtualServices(world: World, namespace: string): readonly VirtualService[] {
  return world.virtualServices.filter(
    ({ metadata, spec }) => spec.gateways.includes("mesh") && isVisible(spec.exportTo, metadata.namespace, namespace),
  );
}

/** What a match says of the proxies that it is for. */
export interface Sources {
  readonly sourceLabels: Readonly<Record<string, string>>;
  readonly sourceNamespace?: string | undefined;
}

/** Whether a match is for this proxy. */
export function isFor({ sourceLabels, sourceNamespace }: Sources, { labels, namespace }: Identity): boolean {
  return hasLabels(labels, sourceLabels) && (sourceNamespace === undefined || sourceNamespace === namespace);
}

/** The Sidecar that holds for a proxy: the one that selects it, that of its namespace, that of the root namespace; of several the oldest. */
export function sidecarOf({ sidecars }: World, { namespace, labels }: Identity): Sidecar | undefined {
  const selects = ({ metadata, spec }: Sidecar): boolean =>
    metadata.namespace === namespace &&
    spec.workloadSelector !== undefined &&
    hasLabels(labels, spec.workloadSelector.labels);
  const wide = sidecars.filter(({ spec }) => spec.workloadSelector === undefined);
  const wideOf = (owner: string) => wide.find(({ metadata }) => metadata.namespace === owner);
  return sidecars.find(selects) ?? wideOf(namespace) ?? wideOf(ROOT_NAMESPACE);
}
