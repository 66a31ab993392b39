// One apply at a time, and a bad snapshot never replaces a good one: everything is checked before anything is swapped.
import type { Version } from "../contract/snapshot.ts";
import { versionOf } from "../contract/version.ts";
import type { Problem } from "../contract/problem.ts";
import type { ProxyMessage } from "../contract/protocol.ts";
import type { ApplySnapshot, SyncLog, SyncState } from "./sync.ts";

/** What control is told about one push. */
export type Answer = Extract<ProxyMessage, { readonly kind: "ack" | "nack" }>;

export interface Applier {
  /** Checks and applies, after those before it. One waits at most: an older one that still waits is refused. */
  apply(version: Version, snapshot: unknown, from: "control" | "last_good"): Promise<Answer>;
  applied(): SyncState["applied"];
  refused(): SyncState["refused"];
  /** Settles with the first snapshot that was applied. */
  readonly ready: Promise<void>;
  /** Settles when nothing is being applied. */
  idle(): Promise<void>;
}

export interface ApplierOptions {
  readonly applySnapshot: ApplySnapshot;
  /** Keeps what was applied for the next start. */
  readonly save: (snapshot: unknown, version: Version) => Promise<void>;
  readonly log: SyncLog;
  readonly now: () => number;
}

/** A message to control holds no more problems than this (`ProxyMessage`). */
const PROBLEMS_MAX = 1000;

export function createApplier({ applySnapshot, save, log, now }: ApplierOptions): Applier {
  let applied: SyncState["applied"];
  let refused: SyncState["refused"];
  let running: Promise<unknown> = Promise.resolve();
  let newest = 0;
  const { promise: ready, resolve: becomeReady } = Promise.withResolvers<void>();

  async function applyNow(version: Version, raw: unknown, from: "control" | "last_good"): Promise<Answer> {
    const problems = await tryApply(version, raw, applySnapshot);
    if (problems.length > 0) {
      refused = { version, problems, atMs: now() };
      log.warn({ version, from, problems }, "snapshot refused, the running one stays");
      return { kind: "nack", version, problems: problems.slice(0, PROBLEMS_MAX) };
    }
    applied = { version, from, atMs: now() };
    refused = undefined;
    becomeReady();
    log.info({ version, from }, "snapshot applied");
    if (from === "control") await save(raw, version);
    return { kind: "ack", version };
  }

  return {
    apply(version, raw, from) {
      newest += 1;
      const mine = newest;
      const answer = running.then(() => {
        // Control sends one at a time; this keeps one that does not from queueing work without a bound.
        if (mine !== newest) return superseded(version);
        return applyNow(version, raw, from);
      });
      running = answer;
      return answer;
    },
    applied: () => applied,
    refused: () => refused,
    ready,
    async idle() {
      await running;
    },
  };
}

async function tryApply(version: Version, raw: unknown, applySnapshot: ApplySnapshot): Promise<readonly Problem[]> {
  try {
    const actual = versionOf(raw);
    if (actual !== version) {
      return [{ path: "version", message: `is ${JSON.stringify(version)}, the snapshot's content is "${actual}"` }];
    }
    return await applySnapshot(raw, version);
  } catch (error) {
    // One nested too deep to be walked, or a bug in building a generation: it costs this push only, not the proxy that
    // runs the one before.
    return [{ path: "snapshot", message: `could not be applied: ${String(error)}` }];
  }
}

function superseded(version: Version): Answer {
  return { kind: "nack", version, problems: [{ path: "version", message: "a newer snapshot came before this one" }] };
}
