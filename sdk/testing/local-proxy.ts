// A proxy inside this process: the whole data path, real sockets, and filters that whoever starts it hands in. `filter dev`
// and the tests' engine `proxy` run on it.
import { readBootstrap } from "../../runtime/bootstrap.ts";
import type { Witness } from "../../runtime/chain/witness.ts";
import type { Digest } from "../../runtime/contract/bundle.ts";
import type { Problem } from "../../runtime/contract/problem.ts";
import { versionOf } from "../../runtime/contract/version.ts";
import { assembleDataPath, type DataPath, type DataPathLog } from "../../runtime/data-path.ts";
import { doorsOf } from "../../runtime/doors.ts";
import type { Clock, Exchange, Schedule } from "../../runtime/exchange/exchange.ts";
import type { WatchStrays } from "../../runtime/strays.ts";
import type { AnyFilter } from "../define-filter.ts";

export interface LocalProxyOptions {
  readonly host: string;
  /** `0` lets the system choose. */
  readonly port: number;
  readonly clock: Clock;
  /** Default: the system's timers. */
  readonly schedule?: Schedule;
  readonly log: DataPathLog;
  readonly witness: Witness;
  readonly ended?: (exchange: Exchange, nowMonoMs: number) => void;
  /** Default: whoever started it watches. */
  readonly watchStrays?: WatchStrays;
}

/** A proxy before a cluster `upstream`, which each snapshot says. */
export interface LocalProxy {
  /** Where it listens once a snapshot was applied. */
  readonly port: number;
  /** Filters that a snapshot may name as built-in. */
  readonly builtins: Map<string, AnyFilter>;
  /** Files of bundles that a snapshot may name. */
  readonly files: Map<Digest, Uint8Array>;
  /** Runs a snapshot from now on; the one before goes on where it has problems. */
  apply(snapshot: unknown): Promise<readonly Problem[]>;
  /** What it exposes at `/stats/prometheus`. */
  stats(): string;
  stop(): void;
}

/** A proxy that listens once it was given a snapshot. */
export async function startLocalProxy(options: LocalProxyOptions): Promise<LocalProxy> {
  const { host, port, clock, schedule, log, witness, ended, watchStrays } = options;
  // The application is the snapshot's to name; this address is never called.
  const flags = ["--service", "local", "--bind", host, "--inbound", `${port}:127.0.0.1:1`, "--access-log", "off"];
  const asked = await readBootstrap([...flags, "--concurrency", "1"], {});
  if (asked.ok !== true) throw new Error(JSON.stringify(asked));
  const bootstrap = asked.value;
  const builtins = new Map<string, AnyFilter>();
  const files = new Map<Digest, Uint8Array>();
  const assembled = assembleDataPath({
    bootstrap,
    log,
    isAlone: true,
    clock,
    random: Math.random,
    builtins,
    witness,
    fetchFile: ({ name, digest }) => {
      const bytes = files.get(digest);
      return Promise.resolve(
        bytes === undefined ? { ok: false, error: `${name} is not there` } : { ok: true, value: bytes },
      );
    },
    ...(schedule && { schedule }),
    ...(ended && { ended }),
    ...(watchStrays && { watchStrays }),
  });
  if (!assembled.ok) throw new Error(JSON.stringify(assembled.problems));
  const path = assembled.value;
  return {
    builtins,
    files,
    get port() {
      return path.serving.listeners[0]?.port ?? 0;
    },
    apply: (snapshot) => apply(path, snapshot, () => path.serving.open(doorsOf(bootstrap))),
    stats: () => path.stats(),
    stop: () => path.stop(),
  };
}

async function apply(path: DataPath, snapshot: unknown, open: () => readonly Problem[]): Promise<readonly Problem[]> {
  const prepared = await path.prepare(snapshot, versionOf(snapshot));
  if (!prepared.ok) return prepared.problems;
  prepared.value.commit();
  return path.serving.listeners.length > 0 ? [] : open();
}
