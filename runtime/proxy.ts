// THE MAP: what a proxy is made of, and how its parts are told of each other. No logic of its own.
import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { parse as parseYaml } from "yaml";
import { startAdmin } from "./admin/admin.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { Http1Server, type Front } from "./codec/http1-server.ts";
import { renderProblem, type Parsed, type Problem } from "./contract/problem.ts";
import { parseSnapshot, type Snapshot, Version } from "./contract/snapshot.ts";
import type { Clock, Direction, Random } from "./exchange/exchange.ts";
import { buildGeneration, type Application, type Generation, type GenerationDeps } from "./generation.ts";
import { startListener, type RunningListener } from "./listener/listener.ts";
import { replyFor } from "./reply/rescue.ts";
import { AccessLog } from "./telemetry/access-log.ts";
import { renderExposition } from "./telemetry/exposition.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { observe } from "./telemetry/observe.ts";

/** How often connections and pools are looked over for timeouts. */
const SWEEP_MS = 250;

/** A running proxy. */
export interface RunningProxy {
  readonly adminPort: number;
  /** As bound, in the order of `--inbound`. */
  readonly inboundPorts: readonly number[];
  readonly outboundPort: number | undefined;
  /** Accepts no more; resolves once every connection has finished, or `drainTimeMs` is over. */
  drain(): Promise<void>;
  /** Closes everything now. */
  stop(): Promise<void>;
}

/** Starts a proxy; every reason why it cannot is told at once. */
export async function startProxy(bootstrap: Bootstrap, log: Logger): Promise<Parsed<RunningProxy>> {
  const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const random: Random = () => Math.random();
  const accessLog = bootstrap.accessLog === "off" ? undefined : new AccessLog(bootstrap.accessLog);
  const workload = {
    service: bootstrap.service,
    namespace: bootstrap.namespace,
    version: bootstrap.labels["version"] ?? "latest",
  };
  const metrics = new Metrics(workload, clock, (exchange, nowMonoMs) => accessLog?.log(exchange, nowMonoMs));
  const first = readFirstSnapshot(bootstrap);
  if (!first.ok) return first;

  let generation: Generation | undefined;
  const fronts: { readonly direction: Direction; readonly port: number; readonly front: Front }[] = [];
  const deps: GenerationDeps = {
    service: bootstrap.service,
    applications: bootstrap.inbound,
    observe: observe(() => crypto.randomUUID()),
    buildFilter: () => Promise.resolve({ ok: false, problems: [{ path: "", message: "filters are not there yet" }] }),
    compileChain: () => (next) => next,
    clock,
    random,
  };

  async function applySnapshot(snapshot: Snapshot, version: Version): Promise<readonly Problem[]> {
    const built = await buildGeneration(snapshot, version, deps, generation);
    if (!built.ok) return built.problems;
    const previous = generation;
    generation = built.value;
    for (const { direction, port, front } of fronts) {
      front.service = direction === "inbound" ? generation.inbound(port) : generation.outbound;
      front.limits = generation.snapshot[direction].limits;
    }
    previous?.retire();
    log.info({ version }, "applied a snapshot");
    return [];
  }

  const problems = await applySnapshot(first.value, Version.parse("file"));
  if (problems.length > 0 || generation === undefined) return { ok: false, problems };
  const current = generation;

  const listeners: RunningListener[] = [];
  function listen(
    direction: Direction,
    hostname: string,
    port: number,
    application: Application | undefined,
  ): Problem | undefined {
    const front: Front = {
      service: application === undefined ? current.outbound : current.inbound(application.port),
      limits: current.snapshot[direction].limits,
      render: replyFor,
      isDraining: false,
      clock,
      observer: metrics,
    };
    try {
      listeners.push(
        startListener({
          hostname,
          port,
          direction,
          connectionsMax: () => front.limits.connectionsMax,
          accept: (transport, downstream) => new Http1Server(transport, downstream, front),
          opened: () => metrics.connectionOpened(direction),
          closed: () => metrics.connectionClosed(direction),
        }),
      );
      fronts.push({ direction, port: application?.port ?? port, front });
      return undefined;
    } catch (error) {
      return { path: direction, message: `cannot listen on ${hostname}:${port}: ${reasonOf(error)}` };
    }
  }
  const refused: Problem[] = [];
  for (const application of bootstrap.inbound)
    refused.push(...list(listen("inbound", bootstrap.bind, application.port, application)));
  if (bootstrap.outbound !== undefined)
    refused.push(...list(listen("outbound", "127.0.0.1", bootstrap.outbound, undefined)));

  const startedAtMs = clock.now();
  let isDraining = false;
  function startDraining(): void {
    if (isDraining) return;
    isDraining = true;
    for (const { front } of fronts) front.isDraining = true;
    for (const listener of listeners) listener.stopAccepting();
    log.info("draining: no new connections");
  }
  const admin = tryStart(() =>
    startAdmin(bootstrap.admin.hostname, bootstrap.admin.port, {
      isReady: () => generation !== undefined && !isDraining,
      configDump: () => ({ version: generation?.version, snapshot: generation?.snapshot }),
      clusters: () => renderClusters(generation),
      stats: () =>
        renderExposition(
          metrics,
          [...(generation?.targets.values() ?? [])].map(({ cluster, pool }) => ({
            cluster,
            openConnections: pool.openConnections,
            waitingRequests: pool.waitingRequests,
          })),
          {
            vespid_process_resident_memory_bytes: process.memoryUsage.rss(),
            vespid_process_uptime_seconds: Math.round((clock.now() - startedAtMs) / 1000),
            vespid_access_log_dropped_lines: accessLog?.droppedLines ?? 0,
          },
        ),
      drain: startDraining,
    }),
  );
  if (!admin.ok)
    refused.push({
      path: "admin",
      message: `cannot listen on ${bootstrap.admin.hostname}:${bootstrap.admin.port}: ${admin.error}; pass --admin PORT`,
    });

  const sweep = setInterval(() => {
    const nowMs = clock.monotonic();
    for (const listener of listeners) listener.sweep(nowMs);
    for (const { pool } of generation?.targets.values() ?? []) pool.sweep(nowMs);
  }, SWEEP_MS);

  async function stop(): Promise<void> {
    clearInterval(sweep);
    for (const listener of listeners) {
      listener.stopAccepting();
      listener.kill();
    }
    generation?.retire();
    if (admin.ok) await admin.value.stop();
    accessLog?.close();
  }
  if (refused.length > 0 || !admin.ok) {
    await stop();
    return { ok: false, problems: refused };
  }

  async function drain(): Promise<void> {
    startDraining();
    const deadlineMs = clock.monotonic() + bootstrap.drainTimeMs;
    while (listeners.some(({ connections }) => connections.size > 0) && clock.monotonic() < deadlineMs) {
      // eslint-disable-next-line no-await-in-loop -- waiting is what this loop is for
      await Bun.sleep(20);
    }
  }
  return {
    ok: true,
    value: {
      adminPort: admin.value.port,
      inboundPorts: listeners.filter(({ direction }) => direction === "inbound").map(({ port }) => port),
      outboundPort: listeners.find(({ direction }) => direction === "outbound")?.port,
      drain,
      stop,
    },
  };
}

