// What does JavaScript alone cost for one HTTP/2 request? Captured bytes are replayed through transports that only count:
// the whole proxy between them, both codecs, every layer, metrics and the access log, and no kernel.
import { noAdapters } from "../harness/no-adapters.ts";
import { NO_FILTERS } from "../harness/no-filters.ts";
import { ChunkClock } from "../../runtime/codec/chunk-clock.ts";
import { feedChunk } from "../../runtime/codec/chunk.ts";
import { Http2Server } from "../../runtime/codec/http2-server.ts";
import type { Front } from "../../runtime/codec/http1-server.ts";
import {
  ACK,
  DATA,
  END_HEADERS,
  END_STREAM,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  PREFACE,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../runtime/codec/http2-frames.ts";
import type { Transport } from "../../runtime/codec/socket-writer.ts";
import { parseSnapshot } from "../../runtime/contract/snapshot.ts";
import { versionOf } from "../../runtime/contract/version.ts";
import { buildGeneration, buildTarget, type Generation, type Target } from "../../runtime/generation.ts";
import { replyFor } from "../../runtime/reply/rescue.ts";
import { AccessLog } from "../../runtime/telemetry/access-log.ts";
import { Metrics } from "../../runtime/telemetry/metrics.ts";
import { observe } from "../../runtime/telemetry/observe.ts";
import { Http2Pool } from "../../runtime/upstream/http2-pool.ts";
import { OriginalDestinations } from "../../runtime/upstream/original-dst.ts";
import { PooledConnection } from "../../runtime/upstream/pooled-connection.ts";
import { frame, settings, uint32 } from "../harness/http2-peer.ts";
import { record, TRAFFIC, type Traffic } from "./hpack.ts";
import { type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "What does JavaScript alone cost for one HTTP/2 request?";

/** Requests that arrive in one chunk, as 32 streams of a connection do. */
const BATCH = 32;
const WINDOW = 0x7fff_0000;
const BODY = Buffer.alloc(100, 120);
/** What must hold, and where to go. */
const BOUNDS: Readonly<Record<string, readonly [number, number]>> = { T1: [2, 1], T2: [3, 1.5], T4: [8, 5] };
const CLOCK = new ChunkClock({ now: () => Date.now(), monotonic: () => performance.now() });

/**
 * Replays a connection's worth of requests, round after round, each on connections of its own. The fastest round counts:
 * compiling, collecting and whatever else the machine does only add to it.
 */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const rounds = isQuick ? 5 : 25;
  const path = await buildPath();
  const figures = new Map<string, number[]>();
  const captured = TRAFFIC.map((traffic) => ({ traffic, chunks: capture(traffic) }));
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    for (const { traffic, chunks } of captured) {
      const us = await replay(path, chunks);
      figures.set(traffic.name, [...(figures.get(traffic.name) ?? []), us]);
    }
  }
  path.close();
  const rows: BenchRow[] = captured.map(({ traffic: { name, note } }) => {
    const [limit = Number.NaN, want = Number.NaN] = BOUNDS[name] ?? [];
    return { figure: name, value: Math.min(...(figures.get(name) ?? [Number.NaN])), unit: "µs", limit, want, note };
  });
  return { name: "http2-replay", question, rows };
}

/** What a client and an upstream send, a chunk for each turn of the loop. */
interface Captured {
  readonly requests: readonly Buffer[];
  readonly replies: readonly Buffer[];
}

function capture(traffic: Traffic): Captured {
  const { requests, replies } = record(traffic);
  return {
    requests: cut(requests.map((block, at) => frame(HEADERS, END_HEADERS | END_STREAM, at * 2 + 1, block))),
    replies: cut(
      replies.map((block, at) =>
        Buffer.concat([frame(HEADERS, END_HEADERS, at * 2 + 1, block), frame(DATA, END_STREAM, at * 2 + 1, BODY)]),
      ),
    ),
  };
}

/** A chunk of every `BATCH`. */
function cut(frames: readonly Buffer[]): readonly Buffer[] {
  return Array.from({ length: Math.floor(frames.length / BATCH) }, (_, turn) =>
    Buffer.concat(frames.slice(turn * BATCH, (turn + 1) * BATCH)),
  );
}

interface Path {
  readonly generation: Generation;
  readonly front: Front;
  /** Exchanges that ended. */
  readonly ended: () => number;
  close(): void;
}

async function buildPath(): Promise<Path> {
  const snapshot = parseSnapshot({
    service: "bench",
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port: 1 }], protocol: "auto" }],
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
  const generation = built.value;
  const front: Front = {
    service: generation.outbound,
    limits: snapshot.value.outbound.limits,
    http: snapshot.value.outbound.http,
    render: replyFor,
    isDraining: false,
    clock: CLOCK,
    observer: metrics,
  };
  return { generation, front, ended: () => ended, close: () => log.close() };
}

/** Takes everything and keeps nothing. */
class Sink implements Transport {
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
function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** The loop's next turn, before which connections have written. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Microseconds a request. */
async function replay(path: Path, { requests, replies }: Captured): Promise<number> {
  const target = path.generation.targets.get("c");
  const endpoint = target?.cluster.endpoints[0];
  if (target === undefined || endpoint === undefined) throw new Error("the cluster is gone");
  // From a pool where nobody waits; the cluster's own takes it over as ALPN would have it.
  const upstream = new PooledConnection(target.pool, endpoint, new Http2Pool(target.pool));
  target.pool.openConnections++;
  target.pool.opened(upstream, new Sink(), "127.0.0.1:2", "h2");
  const peerSettings = frame(SETTINGS, 0, 0, settings([[INITIAL_WINDOW_SIZE, WINDOW]]));
  const opening = [peerSettings, frame(SETTINGS, ACK, 0), frame(WINDOW_UPDATE, 0, 0, uint32(WINDOW))];
  upstream.data(Buffer.concat(opening));
  const downstream = {
    direction: "outbound",
    remoteIp: "127.0.0.1",
    remoteAddress: "127.0.0.1:3",
    localAddress: "127.0.0.1:4",
    localPort: 4,
    originalDestination: undefined,
    tls: undefined,
  } as const;
  const sink = new Sink();
  const server = new Http2Server(sink, downstream, path.front);
  server.data(Buffer.concat([PREFACE, ...opening]));
  await Promise.resolve();
  const before = path.ended();
  const startedUs = cpuUs();
  for (let turn = 0; turn < requests.length; turn++) {
    feedChunk(server, requests[turn] ?? Buffer.alloc(0));
    await nextTurn();
    feedChunk(upstream, replies[turn] ?? Buffer.alloc(0));
    await nextTurn();
  }
  const us = (cpuUs() - startedUs) / (requests.length * BATCH);
  if (path.ended() - before !== requests.length * BATCH || sink.bytes < requests.length * BATCH * BODY.length)
    throw new Error(`${path.ended() - before} exchanges of ${requests.length * BATCH}`);
  upstream.closed(false);
  server.closed();
  return us;
}
