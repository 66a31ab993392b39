// THE MAP: what a proxy is made of, and how its parts are told of each other. No logic of its own.
import { hostname } from "node:os";
import type { Logger } from "pino";
import { startAdmin, type AdminServer } from "./admin/admin.ts";
import { renderClusters } from "./admin/clusters.ts";
import { readYaml, type Bootstrap } from "./bootstrap.ts";
import { BUILTIN_FILTERS } from "./builtin-filters.ts";
import { compileChain } from "./chain/chain.ts";
import type { BundleFile } from "./contract/bundle.ts";
import { renderProblem, type Parsed, type Problem } from "./contract/problem.ts";
import { parseSnapshot, type Snapshot } from "./contract/snapshot.ts";
import { versionOf } from "./contract/version.ts";
import type { Clock, Random } from "./exchange/exchange.ts";
import type { Result } from "./exchange/failure.ts";
import type { FilterRun } from "./exchange/observer.ts";
import type { GenerationDeps } from "./generation.ts";
import { reasonOf, Serving, type Door } from "./serving.ts";
import { startSync, type Sync } from "./sync/sync.ts";
import { AccessLog } from "./telemetry/access-log.ts";
import { renderExposition } from "./telemetry/exposition.ts";
import { FilterFailures } from "./telemetry/filter-failures.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { observe } from "./telemetry/observe.ts";
import { buildFilter } from "./wasm/build-filter.ts";
import { jscEngine } from "./wasm/jsc-engine.ts";
import type { LogLevel } from "../sdk/wit/world.ts";

/** How often connections and pools are looked over for timeouts. */
const SWEEP_MS = 250;

/** After a snapshot was applied, when its compilers have let go. */
const COLLECT_AFTER_MS = 500;

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

/**
 * Starts a proxy; every reason why it cannot is told at once. With a control service it opens its ports only once a
 * snapshot was applied, the last good one or a new one: before that it does not know what must not pass.
 */
