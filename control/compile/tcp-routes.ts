// Ports of TLS and TCP become routes by SNI, address and port. For each port: what VirtualServices say of it, then the service.
import type { z } from "zod";
import type { TcpRoute } from "../../runtime/contract/tcp.ts";
import type { VirtualService } from "../resource/resource.ts";
import type { ServicePort } from "../resource/service-entry.ts";
import type { TcpRoute as TcpRule, TlsRoute as TlsRule } from "../resource/virtual-service.ts";
import type { Clusters } from "./clusters.ts";
import { fullHost, hostCovers } from "./hosts.ts";
import { familyOfPort, type Service } from "./services.ts";
import { isFor, seenVirtualServices, type Identity, type World } from "./world.ts";

type RouteInput = z.input<typeof TcpRoute>;

/** One port of one service, as one proxy sees it. */
interface Place {
  readonly service: Service;
  readonly port: ServicePort;
  readonly services: ReadonlyMap<string, Service>;
  /** Those that name the service's host, the oldest first. */
  readonly virtualServices: readonly VirtualService[];
  readonly clusters: Clusters;
  readonly identity: Identity;
}

/** The routes of everything that is not HTTP, and of what need not be. Of two that are alike the proxy takes the first. */
export function buildTcpRoutes(world: World, clusters: Clusters, identity: Identity): readonly RouteInput[] {
  const services = world.services(identity.namespace);
  const seen = seenVirtualServices(world, identity.namespace).filter(
    ({ spec }) => spec.tls.length + spec.tcp.length > 0,
  );
  return [...services.values()].flatMap((service) => {
    const virtualServices = seen.filter(({ metadata, spec }) =>
      spec.hosts.some((host) => hostCovers(fullHost(host, metadata.namespace), service.host)),
    );
    return service.ports.flatMap((port) => {
      const place: Place = { service, port, services, virtualServices, clusters, identity };
      switch (familyOfPort(port)) {
        case "http":
          return [];
        case "tls":
          return buildTls(place).flatMap(splitSubnets);
        case "tcp":
        case "auto":
          return buildTcp(place).flatMap(splitSubnets);
      }
    });
  });
}

/** Istio: where any rule of TLS holds for the port, the service's own name is no route. */
function buildTls(place: Place): readonly RouteInput[] {
  const { service, port, virtualServices, identity } = place;
  const ruled = virtualServices.flatMap((owner) =>
    owner.spec.tls.flatMap((rule) =>
      rule.match
        .filter((match) => isFor(match, identity) && (match.port ?? port.number) === port.number)
        .map(({ sniHosts, destinationSubnets }) =>
          buildRoute(place, owner, rule, {
            port: port.number,
            sniHosts: [...sniHosts],
            destinationSubnets: destinationSubnets.length > 0 ? [...destinationSubnets] : [...service.addresses],
          }),
        ),
    ),
  );
  if (ruled.length > 0) return ruled;
  // An address of its own tells the service; without one, or with a network, the name does.
  const hasOwnAddress = service.addresses.length > 0 && service.addresses.every((address) => !address.includes("/"));
  return [buildDefault(place, hasOwnAddress ? [] : [service.host])];
}

/** Istio: the first rule that asks for no address of its own is the last one; the service itself comes after rules that do. */
function buildTcp(place: Place): readonly RouteInput[] {
  const { service, port, virtualServices, identity } = place;
  const routes: RouteInput[] = [];
  for (const owner of virtualServices) {
    for (const rule of owner.spec.tcp) {
      const matches = rule.match.filter(
        (match) => isFor(match, identity) && (match.port ?? port.number) === port.number,
      );
      if (rule.match.length === 0 || matches.some(({ destinationSubnets }) => destinationSubnets.length === 0)) {
        const match = { port: port.number, destinationSubnets: [...service.addresses] };
        return [...routes, buildRoute(place, owner, rule, match)];
      }
      const destinationSubnets = matches.flatMap((match) => match.destinationSubnets);
      if (destinationSubnets.length > 0) {
        routes.push(buildRoute(place, owner, rule, { port: port.number, destinationSubnets }));
      }
    }
  }
  return [...routes, buildDefault(place, [])];
}

function buildDefault({ service, port, clusters }: Place, sniHosts: readonly string[]): RouteInput {
  return {
    match: { port: port.number, destinationSubnets: [...service.addresses], sniHosts: [...sniHosts] },
    destinations: [{ cluster: clusters.use(service.host, undefined, port.number) }],
    ...idle(clusters.tcpIdleTimeoutMs(service.host, undefined, port.number)),
  };
}

function buildRoute(
  { port, services, clusters }: Place,
  { metadata }: VirtualService,
  { route }: TcpRule | TlsRule,
  match: RouteInput["match"],
): RouteInput {
  const isAlone = route.length === 1;
  const targets = route.map(({ destination, weight }) => {
    const host = fullHost(destination.host, metadata.namespace);
    const { subset } = destination;
    // Istio: the port that was called, where the destination has several and none is named.
    const only = services.get(host)?.ports;
    const number = destination.port?.number ?? (only?.length === 1 ? only[0]?.number : undefined) ?? port.number;
    return { host, subset, number, weight: isAlone ? 1 : weight };
  });
  const [first] = targets;
  return {
    match,
    destinations: targets.map(({ host, subset, number, weight }) => {
      return { cluster: clusters.use(host, subset, number), weight };
    }),
    ...idle(first === undefined ? undefined : clusters.tcpIdleTimeoutMs(first.host, first.subset, first.number)),
  };
}

function idle(idleTimeoutMs: number | undefined): Pick<RouteInput, "idleTimeoutMs"> {
  return idleTimeoutMs === undefined ? {} : { idleTimeoutMs };
}

/** Networks of one route, as many as a proxy takes. */
const SUBNETS_MAX = 1000;

/** Several resources may name more networks than one route holds: then it is several routes. */
function splitSubnets(route: RouteInput): readonly RouteInput[] {
  const subnets = route.match?.destinationSubnets ?? [];
  if (subnets.length <= SUBNETS_MAX) return [route];
  return Array.from({ length: Math.ceil(subnets.length / SUBNETS_MAX) }, (_, part) => {
    const destinationSubnets = subnets.slice(part * SUBNETS_MAX, (part + 1) * SUBNETS_MAX);
    return { ...route, match: { ...route.match, destinationSubnets } };
  });
}
