// Clusters without endpoints of their own: a request goes where its connection was going (Envoy's ORIGINAL_DST), or where it
// says itself, as requests to a forward proxy do. Each destination has connections of its own, never another's; destinations
// are bounded in number, and forgotten soon after they were used last.
import type { LiveCluster } from "../cluster/cluster.ts";
import { Cluster } from "../contract/cluster.ts";
import type { Exchange, Destination, Outcome } from "../exchange/exchange.ts";
import { failure } from "../exchange/failure.ts";
import { localReply } from "../exchange/reply.ts";

/** Requests that no route knows, as they were meant (Istio's names). */
export const PASSTHROUGH_CLUSTER = "PassthroughCluster";
/** Requests that no route knows, where only the registry's hosts may be called. */
export const BLACK_HOLE_CLUSTER = "BlackHoleCluster";

/** Destinations with connections at once; at the bound one that is idle makes room, or the request is answered 503 `UO`. */
const DESTINATIONS_MAX = 1024;
/** A connection unused for this long is closed: Envoy's `cleanup_interval`, and the one that Istio gives inbound clusters. */
const PASSTHROUGH_IDLE_MS = 5000;
const INBOUND_IDLE_MS = 60_000;

/** A destination with its connections. */
export interface OpenDestination {
  readonly cluster: LiveCluster;
  readonly pool: {
    readonly openConnections: number;
    readonly waitingRequests: number;
    sweep(nowMs: number): void;
    drain(): void;
  };
}

/** What all destinations of one cluster have open. */
export interface ClusterSum {
  readonly cluster: Pick<LiveCluster, "name" | "limits" | "activeRequests" | "tcpConnections" | "endpoints">;
  readonly pool: { readonly openConnections: number; readonly waitingRequests: number };
}

export interface OriginalDestinationsOptions<T extends OpenDestination> {
  /** Makes a cluster with connections that leave from that address, or from any. */
  readonly build: (config: Cluster, sourceAddress: string | undefined) => T;
  /** Whether the system lets us send from that address. */
  readonly hasAddress: (address: string) => boolean;
}

/**
 * From the proxy to its own application. The rules of `vespid intercept` know these connections by their source, and do not
 * redirect them; only so may the application be called at its own address, where it would else be a call to itself.
 */
export const INBOUND_SOURCE = { ipv4: "127.0.0.6", ipv6: "::6" } as const;

/** A destination and how it is spoken to: as the client spoke (`use_downstream_protocol_config`), or as bytes. */
interface Place {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly idleTimeoutMs: number;
  readonly protocol: "downstream" | "tcp";
}

/** The destinations of one proxy, whichever generation found them. */
export class OriginalDestinations<T extends OpenDestination> {
  readonly #destinations = new Map<string, T>();
  readonly #options: OriginalDestinationsOptions<T>;

  constructor(options: OriginalDestinationsOptions<T>) {
    this.#options = options;
  }

  /** For a cluster that the snapshot does not list: where this exchange goes, or the reply to it. */
  find(name: string, exchange: Exchange): T | Outcome {
    if (name === PASSTHROUGH_CLUSTER) return this.#passthrough(exchange);
    if (name === BLACK_HOLE_CLUSTER) return { ok: true, value: localReply(502, "", "direct_response") };
    const inboundPort = Number(/^inbound\|(\d{1,5})\|\|$/u.exec(name)?.[1] ?? 0);
    const { originalDestination } = exchange.downstream;
    if (inboundPort === 0 || originalDestination === undefined) {
      return { ok: false, error: failure("no_cluster", `${JSON.stringify(name)} is not a cluster`) };
    }
    return this.#inbound(name, originalDestination.ip, inboundPort);
  }

  /** Called a few times a second: closes what is idle for too long, and forgets destinations without connections. */
  sweep(nowMs: number): void {
    for (const [key, destination] of this.#destinations) {
      destination.pool.sweep(nowMs);
      if (isUnused(destination)) this.#destinations.delete(key);
    }
  }

