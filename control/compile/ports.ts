// What ports speak, for both sides of a proxy: those of every service for its clients, those of its own for the service.
import type { z } from "zod";
import type { Port } from "../../runtime/contract/tcp.ts";
import { familyOf, protocolOf, type Protocol, type ServicePort } from "../resource/service-entry.ts";
import { fullHost } from "./hosts.ts";
import { endpointsOf, type Service } from "./services.ts";
import type { Identity, World } from "./world.ts";

type PortInput = z.input<typeof Port>;

/** Ports by their numbers, as clients call them. */
export function outboundPorts(services: Iterable<Service>): readonly PortInput[] {
  const spoken = new Map<number, Protocol>();
  for (const { ports } of services) {
    for (const port of ports) spoken.set(port.number, agree(spoken.get(port.number), protocolOf(port)));
  }
  return render(spoken);
}

/** The ports at which the service's own sidecar is called: those of its endpoints. */
export function inboundPorts(world: World, { service, namespace, labels }: Identity): readonly PortInput[] {
  const own = world.services(namespace).get(fullHost(service, namespace));
  const spoken = new Map<number, Protocol>();
  for (const port of own?.ports ?? []) {
    for (const number of targetsOf(own, port, labels)) {
      spoken.set(number, agree(spoken.get(number), protocolOf(port)));
    }
  }
  return render(spoken);
}

/** Versions of a service may have ports of their own: those of other versions are not this proxy's. */
function targetsOf(
  service: Service | undefined,
  port: ServicePort,
  labels: Readonly<Record<string, string>>,
): readonly number[] {
  const endpoints = service === undefined ? [] : endpointsOf(service, port);
  const version = labels["version"];
  const isOurs = (own: Readonly<Record<string, string>> = {}) =>
    version === undefined || own["version"] === undefined || own["version"] === version;
  return endpoints.filter((endpoint) => isOurs(endpoint.labels)).map((endpoint) => endpoint.port);
}

/**
 * What a port speaks of which two services say different things. Istio has a listener for each address; ours knows the number
 * alone: within one family the name that promises least, between families what the first bytes tell.
 */
function agree(known: Protocol | undefined, added: Protocol): Protocol {
  if (known === undefined || known === added) return added;
  const family = familyOf(known);
  if (family !== familyOf(added)) return "auto";
  if (family === "http") return known === "grpc-web" || added === "grpc-web" ? "grpc-web" : "http";
  return family;
}

function render(spoken: ReadonlyMap<number, Protocol>): readonly PortInput[] {
  return [...spoken]
    .filter(([, protocol]) => protocol !== "auto")
    .toSorted(([a], [b]) => a - b)
    .map(([port, protocol]) => ({ port, protocol }));
}
