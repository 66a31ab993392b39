// The data path of one process, whole: what serves and what counts it. Who tells it what to run (sync, a file, a supervisor)
// and who asks about it (the admin port, a supervisor) are given in, so that a lone proxy and a worker serve alike.
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Adapters } from "./adapters/adapters.ts";
import { useNameOf } from "./adapters/filter.ts";
import { renderClusters } from "./admin/clusters.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { BUILTIN_FILTERS } from "./builtin-filters.ts";
import type { Callout } from "./chain/callout.ts";
import { compileChain } from "./chain/chain.ts";
import { compileTcpChain } from "./chain/tcp-chain.ts";
import type { Filter } from "./chain/filter.ts";
import { withCandidate } from "./chain/with-candidate.ts";
import { witnessFilter, type Witness } from "./chain/witness.ts";
import { ChunkClock } from "./codec/chunk-clock.ts";
import type { BundleFile, BundleRef } from "./contract/bundle.ts";
import type { Parsed } from "./contract/problem.ts";
import type { Told } from "./contract/protocol.ts";
import { parseSnapshot, type Snapshot, type Version } from "./contract/snapshot.ts";
import type { Tap } from "./contract/tap.ts";
import { redactKeys } from "./contract/tls.ts";
import type { Clock, Exchange, Random, Schedule } from "./exchange/exchange.ts";
import { systemTimers } from "./exchange/timer-lists.ts";
import { failure, type Result } from "./exchange/failure.ts";
import type { FilterRun } from "./exchange/observer.ts";
import { buildTarget, type GenerationDeps, type Target } from "./generation.ts";
import { createNativeHost } from "./host/native-host.ts";
import { SharedState } from "./host/shared-state.ts";
import { PrivateMemory, type SharedMemory } from "./host/shared-memory.ts";
import { reasonOf } from "./reason.ts";
import { stateDirOf } from "./source.ts";
import { readStray, type WatchStrays } from "./strays.ts";
import { Serving, type Prepared } from "./serving.ts";
import { AccessLog } from "./telemetry/access-log.ts";
import { AdapterMetrics, watchAdapters } from "./telemetry/adapter-metrics.ts";
import { renderExposition } from "./telemetry/exposition.ts";
import { FilterFailures } from "./telemetry/filter-failures.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { observe } from "./telemetry/observe.ts";
import { Taps } from "./telemetry/taps.ts";
import { TrialReports } from "./telemetry/trial-reports.ts";
import { createCallout } from "./upstream/callout.ts";
import { OriginalDestinations } from "./upstream/original-dst.ts";
import { buildAdapterCalls, buildFilter, type FilterDeps } from "./wasm/build-filter.ts";
import { FailureLines } from "./wasm/failure-lines.ts";
import { chooseEngine } from "./wasm/choose-engine.ts";
import type { AnyFilter } from "../sdk/define-filter.ts";
import { installHost } from "../sdk/host.ts";
import type { LogLevel } from "../sdk/wit/world.ts";

/** How often connections and pools are looked over for timeouts. */
const SWEEP_MS = 250;

/** Inside the state folder: what Wasmtime compiled. */
const CODE_FOLDER = "code";

/** After a snapshot was applied, when its compilers have let go. */
const COLLECT_AFTER_MS = 500;

/** What the world gives a process; read at its edge alone. */
export interface Ambient {
  readonly clock: Clock;
  readonly random: Random;
  /** Tells of promises that nobody awaits. Default: nobody does, and such a one ends the process, as it does of itself. */
  readonly watchStrays?: WatchStrays;
}

/** The proxy's log: a line of fields and a message at a level. */
export type DataPathLog = Readonly<
  Record<LogLevel, (fields: Readonly<Record<string, unknown>>, message: string) => void>
>;

export interface DataPathOptions extends Ambient {
  readonly bootstrap: Bootstrap;
  readonly log: DataPathLog;
  /** No other process writes the same access log. */
  readonly isAlone: boolean;
  /** A file of a bundle, verified. */
  readonly fetchFile: (file: BundleFile) => Promise<Result<Uint8Array, string>>;
  /** What filters share between processes. Default: memory of this one alone. */
  readonly sharedMemory?: SharedMemory;
  /** Filters that run native, by name. Default: the proxy's own. */
  readonly builtins?: ReadonlyMap<string, AnyFilter>;
  /** When filters' timers and deadlines are due. Default: by the system's timers. */
  readonly schedule?: Schedule;
  /** Takes what control is to be told; `false` where nobody hears it. Default: nobody does. */
  readonly tell?: (told: Told) => boolean;
  /** Told of each call of a filter, where a filter is developed or tested. Default: nobody is. */
  readonly witness?: Witness;
  /** Told of each exchange that is over, with the monotonic time. Default: nobody is. */
  readonly ended?: (exchange: Exchange, nowMonoMs: number) => void;
}

/** What runs in a process, without keys. */
export interface DataPathConfig {
  readonly version: Version | undefined;
  /** What runs sandboxed filters. */
  readonly wasmEngine: "jsc" | "wasmtime";
  readonly snapshot: unknown;
}

