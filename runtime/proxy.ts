// THE MAP: what a proxy is made of, and how its parts are told of each other. No logic of its own.
import type { Logger } from "pino";
import { startAdmin, type AdminServer } from "./admin/admin.ts";
import type { Bootstrap } from "./bootstrap.ts";
import type { BundleFile } from "./contract/bundle.ts";
import { renderProblem, type Parsed, type Problem } from "./contract/problem.ts";
import type { Told } from "./contract/protocol.ts";
import type { Version } from "./contract/snapshot.ts";
import { versionOf } from "./contract/version.ts";
import { assembleDataPath, type Ambient, type DataPath } from "./data-path.ts";
import { doorsOf } from "./doors.ts";
import type { Direction } from "./exchange/exchange.ts";
import type { Result } from "./exchange/failure.ts";
import { reasonOf } from "./reason.ts";
import { NO_CONTROL, readSnapshotFile, reloadOnDemand, syncOptions } from "./source.ts";
import { startSync, type Sync } from "./sync/sync.ts";

/** A running proxy. */
export interface RunningProxy {
  readonly adminPort: number;
  /** As bound, in the order of `--inbound`. */
  readonly inboundPorts: readonly number[];
  /** The same of `--outbound`. */
  readonly outboundPorts: readonly number[];
  /** Accepts no more; resolves once every connection has finished, or `drainTimeMs` is over. */
  drain(): Promise<void>;
  /** Closes everything now. */
  stop(): Promise<void>;
  /**
   * Hot restart: the program as it is on disk now takes over without closing a port. Resolves once that is under way; with
   * the reason where it is not, and then nothing has changed.
   */
  restart(): Promise<string | undefined>;
}

/**
 * Starts a proxy; every reason why it cannot is told at once. With a control service it opens its ports only once a
 * snapshot was applied, the last good one or a new one: before that it does not know what must not pass.
 */
export async function startProxy(bootstrap: Bootstrap, log: Logger, ambient: Ambient): Promise<Parsed<RunningProxy>> {
  let sync: Sync | undefined;
  function fetchFile(file: BundleFile): Promise<Result<Uint8Array, string>> {
    return sync?.fetchFile(file) ?? Promise.resolve(NO_CONTROL);
  }
  const tell = (told: Told): boolean => sync?.tell(told) ?? false;
  const assembled = assembleDataPath({ bootstrap, log, fetchFile, isAlone: true, tell, ...ambient });
  if (!assembled.ok) return assembled;
  const path = assembled.value;
  const { serving } = path;
  const admin = openAdmin(bootstrap, path, () => sync);
  if (!admin.ok) {
    path.stop();
    return admin;
  }
  if (bootstrap.control === undefined) {
    const problems = await applyFile(bootstrap, path);
    if (problems.length > 0) return refuse(problems);
  } else {
    sync = startSync(
      syncOptions(bootstrap, bootstrap.control, admin.value.port, log, ambient, {
        applySnapshot: (raw, version) => apply(path, raw, version),
        setTaps: (taps) => path.setTaps(taps),
      }),
    );
    log.info({ control: bootstrap.control }, "waiting for the first snapshot");
    await sync.ready;
  }
  if (bootstrap.interception === "redirect" && process.getuid?.() === 0) {
    log.warn("runs as root, and the rules of vespid intercept leave out user 1337: what it sends may come back to it");
  }
  const refused = serving.open(doorsOf(bootstrap));
  if (refused.length > 0) return refuse(refused);

  async function stop(): Promise<void> {
    path.stop();
    await sync?.stop();
    if (admin.ok) await admin.value.stop();
  }
  async function refuse(problems: readonly Problem[]): Promise<Parsed<RunningProxy>> {
    await stop();
    return { ok: false, problems };
  }
  function portsOf(wanted: Direction): readonly number[] {
    return serving.listeners.filter(({ direction }) => direction === wanted).map(({ port }) => port);
  }
  return {
    ok: true,
    value: {
      adminPort: admin.value.port,
      inboundPorts: portsOf("inbound"),
      outboundPorts: portsOf("outbound"),
      drain: () => {
        serving.startDraining();
        return serving.drained(bootstrap.drainTimeMs);
      },
      stop,
      restart: () => Promise.resolve(ALONE),
    },
  };
}

/** A process cannot hand its connections to the next; without a supervisor nobody holds the ports meanwhile. */
const ALONE = "a hot restart needs a supervisor: --concurrency 2 or more";

function openAdmin(bootstrap: Bootstrap, path: DataPath, sync: () => Sync | undefined): Parsed<AdminServer> {
  const { hostname: host, port } = bootstrap.admin;
  const { serving } = path;
  try {
    const server = startAdmin(host, port, {
      isReady: () => serving.isReady,
      configDump: () => {
        const { version, wasmEngine, snapshot } = path.config();
        return { version, wasmEngine, sync: sync()?.state(), snapshot };
      },
      clusters: () => path.clusters(),
      stats: () => path.stats(),
      drain: () => serving.startDraining(),
      reload: reloadOnDemand(
        bootstrap,
        () => serving.isReady,
        () => applyFile(bootstrap, path),
      ),
      restart: () => Promise.resolve(ALONE),
    });
    return { ok: true, value: server };
  } catch (error) {
    const message = `cannot listen on ${host}:${port}: ${reasonOf(error)}; pass --admin PORT`;
    return { ok: false, problems: [{ path: "admin", message }] };
  }
}

async function apply(path: DataPath, raw: unknown, version: Version): Promise<readonly Problem[]> {
  const prepared = await path.prepare(raw, version, "snapshot");
  if (!prepared.ok) return prepared.problems;
  prepared.value.commit();
  return [];
}

async function applyFile(bootstrap: Bootstrap, path: DataPath): Promise<readonly Problem[]> {
  const raw = await readSnapshotFile(bootstrap);
  if (!raw.ok) return raw.problems;
  const prepared = await path.prepare(raw.value, versionOf(raw.value));
  if (prepared.ok) {
    prepared.value.commit();
    return [];
  }
  const { config } = bootstrap;
  if (config === undefined) return prepared.problems;
  return prepared.problems.map((problem) => ({ path: config, message: renderProblem(problem) }));
}
