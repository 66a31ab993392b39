// What the replays share: the whole proxy between transports that only count, and the clock that tells what it cost.
import { noAdapters } from "../harness/no-adapters.ts";
import { NO_FILTERS } from "../harness/no-filters.ts";
import { ChunkClock } from "../../runtime/codec/chunk-clock.ts";
import type { Front } from "../../runtime/codec/http1-server.ts";
import type { Transport } from "../../runtime/codec/socket-writer.ts";
import { parseSnapshot } from "../../runtime/contract/snapshot.ts";
import { versionOf } from "../../runtime/contract/version.ts";
import type { Downstream } from "../../runtime/exchange/exchange.ts";
import { buildGeneration, buildTarget, type Generation, type Target } from "../../runtime/generation.ts";
import { replyFor } from "../../runtime/reply/rescue.ts";
import { AccessLog } from "../../runtime/telemetry/access-log.ts";
import { Metrics } from "../../runtime/telemetry/metrics.ts";
import { observe } from "../../runtime/telemetry/observe.ts";
import type { Pool } from "../../runtime/upstream/pool.ts";
import { OriginalDestinations } from "../../runtime/upstream/original-dst.ts";
import { PooledConnection, type SubPool } from "../../runtime/upstream/pooled-connection.ts";

/** Requests that are in flight at once. */
export const BATCH = 32;
/** What replies carry. */
export const REPLY_BODY: Buffer = Buffer.alloc(100, 120);
const CLOCK = new ChunkClock({ now: () => Date.now(), monotonic: () => performance.now() });
/** Whom requests come from. */
export const DOWNSTREAM: Downstream = {
  direction: "outbound",
  remoteIp: "127.0.0.1",
  remoteAddress: "127.0.0.1:3",
  localAddress: "127.0.0.1:4",
  localPort: 4,
  originalDestination: undefined,
  tls: undefined,
};

/** The way of a request, from the downstream's codec to the upstream's. */
export interface ReplayPath {
  readonly front: Front;
  /** Opens a connection to the upstream, of the pool that `poolOf` makes. */
  readonly connect: (poolOf: (pool: Pool) => SubPool, alpn: string) => PooledConnection;
  /** Exchanges that ended. */
  readonly ended: () => number;
  readonly close: () => void;
}

/** Builds it; the cluster asks for the protocol of that name. */
export async function buildPath(protocol: string): Promise<ReplayPath> {
  const snapshot = parseSnapshot({
    service: "bench",
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port: 1 }], protocol }],
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c", weight: 100 }] }] }],
    },
  });
  if (!snapshot.ok) throw new Error(JSON.stringify(snapshot.problems));
  const log = new AccessLog("/dev/null");
  let ended = 0;
  const metrics = new Metrics({ service: "bench", namespace: "default", version: "v1" }, CLOCK, (exchange, nowMs) => {
    ended++;
    log.log(exchange, nowMs);
  });
  const built = await buildGeneration(
    snapshot.value,
    versionOf(snapshot.value),
    {
      applications: [],
      observe: observe(() => crypto.randomUUID()),
      ...NO_FILTERS,
      ...noAdapters(CLOCK),
      originalDestinations: new OriginalDestinations<Target>({
        build: (config, sourceAddress) => buildTarget(config, undefined, Math.random, sourceAddress),
        hasAddress: () => false,
      }),
      compileChain: () => (next) => next,
      compileTcpChain: () => undefined,
      clock: CLOCK,
      random: Math.random,
    },
    undefined,
  );
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const generation: Generation = built.value;
  const front: Front = {
    service: generation.outbound,
    limits: snapshot.value.outbound.limits,
    http: snapshot.value.outbound.http,
    render: replyFor,
    isDraining: false,
    clock: CLOCK,
    observer: metrics,
  };
  const connect: ReplayPath["connect"] = (poolOf, alpn) => {
    const target = generation.targets.get("c");
    const endpoint = target?.cluster.endpoints[0];
    if (target === undefined || endpoint === undefined) throw new Error("the cluster is gone");
    // From a pool where nobody waits; the cluster's own takes it over as ALPN would have it.
    const upstream = new PooledConnection(target.pool, endpoint, poolOf(target.pool));
    target.pool.openConnections++;
    target.pool.opened(upstream, new Sink(), "127.0.0.1:2", alpn);
    return upstream;
  };
  return { front, connect, ended: () => ended, close: () => log.close() };
}

/** Takes everything and keeps nothing. */
export class Sink implements Transport {
  bytes = 0;
  writes = 0;
  write(_bytes: Uint8Array, _offset: number, length: number): number {
    this.bytes += length;
    this.writes++;
    return length;
  }
  pause(): void {}
  resume(): void {}
  shutdown(): void {}
  end(): void {}
  terminate(): void {}
}

/** Processor time of all of the process's threads: a busy machine does not change it, and what the JIT and the collector do counts. */
export function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** The loop's next turn, before which connections have written. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