/** What one process serves, and what it says of it. */
export interface DataPath {
  readonly serving: Serving;
  /** Checks a snapshot as it was sent and builds all of it; problems are told from `at` on. */
  prepare(snapshot: unknown, version: Version, at?: string): Promise<Parsed<Prepared>>;
  /** What runs; keys are not in it. */
  config(): DataPathConfig;
  /** Filters that are looked at from now on; what is seen is told. */
  setTaps(taps: readonly Tap[]): void;
  /** The `/clusters` page. */
  clusters(): string;
  /** One scrape. */
  stats(): string;
  /** Closes everything now. */
  stop(): void;
}

/** Puts the parts together; nothing listens yet. */
export function assembleDataPath(options: DataPathOptions): Parsed<DataPath> {
  const { bootstrap, log, random, fetchFile, isAlone, witness, ended } = options;
  const clock = new ChunkClock(options.clock);
  const { builtins = BUILTIN_FILTERS, schedule = systemTimers(), tell = () => false } = options;
  const { sharedMemory = new PrivateMemory() } = options;
  const shared = new SharedState(sharedMemory, clock.exact);
  const startedAtMs = clock.now();
  const engine = chooseEngine(bootstrap.wasmEngine, {
    library: bootstrap.libwasmtime,
    codeFolder: join(stateDirOf(bootstrap), CODE_FOLDER),
    now: () => clock.now(),
  });
  if (!engine.ok) return { ok: false, problems: [{ path: "wasmEngine", message: engine.error }] };
  const opened = openAccessLog(bootstrap.accessLog, isAlone);
  if (!opened.ok) return opened;
  const accessLog = opened.value;
  const workload = {
    service: bootstrap.service,
    namespace: bootstrap.namespace,
    version: bootstrap.labels["version"] ?? "latest",
  };
  const metrics = new Metrics(
    workload,
    clock,
    (exchange, nowMonoMs) => {
      accessLog?.log(exchange, nowMonoMs);
      ended?.(exchange, nowMonoMs);
    },
    (session, nowMonoMs) => accessLog?.logTcp(session, nowMonoMs),
  );
  const lines = new FailureLines(fetchFile);
  const filterFailures = new FilterFailures(clock, (fields, message) => writeLine("warn", message, fields, undefined));
  function filterRan(run: FilterRun): void {
    metrics.filterRan(run);
    filterFailures.filterRan(run);
  }
  const stopWatching = options.watchStrays?.((thrown) => {
    const { filter, reason } = readStray(thrown, builtins);
    const message = `unhandled rejection: ${reason}`;
    if (filter === undefined) log.error({ reason }, "a promise was rejected that nobody awaits");
    else
      filterRan({
        filter,
        phase: "stray",
        outcome: "failed",
        failure: failure("filter_failed", message),
        fuel: 0,
        tookMs: 0,
      });
  });
  function circuitChanged(filter: string, openForMs: number): void {
    metrics.circuitChanged(filter, openForMs);
    if (openForMs > 0) log.warn({ filter, openForMs }, "a filter keeps failing, and is not asked for a while");
    else log.info({ filter }, "a filter that kept failing serves again");
  }
  const trials = new TrialReports({
    clock,
    schedule,
    tell: (reports) => tell({ kind: "trials", trials: reports }),
    failed: (run) => filterFailures.filterRan(run),
    stopped: (filter, reason) => log.warn({ filter, reason }, "a filter's candidate was stopped"),
  });
  const taps = new Taps({
    clock: clock.exact,
    schedule,
    tell: (tap, events, dropped) => tell({ kind: "tapped", tap, events, dropped }),
    explain: (filter, version, reason) => {
      const bundle = findBundle(serving.generation?.snapshot, version === "live" ? filter : `${filter}~candidate`);
      return bundle === undefined ? Promise.resolve(reason) : lines.explain(bundle, reason);
    },
  });
  type LineFields = Readonly<Record<string, unknown>>;
  function writeLine(level: LogLevel, message: string, fields: LineFields, show: ReturnType<Taps["lineOf"]>): void {
    const bundle = (): BundleRef | undefined => findBundle(serving.generation?.snapshot, fields["filter"]);
    lines.write(fields, message, bundle, (told, what) => {
      log[level](told, what);
      show?.(level, what, told);
    });
  }
  function logFilter(level: LogLevel, message: string, fields: LineFields): void {
    writeLine(level, message, fields, taps.lineOf(String(fields["filter"])));
  }
  // What native filters call by name.
  installHost(createNativeHost());
  function watched(filters: readonly Filter[]): readonly Filter[] {
    return witness === undefined
      ? filters
      : filters.map((filter) => witnessFilter(filter, witness, () => performance.now()));
  }
  const originalDestinations = new OriginalDestinations<Target>({
    build: (config, sourceAddress) => buildTarget(config, undefined, random, sourceAddress),
    hasAddress: (address) =>
      Object.values(networkInterfaces()).some((all) => all?.some((one) => one.address === address)),
  });
  const callout = createCallout(
    {
      forward: () => serving.generation?.forward,
      serviceOf: (cluster) => serving.generation?.targets.get(cluster)?.cluster.service,
    },
    clock,
    schedule,
  );
  const sandbox = engine.value;
  const filterDeps = (calls: Callout): FilterDeps => ({
    builtins,
    engine: sandbox,
    fetchFile,
    clock: clock.exact,
    schedule,
    log: logFilter,
    callout: calls,
    declareMetrics: (name, definitions) => metrics.filterMetrics.declare(name, definitions),
    shared,
  });
  const { service, namespace, labels } = bootstrap;
  const own = { service, namespace, labels };
  const adapterMetrics = new AdapterMetrics();
  const adapterFailures = new FilterFailures(clock, ({ filter: adapter, phase, reason, leftOut }) => {
    const fields = { adapter, phase, reason, ...(leftOut === undefined ? {} : { leftOut }) };
    const bundle = () => findBundle(serving.generation?.snapshot, useNameOf(String(adapter)));
    lines.write(fields, "an adapter failed", bundle, (told, what) => log.warn(told, what));
  });
  const adapters = new Adapters({
    clock: clock.exact,
    schedule,
    callout,
    own,
    observer: watchAdapters(adapterMetrics, (run) => adapterFailures.filterRan(run)),
    buildCalls: (use) => buildAdapterCalls(use, filterDeps(callout)),
  });
  const deps: GenerationDeps = {
    adapters,
    own,
    applications: bootstrap.inbound,
    observe: observe(() => crypto.randomUUID()),
    watchTrial: (use) => trials.watch(use),
    combine: (use, versions) => withCandidate(use, versions, clock.exact, schedule),
    buildFilter: (use, isShadow) => buildFilter(use, filterDeps(isShadow ? NO_CALLOUT : callout)),
    originalDestinations,
    compileTcpChain: (filters) => compileTcpChain(filters, { filterRan, circuitChanged }, clock.exact),
    compileChain: (filters) => compileChain(taps.wrap(watched(filters)), { filterRan, circuitChanged }, clock.exact),
    clock,
    random,
  };
  const serving = new Serving(deps, metrics, clock);
  const sweep = setInterval(() => serving.sweep(), SWEEP_MS);

  async function prepare(raw: unknown, version: Version, at?: string): Promise<Parsed<Prepared>> {
    const snapshot = parseSnapshot(raw, at);
    if (!snapshot.ok) return snapshot;
    const prepared = await serving.prepare(snapshot.value, version);
    // Compiling filters leaves much behind; collected soon, the heap does not grow around it.
    setTimeout(() => Bun.gc(true), COLLECT_AFTER_MS).unref();
    return prepared;
  }
  const value: DataPath = {
    serving,
    prepare,
    config: () => ({
      version: serving.generation?.version,
      wasmEngine: engine.value.name,
      snapshot: redactKeys(serving.generation?.snapshot),
    }),
    setTaps: (wanted) => taps.set(wanted),
    clusters: () => renderClusters([...(serving.generation?.targets.values() ?? []), ...originalDestinations.sums()]),
    stats: () =>
      renderExposition(metrics, [...(serving.generation?.targets.values() ?? []), ...originalDestinations.sums()], {
        vespid_process_resident_memory_bytes: process.memoryUsage.rss(),
        vespid_process_uptime_seconds: Math.round((clock.now() - startedAtMs) / 1000),
        vespid_shared_counters_displaced: shared.displaced,
        vespid_access_log_dropped_lines: accessLog?.droppedLines ?? 0,
      }) +
      trials.render() +
      adapterMetrics.render(),
    stop: () => {
      clearInterval(sweep);
      stopWatching?.();
      serving.stop();
      accessLog?.close();
    },
  };
  return { ok: true, value };
}