export async function startProxy(bootstrap: Bootstrap, log: Logger): Promise<Parsed<RunningProxy>> {
  const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const random: Random = Math.random;
  const startedAtMs = clock.now();
  const accessLog = openAccessLog(bootstrap.accessLog);
  if (!accessLog.ok) return accessLog;
  const workload = {
    service: bootstrap.service,
    namespace: bootstrap.namespace,
    version: bootstrap.labels["version"] ?? "latest",
  };
  const metrics = new Metrics(workload, clock, (exchange, nowMonoMs) => accessLog.value?.log(exchange, nowMonoMs));
  const filterFailures = new FilterFailures(clock, (fields, message) => log.warn(fields, message));
  function filterRan(run: FilterRun): void {
    metrics.filterRan(run);
    filterFailures.filterRan(run);
  }
  const deps: GenerationDeps = {
    applications: bootstrap.inbound,
    observe: observe(() => crypto.randomUUID()),
    buildFilter: (use) =>
      buildFilter(use, { builtins: BUILTIN_FILTERS, engine: jscEngine, fetchFile, clock, log: logFilter }),
    compileChain: (filters) => compileChain(filters, { filterRan }, clock),
    clock,
    random,
  };
  const serving = new Serving(deps, metrics, clock);

  let sync: Sync | undefined;
  function fetchFile(file: BundleFile): Promise<Result<Uint8Array, string>> {
    const noControl = { ok: false as const, error: "bundles come from a control service; pass --control URL" };
    return sync?.fetchFile(file) ?? Promise.resolve(noControl);
  }
  function logFilter(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void {
    log[level](fields, message);
  }
  const admin = openAdmin();
  if (!admin.ok) return admin;
  if (bootstrap.control === undefined) {
    const first = await readSnapshotFile(bootstrap);
    const problems = first.ok ? await serving.apply(first.value, versionOf(first.value)) : first.problems;
    if (problems.length > 0) return refuse(problems);
  } else {
    sync = startSync({
      control: bootstrap.control,
      node: {
        id: `${bootstrap.service}.${bootstrap.namespace}~${hostname()}~${admin.value.port}`,
        service: bootstrap.service,
        namespace: bootstrap.namespace,
        labels: bootstrap.labels,
      },
      stateDir:
        bootstrap.state ?? `.vespid/proxies/${bootstrap.service}.${bootstrap.namespace}~${bootstrap.admin.port}`,
      applySnapshot: async (snapshot, version) => {
        const problems = await serving.apply(snapshot, version);
        // Compiling filters leaves much behind; collected soon, the heap does not grow around it.
        setTimeout(() => Bun.gc(true), COLLECT_AFTER_MS).unref();
        return problems;
      },
      log,
      random,
      now: () => clock.now(),
    });
    log.info({ control: bootstrap.control }, "waiting for the first snapshot");
    await sync.ready;
  }

  const refused = serving.open(doorsOf(bootstrap));
  if (refused.length > 0) return refuse(refused);
  const sweep = setInterval(() => serving.sweep(), SWEEP_MS);

  function openAdmin(): Parsed<AdminServer> {
    const { hostname: host, port } = bootstrap.admin;
    try {
      const server = startAdmin(host, port, {
        isReady: () => serving.isReady,
        configDump: () => ({
          version: serving.generation?.version,
          sync: sync?.state(),
          snapshot: serving.generation?.snapshot,
        }),
        clusters: () => renderClusters(serving.generation?.targets.values() ?? []),
        stats: () =>
          renderExposition(metrics, [...(serving.generation?.targets.values() ?? [])], {
            vespid_process_resident_memory_bytes: process.memoryUsage.rss(),
            vespid_process_uptime_seconds: Math.round((clock.now() - startedAtMs) / 1000),
            vespid_access_log_dropped_lines: accessLog.ok ? (accessLog.value?.droppedLines ?? 0) : 0,
          }),
        drain: () => serving.startDraining(),
      });
      return { ok: true, value: server };
    } catch (error) {
      const message = `cannot listen on ${host}:${port}: ${reasonOf(error)}; pass --admin PORT`;
      return { ok: false, problems: [{ path: "admin", message }] };
    }
  }
  async function stop(): Promise<void> {
    clearInterval(sweep);
    serving.stop();
    await sync?.stop();
    if (admin.ok) await admin.value.stop();
    if (accessLog.ok) accessLog.value?.close();
  }
  async function refuse(problems: readonly Problem[]): Promise<Parsed<RunningProxy>> {
    serving.stop();
    await sync?.stop();
    if (admin.ok) await admin.value.stop();
    return { ok: false, problems };
  }
  return {
    ok: true,
    value: {
      adminPort: admin.value.port,
      inboundPorts: serving.listeners.filter(({ direction }) => direction === "inbound").map(({ port }) => port),
      outboundPort: serving.listeners.find(({ direction }) => direction === "outbound")?.port,
      drain: () => {
        serving.startDraining();
        return serving.drained(bootstrap.drainTimeMs);
      },
      stop,
    },
  };
}

function doorsOf(bootstrap: Bootstrap): readonly Door[] {
  const doors: Door[] = bootstrap.inbound.map((application) => ({
    direction: "inbound",
    hostname: bootstrap.bind,
    port: application.port,
    application,
  }));
  if (bootstrap.outbound !== undefined) {
    doors.push({ direction: "outbound", hostname: "127.0.0.1", port: bootstrap.outbound, application: undefined });
  }
  return doors;
}

function openAccessLog(path: string): Parsed<AccessLog | undefined> {
  try {
    return { ok: true, value: path === "off" ? undefined : new AccessLog(path) };
  } catch (error) {
    return { ok: false, problems: [{ path: "accessLog", message: reasonOf(error) }] };
  }
}

/** The snapshot of `--config`, or the defaults. */
async function readSnapshotFile(bootstrap: Bootstrap): Promise<Parsed<Snapshot>> {
  const { config: path } = bootstrap;
  if (path === undefined) return parseSnapshot({ service: bootstrap.service });
  try {
    const parsed = parseSnapshot((await readYaml(path)) ?? {});
    if (parsed.ok) return parsed;
    return { ok: false, problems: parsed.problems.map((problem) => ({ path, message: renderProblem(problem) })) };
  } catch (error) {
    return { ok: false, problems: [{ path, message: reasonOf(error) }] };
  }
}

/** Every problem on a line of its own. */
export function renderProblems(problems: readonly Problem[]): string {
  return problems.map((problem) => `  ${renderProblem(problem)}`).join("\n");
}