/** The snapshot of `--config`, or the defaults. */
function readFirstSnapshot(bootstrap: Bootstrap): Parsed<Snapshot> {
  if (bootstrap.config === undefined) return parseSnapshot({ service: bootstrap.service });
  try {
    return parseSnapshot(parseYaml(readFileSync(bootstrap.config, "utf8")) ?? {}, bootstrap.config);
  } catch (error) {
    return { ok: false, problems: [{ path: bootstrap.config, message: reasonOf(error) }] };
  }
}

/** Envoy's line for each endpoint: `cluster::host::name::value`. */
function renderClusters(generation: Generation | undefined): string {
  const lines: string[] = [];
  for (const { cluster, pool } of generation?.targets.values() ?? []) {
    lines.push(
      `${cluster.name}::default_priority::max_connections::${cluster.limits.maxConnections}`,
      `${cluster.name}::cx_active::${pool.openConnections}`,
    );
    for (const endpoint of cluster.endpoints) {
      lines.push(
        `${cluster.name}::${endpoint.host}::rq_active::${endpoint.activeRequests}`,
        `${cluster.name}::${endpoint.host}::rq_total::${endpoint.totalRequests}`,
        `${cluster.name}::${endpoint.host}::rq_error::${endpoint.failedRequests}`,
        `${cluster.name}::${endpoint.host}::weight::${endpoint.weight}`,
        `${cluster.name}::${endpoint.host}::health_flags::healthy`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

type Started<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: string };

function tryStart<T>(start: () => T): Started<T> {
  try {
    return { ok: true, value: start() };
  } catch (error) {
    return { ok: false, error: reasonOf(error) };
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error && error.code === "EADDRINUSE" ? "the port is in use" : error.message;
}

function list<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}

/** Every problem on a line of its own. */
export function renderProblems(problems: readonly Problem[]): string {
  return problems.map((problem) => `  ${renderProblem(problem)}`).join("\n");
}