  /** Closes connections that are idle, and others after their request. */
  drain(): void {
    for (const { pool } of this.#destinations.values()) pool.drain();
    this.#destinations.clear();
  }

  /** For metrics: destinations of one cluster are told as one. */
  sums(): readonly ClusterSum[] {
    const byName = new Map<string, T[]>();
    for (const destination of this.#destinations.values()) {
      const { name } = destination.cluster;
      const others = byName.get(name);
      if (others === undefined) byName.set(name, [destination]);
      else others.push(destination);
    }
    return [...byName.values()].flatMap((all) => (all[0] === undefined ? [] : [sum(all[0].cluster, all)]));
  }

  #passthrough(exchange: Exchange): T | Outcome {
    const destination = destinationOf(exchange);
    if (destination === undefined) {
      return { ok: false, error: failure("no_route", `${exchange.authority} was not redirected from anywhere`) };
    }
    const { ip, port } = destination;
    // Who is named by a CONNECT is no proxy to be sent one: the tunnel ends here.
    const isTunnel = exchange.upgrade === "connect" && exchange.downstream.originalDestination === undefined;
    const protocol = isTunnel ? "tcp" : "downstream";
    return this.#take({ name: PASSTHROUGH_CLUSTER, address: ip, port, idleTimeoutMs: PASSTHROUGH_IDLE_MS, protocol });
  }

  #inbound(name: string, address: string, port: number): T | Outcome {
    const source = address.includes(":") ? INBOUND_SOURCE.ipv6 : INBOUND_SOURCE.ipv4;
    // All of 127.0.0.0/8 is ours to send from; ::6 only where it was put on an interface.
    if (source === INBOUND_SOURCE.ipv4 || this.#options.hasAddress(source)) {
      return this.#take({ name, address, port, idleTimeoutMs: INBOUND_IDLE_MS, protocol: "downstream" }, source);
    }
    return this.#take({ name, address: "::1", port, idleTimeoutMs: INBOUND_IDLE_MS, protocol: "downstream" });
  }

  #take(place: Place, source?: string): T | Outcome {
    const { name, address, port, idleTimeoutMs, protocol } = place;
    const key = `${name} ${address} ${port} ${protocol}`;
    const known = this.#destinations.get(key);
    if (known !== undefined) return known;
    if (this.#destinations.size >= DESTINATIONS_MAX && !this.#makeRoom()) {
      return { ok: false, error: failure("overloaded", `${DESTINATIONS_MAX} destinations are in use`) };
    }
    const config = Cluster.parse({
      name,
      service: serviceOf(name),
      endpoints: [{ address, port }],
      idleTimeoutMs,
      protocol,
    });
    const built = this.#options.build(config, source);
    this.#destinations.set(key, built);
    return built;
  }

  /** Forgets the destination that was found first and is not in use. */
  #makeRoom(): boolean {
    for (const [key, { cluster, pool }] of this.#destinations) {
      if (cluster.activeRequests > 0) continue;
      pool.drain();
      this.#destinations.delete(key);
      return true;
    }
    return false;
  }
}

/** Where an exchange was going: its connection before it was redirected, or what the request says; `undefined` for neither. */
export function destinationOf(exchange: Exchange): Destination | undefined {
  return exchange.downstream.originalDestination ?? namedDestination(exchange);
}

/** Where a request to a forward proxy goes: `GET http://shop:8080/`, port 80 where it names none, or `CONNECT shop:443`. */
function namedDestination(exchange: Exchange): Destination | undefined {
  if (!exchange.isProxyForm) return undefined;
  const [, bracketed, plain, port = "80"] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/u.exec(exchange.authority) ?? [];
  const address = (bracketed ?? plain ?? "").toLowerCase();
  const number = Number(port);
  return address === "" || number < 1 || number > 65_535 ? undefined : { ip: address, port: number };
}

/** As metrics name it: Istio's for what passes through; the inbound side names its own service. */
function serviceOf(name: string): string {
  return name === PASSTHROUGH_CLUSTER ? name : "unknown";
}

function isUnused({ cluster, pool }: OpenDestination): boolean {
  return cluster.activeRequests === 0 && pool.openConnections === 0 && pool.waitingRequests === 0;
}

function sum({ name, limits }: LiveCluster, all: readonly OpenDestination[]): ClusterSum {
  let [activeRequests, openConnections, waitingRequests] = [0, 0, 0];
  for (const { cluster, pool } of all) {
    activeRequests += cluster.activeRequests;
    openConnections += pool.openConnections;
    waitingRequests += pool.waitingRequests;
  }
  const endpoints = all.flatMap(({ cluster }) => cluster.endpoints);
  return {
    cluster: { name, limits, activeRequests, tcpConnections: 0, endpoints },
    pool: { openConnections, waitingRequests },
  };
}
