// One proxy's snapshot: a function of who it is and what is wanted, and of nothing else.
import type { z } from "zod";
import type { Snapshot } from "../../runtime/contract/snapshot.ts";
import { buildRules } from "../compile/adapters.ts";
import { collectClusters } from "../compile/clusters.ts";
import { buildFilters } from "../compile/filters.ts";
import { inboundPorts, outboundPorts } from "../compile/ports.ts";
import { buildVirtualHosts } from "../compile/routes.ts";
import { buildTcpRoutes } from "../compile/tcp-routes.ts";
import { sidecarOf, type Identity, type World } from "../compile/world.ts";

/** What the proxy should run. Everything in it is covered by its version. */
export function buildSnapshot(world: World, identity: Identity): z.input<typeof Snapshot> {
  const clusters = collectClusters(world, identity.namespace);
  const virtualHosts = buildVirtualHosts(world, clusters, identity);
  const tcpRoutes = buildTcpRoutes(world, clusters, identity);
  const { inbound, outbound, adapters } = buildRules(world, clusters, identity);
  const outboundPolicy = sidecarOf(world, identity)?.spec.outboundTrafficPolicy.mode;
  return {
    service: identity.service,
    inbound: {
      filters: [...buildFilters(world, clusters, identity, "inbound")],
      rules: inbound,
      ports: [...inboundPorts(world, identity)],
    },
    outbound: {
      virtualHosts: [...virtualHosts],
      filters: [...buildFilters(world, clusters, identity, "outbound")],
      rules: outbound,
      ports: [...outboundPorts(world.services(identity.namespace).values())],
      tcpRoutes: [...tcpRoutes],
      ...(outboundPolicy === undefined ? {} : { outboundPolicy }),
    },
    adapters,
    clusters: [...clusters.list()],
  };
}
