// What one generation says about connections: what ports speak, who ends TLS, and where bytes go that are not read.
import { compileWeights } from "./balance/balancer.ts";
import { LiveCluster, LiveEndpoint } from "./cluster/cluster.ts";
import { Cluster } from "./contract/cluster.ts";
import type { Listener } from "./contract/listener.ts";
import type { Parsed } from "./contract/problem.ts";
import type { Identity } from "./contract/tls.ts";
import type { Direction, Downstream, Random } from "./exchange/exchange.ts";
import type { TcpPlan } from "./codec/tcp-proxy.ts";
import type { Reception } from "./listener/arrival.ts";
import { renderProxyHeader } from "./listener/proxy-protocol.ts";
import type { ContextCache } from "./listener/secure-context.ts";
import { compileTlsServer, MODE_RULES } from "./listener/tls.ts";
import { compileTcpRoutes } from "./route/tcp-table.ts";
import type { TlsClient } from "./upstream/client-tls.ts";
import { INBOUND_SOURCE } from "./upstream/original-dst.ts";
import { TcpAttempt, type TcpTarget } from "./upstream/tcp.ts";

/** A cluster as TCP needs it. */
export interface TcpCluster {
  readonly config: Cluster;
  readonly cluster: LiveCluster;
  readonly tls: TlsClient | undefined;
}

export interface ReceptionDeps {
  readonly direction: Direction;
  readonly identity: Identity | undefined;
  readonly clusters: ReadonlyMap<string, TcpCluster>;
  readonly contexts: ContextCache;
  readonly random: Random;
}

/** Envoy's defaults for connections that no route names. */
const IDLE_TIMEOUT_MS = 3_600_000;

/** Compiles one direction; `applicationPort` gives the cluster of the application behind a door of that port. */
export function compileReception(
  listener: Listener,
  deps: ReceptionDeps,
): Parsed<(application: string | undefined) => Reception> {
  const { direction, identity, clusters, contexts, random } = deps;
  const compiled = compileTlsServer(listener.tls, identity, `${direction}.tls`, contexts);
  if (!compiled.ok) return compiled;
  const ports = new Map(listener.ports.map((port) => [port.port, port]));
  const tls = compiled.value;
  const find = compileTcpRoutes(listener.tcpRoutes);
  const plans = new Map(listener.tcpRoutes.map((route) => [route, compilePlan(route, clusters, random)]));
  const passthrough = passthroughPlan(direction, random);

  function receptionFor(application: string | undefined): Reception {
    const target = application === undefined ? undefined : clusters.get(application);
    const toApplication =
      target === undefined ? undefined : planFor(() => ({ ...targetOf(target), routeName: "" }), IDLE_TIMEOUT_MS);
    return {
      proxyProtocol: listener.proxyProtocol,
      detectionTimeoutMs: listener.protocolDetectionTimeoutMs,
      protocolOf: (port) => ports.get(port)?.protocol ?? "auto",
      modeOf: (port) => MODE_RULES[ports.get(port)?.tlsMode ?? listener.tls.mode],
      tls,
      tcp: (downstream, serverName) => {
        const original = downstream.originalDestination;
        const route = find(original?.port ?? downstream.localPort, original?.ip, serverName);
        if (route !== undefined) return plans.get(route);
        if (toApplication !== undefined) return toApplication;
        const isOpen = direction === "inbound" || listener.outboundPolicy === "ALLOW_ANY";
        return isOpen && original !== undefined ? passthrough : undefined;
      },
      planFor: (name) => {
        const chosen = clusters.get(name);
        return chosen && planFor(() => ({ ...targetOf(chosen), routeName: "" }), IDLE_TIMEOUT_MS);
      },
    };
  }
  return { ok: true, value: receptionFor };
}

type NamedTarget = TcpTarget & { readonly routeName: string };

function planFor(pick: () => NamedTarget | undefined, idleTimeoutMs: number): TcpPlan {
  return {
    idleTimeoutMs,
    upstreamFor: (session) => {
      const target = pick();
      if (target === undefined) return UNREACHABLE;
      session.routeName = target.routeName;
      session.cluster = target.cluster.name;
      session.service = target.cluster.service;
      return new TcpAttempt(target);
    },
  };
}

/** Snapshots are checked, so that this is for routes to an application that this proxy does not stand before. */
const UNREACHABLE: ReturnType<TcpPlan["upstreamFor"]> = {
  start: (proxy) => {
    proxy.session.flags = "NC";
    proxy.refused();
  },
  over: () => undefined,
};

function compilePlan(
  route: Listener["tcpRoutes"][number],
  clusters: ReadonlyMap<string, TcpCluster>,
  random: Random,
): TcpPlan {
  const draw = compileWeights(route.destinations.map(({ weight }) => weight));
  const targets = route.destinations.map(({ cluster }) => {
    const target = clusters.get(cluster);
    if (target === undefined) return undefined;
    return { ...targetOf(target), connectAttemptsMax: route.maxConnectAttempts, routeName: route.name };
  });
  return planFor(() => targets[targets.length === 1 ? 0 : draw(random())], route.idleTimeoutMs);
}

function targetOf({ config, cluster, tls }: TcpCluster): TcpTarget {
  const version = config.proxyProtocol?.version;
  return {
    cluster,
    tls,
    pick: () => cluster.pick(),
    connectAttemptsMax: 1,
    preambleFor: version === undefined ? undefined : ({ downstream }) => headerFor(version, downstream),
  };
}

function headerFor(version: "V1" | "V2", downstream: Downstream): Buffer {
  const [source, destination] = [downstream.remoteAddress, downstream.localAddress].map(splitAddress);
  return renderProxyHeader(version, {
    sourceIp: source?.ip ?? "",
    sourcePort: source?.port ?? 0,
    destinationIp: downstream.originalDestination?.ip ?? destination?.ip ?? "",
    destinationPort: downstream.originalDestination?.port ?? destination?.port ?? 0,
  });
}

function splitAddress(address: string): { readonly ip: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  return { ip: address.slice(0, colon).replaceAll(/[[\]]/gu, ""), port: Number(address.slice(colon + 1)) };
}

/** To the address that the client called, as Istio's clusters of these names. */
function passthroughPlan(direction: Direction, random: Random): TcpPlan {
  const name = direction === "inbound" ? "InboundPassthroughCluster" : "PassthroughCluster";
  const cluster = new LiveCluster(Cluster.parse({ name, service: name, endpoints: [] }), random);
  // To the application from the address that the rules know; from another it would come back here for ever.
  function sourceFor(ip: string): string | undefined {
    if (direction === "outbound") return undefined;
    return ip.includes(":") ? INBOUND_SOURCE.ipv6 : INBOUND_SOURCE.ipv4;
  }
  const target: NamedTarget = {
    cluster,
    tls: undefined,
    pick: ({ downstream: { originalDestination } }) =>
      originalDestination === undefined
        ? undefined
        : new LiveEndpoint(originalDestination.ip, originalDestination.port, 1, sourceFor(originalDestination.ip)),
    connectAttemptsMax: 1,
    preambleFor: undefined,
    routeName: "",
  };
  return planFor(() => target, IDLE_TIMEOUT_MS);
}
