// Which services a proxy of one namespace sees.
import type { z } from "zod";
import type { Endpoint } from "../../runtime/contract/cluster.ts";
import { familyOf, protocolOf, type ProtocolFamily, type ServicePort } from "../resource/service-entry.ts";
import type { ServiceEntry } from "../resource/resource.ts";
import { fullHost, isVisible } from "./hosts.ts";

/** A service by one of its hosts; entries of one namespace that name the same host are one service. */
export interface Service {
  /** Full name, or a wildcard. */
  readonly host: string;
  readonly namespace: string;
  /** In the order of the entries. */
  readonly ports: readonly ServicePort[];
  /** Addresses and networks that clients call it by. */
  readonly addresses: readonly string[];
  readonly entries: readonly ServiceEntry[];
}

/** Services by full host. Of a host that two namespaces declare, a proxy sees the one of its own, else the oldest, as Istio. */
export function servicesOf(entries: readonly ServiceEntry[], namespace: string): ReadonlyMap<string, Service> {
  const services = new Map<string, Service>();
  for (const entry of entries) {
    const owner = entry.metadata.namespace;
    if (!isVisible(entry.spec.exportTo, owner, namespace)) continue;
    for (const name of entry.spec.hosts) {
      const host = fullHost(name, owner);
      const known = services.get(host);
      const isOurs = known === undefined || known.namespace === owner;
      if (isOurs || owner === namespace) services.set(host, merge(host, isOurs ? known : undefined, entry));
    }
  }
  return services;
}

/** Addresses that serve one port of a service. */
export function endpointsOf(service: Service, port: ServicePort): readonly z.input<typeof Endpoint>[] {
  return service.entries.flatMap(({ spec, metadata }) => {
    const own = spec.ports.find(({ number }) => number === port.number);
    if (own === undefined) return [];
    const target = own.targetPort ?? own.number;
    // Istio: with DNS and no endpoints, the host is itself the address.
    if (spec.endpoints.length === 0) return [{ address: service.host, port: target }];
    return spec.endpoints.map(({ address, ports, labels, weight }) => {
      return { address, port: ports[own.name] ?? target, labels: { ...metadata.labels, ...labels }, weight };
    });
  });
}

/** Which of the families a port is of. */
export function familyOfPort(port: ServicePort): ProtocolFamily {
  return familyOf(protocolOf(port));
}

/** Ports that requests are routed to: those of HTTP, and those that may be. */
export function httpPorts({ ports }: Service): readonly ServicePort[] {
  return ports.filter((port) => {
    const family = familyOfPort(port);
    return family === "http" || family === "auto";
  });
}

function merge(host: string, known: Service | undefined, entry: ServiceEntry): Service {
  const before = known?.ports ?? [];
  const added = entry.spec.ports.filter(({ number }) => before.every((port) => port.number !== number));
  return {
    host,
    namespace: entry.metadata.namespace,
    ports: [...before, ...added],
    addresses: [...new Set([...(known?.addresses ?? []), ...entry.spec.addresses])],
    entries: [...(known?.entries ?? []), entry],
  };
}