/** The bundle that runs under a filter's name, or an adapter's; candidates go by `NAME~candidate` and `NAME~shadow`. */
function findBundle(snapshot: Snapshot | undefined, filter: unknown): BundleRef | undefined {
  if (typeof filter !== "string") return undefined;
  const adapter = snapshot?.adapters.find(({ name }) => useNameOf(name) === filter)?.backend;
  if (adapter?.kind === "filter") return adapter.bundle;
  const [filterName, version] = filter.split("~");
  const uses = [...(snapshot?.inbound.filters ?? []), ...(snapshot?.outbound.filters ?? [])];
  const use = uses.find(({ name }) => name === filterName);
  const source = version === undefined ? use?.source : use?.candidate?.source;
  return source?.kind === "bundle" ? source.bundle : undefined;
}

/** A shadow's calls: they might change what they reach. */
const NO_CALLOUT: Callout = () =>
  Promise.resolve({
    ok: false,
    error: { kind: "failed", message: "a shadow calls nobody, unless its candidate has fetches" },
  });

function openAccessLog(path: string, isAlone: boolean): Parsed<AccessLog | undefined> {
  try {
    return { ok: true, value: path === "off" ? undefined : new AccessLog(path, isAlone) };
  } catch (error) {
    return { ok: false, problems: [{ path: "accessLog", message: reasonOf(error) }] };
  }
}
