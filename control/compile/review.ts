// What can be said about resources only by looking at the others: problems that refuse a change, and warnings where Istio would take it.
import type { BundleRef, Manifest } from "../../runtime/contract/bundle.ts";
import type { Problem } from "../../runtime/contract/problem.ts";
import {
  keyOf,
  renderKey,
  type Filter,
  type Resource,
  type ServiceEntry,
  type VirtualService,
} from "../resource/resource.ts";
import { fullHost } from "./hosts.ts";
import { ruleOf } from "./rules.ts";
import type { Service } from "./services.ts";
import type { World } from "./world.ts";

/** What checks the configuration of filters, which control itself knows nothing of. Paths are below the configuration. */
export interface CheckConfig {
  /** Under the schema in a bundle's manifest. */
  bundle(manifest: Manifest, config: unknown): readonly Problem[];
  /** As the filter of that name, which every proxy has, takes it. */
  builtin(name: string, config: unknown): readonly Problem[];
}

/** What is to be said about one resource; paths below the resource. */
export interface Review {
  readonly problems: readonly Problem[];
  /** Accepted, and probably not what was meant. */
  readonly warnings: readonly Problem[];
}

/** Looks at a resource in the world as it would be with it. */
export function reviewResource(world: World, resource: Resource, checkConfig: CheckConfig): Review {
  switch (resource.kind) {
    case "Filter":
      return { problems: reviewFilter(world, resource, checkConfig), warnings: [] };
    case "VirtualService":
      return reviewVirtualService(world, resource);
    case "ServiceEntry":
      return { problems: [], warnings: reviewServiceEntry(resource) };
    case "DestinationRule": {
      const { metadata, spec } = resource;
      const host = fullHost(spec.host, metadata.namespace);
      const isKnown = host.startsWith("*") || world.services(metadata.namespace).has(host);
      return { problems: [], warnings: isKnown ? [] : [unknownHost("spec.host", host)] };
    }
  }
}

/** Resources that use a bundle, for people. */
export function usersOf(world: World, digest: BundleRef["digest"]): readonly string[] {
  return world.filters.filter(({ spec }) => spec.bundle === digest).map((filter) => renderKey(keyOf(filter)));
}

function reviewFilter(world: World, { spec }: Filter, checkConfig: CheckConfig): readonly Problem[] {
  if (spec.builtin !== undefined) return placeInConfig(checkConfig.builtin(spec.builtin, spec.config));
  if (spec.bundle === undefined) return [];
  const bundle = world.bundles.get(spec.bundle);
  if (bundle === undefined) {
    return [{ path: "spec.bundle", message: `${spec.bundle} was not pushed here; run "vespid filter push" first` }];
  }
  return placeInConfig(checkConfig.bundle(bundle.manifest, spec.config));
}

function placeInConfig(problems: readonly Problem[]): readonly Problem[] {
  return problems.map(({ path, message }) => ({
    path: path === "" ? "spec.config" : path.startsWith("[") ? `spec.config${path}` : `spec.config.${path}`,
    message,
  }));
}

function reviewServiceEntry({ spec }: ServiceEntry): readonly Problem[] {
  const [first, second] = spec.ports;
  if (first === undefined || second === undefined) return [];
  const message = `a host with several ports answers on ${first.number} (the first) where no VirtualService names a port`;
  return [{ path: "spec.ports", message }];
}

function reviewVirtualService(world: World, resource: VirtualService): Review {
  const { metadata, spec } = resource;
  const services = world.services(metadata.namespace);
  const problems: Problem[] = [];
  const warnings: Problem[] = [...rivalsOf(world, resource)];
  spec.http.forEach(({ route }, ruleIndex) => {
    route.forEach(({ destination }, index) => {
      const path = `spec.http[${ruleIndex}].route[${index}].destination`;
      const host = fullHost(destination.host, metadata.namespace);
      const service = services.get(host);
      if (service === undefined) {
        warnings.push(unknownHost(`${path}.host`, host));
        return;
      }
      problems.push(...reviewPort(service, destination.port?.number, path));
      const port = destination.port?.number;
      if (port !== undefined && service.ports.every(({ number }) => number !== port)) {
        warnings.push({
          path: `${path}.port.number`,
          message: `${host} has no port ${port}; requests get 503 until it has`,
        });
      }
      const { subset } = destination;
      if (
        subset !== undefined &&
        !ruleOf(world.rules, host, metadata.namespace, service.namespace).subsets.has(subset)
      ) {
        const message = `no DestinationRule of ${host} has a subset "${subset}"; requests get 503 until one has`;
        warnings.push({ path: `${path}.subset`, message });
      }
    });
  });
  return { problems, warnings };
}

function reviewPort({ host, ports }: Service, port: number | undefined, path: string): readonly Problem[] {
  if (port !== undefined || ports.length < 2) return [];
  const numbers = ports.map(({ number }) => number).join(", ");
  return [{ path: `${path}.port`, message: `is required, since ${host} has several ports: ${numbers}` }];
}

/** Other VirtualServices of the namespace that claim the same host: the older wins, as in Istio. */
function rivalsOf(world: World, resource: VirtualService): readonly Problem[] {
  const { metadata, spec } = resource;
  return spec.hosts.flatMap((name, index) => {
    const host = fullHost(name, metadata.namespace);
    const owner = world.ownerOf(metadata.namespace, host);
    if (owner === undefined || owner.metadata.name === metadata.name) return [];
    const message = `${host} is claimed by the older ${renderKey(keyOf(owner))}, which wins`;
    return [{ path: `spec.hosts[${index}]`, message }];
  });
}

function unknownHost(path: string, host: string): Problem {
  return { path, message: `no ServiceEntry declares ${host}; requests get 503 until one does` };
}
