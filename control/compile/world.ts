// Everything that is wanted, sorted out once for each change; proxies' snapshots are built from it.
import type { BundleRef, Digest } from "../../runtime/contract/bundle.ts";
import type { DestinationRule, Filter, Resource, ServiceEntry, VirtualService } from "../resource/resource.ts";

/** Who a proxy is, as far as its snapshot depends on it. */
export interface Identity {
  readonly service: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Resources by kind, oldest first: where two claim the same, Istio lets the older win. */
export interface World {
  readonly serviceEntries: readonly ServiceEntry[];
  readonly destinationRules: readonly DestinationRule[];
  readonly virtualServices: readonly VirtualService[];
  readonly filters: readonly Filter[];
  readonly bundles: ReadonlyMap<Digest, BundleRef>;
}

/** `resources` oldest first. */
export function buildWorld(resources: readonly Resource[], bundles: ReadonlyMap<Digest, BundleRef>): World {
  const serviceEntries: ServiceEntry[] = [];
  const destinationRules: DestinationRule[] = [];
  const virtualServices: VirtualService[] = [];
  const filters: Filter[] = [];
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
      case "Filter":
        filters.push(resource);
        break;
    }
  }
  return { serviceEntries, destinationRules, virtualServices, filters, bundles };
}

/** Whether all of `wanted` are among `labels`. */
export function hasLabels(labels: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}
