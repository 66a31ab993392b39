// The proxy's side of a change: what control pushes is verified, applied whole, kept for the next start, and answered.
import { join } from "node:path";
import type { BundleFile } from "../contract/bundle.ts";
import type { Problem } from "../contract/problem.ts";
import type { Told } from "../contract/protocol.ts";
import type { Tap } from "../contract/tap.ts";
import type { Version } from "../contract/snapshot.ts";
import type { Random } from "../exchange/exchange.ts";
import type { Result } from "../exchange/failure.ts";
import { createApplier } from "./apply.ts";
import { startClient, type Client, type ClientState } from "./client.ts";
import { createFileCache, type FileCache } from "./fetch-bundle.ts";
import { loadLastGood, saveLastGood } from "./last-good.ts";

/** Who this proxy is, as control addresses it. */
export interface SyncNode {
  /** Unique among running proxies: `reviews-v1~4821`. */
  readonly id: string;
  readonly service: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Where lines for the operator go; a pino logger fits. */
export interface SyncLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Checks a snapshot, builds a whole generation and swaps it in. Any problem means that nothing was changed. */
export type ApplySnapshot = (snapshot: unknown, version: Version) => Promise<readonly Problem[]>;

export interface SyncOptions {
  /** Control's address: `http://127.0.0.1:15010`. */
  readonly control: string;
  readonly node: SyncNode;
  /** Folder for the last good snapshot and for fetched files; made when it is absent. One proxy each. */
  readonly stateDir: string;
  readonly applySnapshot: ApplySnapshot;
  /** Filters that are looked at from now on. Default: nobody looks. */
  readonly setTaps?: (taps: readonly Tap[]) => void;
  readonly log: SyncLog;
  readonly random: Random;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Bounds and waits; defaults are for production. */
  readonly timing?: Partial<SyncTiming>;
}

/** Waits and bounds, milliseconds and bytes. */
export interface SyncTiming {
  /** Wait before the first reconnection; doubles with each that fails. Default `100`. */
  readonly reconnectMinMs: number;
  /** The longest wait between two attempts to connect. Default `10_000`. */
  readonly reconnectMaxMs: number;
  /** An attempt to connect is given up after this. Default `10_000`. */
  readonly connectTimeoutMs: number;
  /** A connection on which control was silent for this long is dead; control pings every 15 s. Default `60_000`. */
  readonly silenceMaxMs: number;
  /** Attempts to fetch one file. Default `4`. */
  readonly fetchAttempts: number;
  /** Wait before the second attempt; doubles with each. Default `100`. */
  readonly fetchRetryMs: number;
  /** One attempt to fetch a file is given up after this. Default `30_000`. */
  readonly fetchTimeoutMs: number;
  /** Fetched files kept on disk; beyond it those unused for longest are removed. Default 256 MiB. */
  readonly cacheMaxBytes: number;
}

/** What the admin port shows of the connection to control. */
export interface SyncState {
  readonly connection: ClientState;
  /** What runs, and where it came from. */
  readonly applied:
    | { readonly version: Version; readonly from: "control" | "last_good"; readonly atMs: number }
    | undefined;
  /** The newest snapshot that was refused; cleared when one is applied. */
  readonly refused:
    | { readonly version: Version; readonly problems: readonly Problem[]; readonly atMs: number }
    | undefined;
}

export interface Sync {
  /** Settles once the last good snapshot was tried, before control is asked: `true` when it runs now. */
  readonly restored: Promise<boolean>;
  /** Settles once any snapshot was applied, restored or pushed; never when none ever is. */
  readonly ready: Promise<void>;
  state(): SyncState;
  /** A bundle's file, verified: from the cache, else from control. The error says what went wrong, for a problem's message. */
  fetchFile(file: BundleFile): Promise<Result<Uint8Array, string>>;
  /** Tells control something; `false` where there is no connection to it. */
  tell(told: Told): boolean;
  /** Disconnects; an apply in progress is waited for. */
  stop(): Promise<void>;
}

const TIMING: SyncTiming = {
  reconnectMinMs: 100,
  reconnectMaxMs: 10_000,
  connectTimeoutMs: 10_000,
  silenceMaxMs: 60_000,
  fetchAttempts: 4,
  fetchRetryMs: 100,
  fetchTimeoutMs: 30_000,
  cacheMaxBytes: 256 * 1024 * 1024,
};

/** Where files of bundles come from, for a process that is told by another what to run. */
export function openFiles(options: Omit<SyncOptions, "node" | "applySnapshot">): FileCache {
  const { control, stateDir, random, log, now } = options;
  const timing = { ...TIMING, ...options.timing };
  return createFileCache({ control, directory: join(stateDir, "blobs"), timing, random, log, now });
}

/** Applies the last good snapshot, then follows control for as long as the proxy runs. Never throws and never gives up. */
export function startSync(options: SyncOptions): Sync {
  const { control, node, stateDir, log, random, now, setTaps = () => undefined } = options;
  const timing = { ...TIMING, ...options.timing };
  const files = openFiles(options);
  const applier = createApplier({
    applySnapshot: options.applySnapshot,
    save: (snapshot, version) => saveLastGood(stateDir, snapshot, version, log),
    log,
    now,
  });
  let client: Client | undefined;
  let isStopped = false;

  async function restore(): Promise<boolean> {
    const lastGood = await loadLastGood(stateDir, log);
    const answer =
      lastGood === undefined ? undefined : await applier.apply(lastGood.version, lastGood.snapshot, "last_good");
    if (!isStopped) client = startClient({ control, node, applier, setTaps, timing, random, log, now });
    return answer?.kind === "ack";
  }
  const restored = restore();

  return {
    restored,
    ready: applier.ready,
    state: () => ({
      connection: client?.state() ?? { kind: isStopped ? "stopped" : "starting" },
      applied: applier.applied(),
      refused: applier.refused(),
    }),
    fetchFile: (file) => files.fetchFile(file),
    tell: (told) => client?.tell(told) ?? false,
    async stop() {
      isStopped = true;
      files.stop();
      client?.stop();
      await restored;
      await applier.idle();
    },
  };
}
