// Where a proxy gets its snapshot: its control service, a file, or the defaults.
import { hostname } from "node:os";
import type { Logger } from "pino";
import type { Bootstrap } from "./bootstrap.ts";
import type { BundleFile } from "./contract/bundle.ts";
import { renderProblems, type Parsed, type Problem } from "./contract/problem.ts";
import type { Ambient } from "./data-path.ts";
import { reasonOf } from "./reason.ts";
import type { Result } from "./exchange/failure.ts";
import { openFiles, type SyncOptions } from "./sync/sync.ts";

/** How a proxy follows its control service. */
export function syncOptions(
  bootstrap: Bootstrap,
  control: string,
  adminPort: number,
  log: Logger,
  { clock, random }: Ambient,
  told: Required<Pick<SyncOptions, "applySnapshot" | "setTaps">>,
): SyncOptions {
  const { service, namespace, labels } = bootstrap;
  const name = `${service}.${namespace}`;
  return {
    control,
    node: { id: `${name}~${hostname()}~${adminPort}`, service, namespace, labels },
    stateDir: stateDirOf(bootstrap),
    ...told,
    log,
    random,
    now: () => clock.now(),
  };
}

/** Where a proxy keeps what it would need control for, or much time, when it starts again. */
export function stateDirOf({ state, service, namespace, admin }: Bootstrap): string {
  return state ?? `.vespid/proxies/${service}.${namespace}~${admin.port}`;
}

/** How a process that does not follow control itself gets files of bundles; it shares the cache of the one that does. */
export function fileSource(
  bootstrap: Bootstrap,
  log: Logger,
  { clock, random }: Ambient,
): (file: BundleFile) => Promise<Result<Uint8Array, string>> {
  const { control } = bootstrap;
  if (control === undefined) return () => Promise.resolve(NO_CONTROL);
  const files = openFiles({ control, stateDir: stateDirOf(bootstrap), random, log, now: () => clock.now() });
  return (file) => files.fetchFile(file);
}

/** Why there are no bundles without a control service. */
export const NO_CONTROL = {
  ok: false as const,
  error: "bundles come from a control service; pass --control URL",
};

/** The snapshot of `--config` as it is written there, or the defaults. */
export async function readSnapshotFile(bootstrap: Bootstrap): Promise<Parsed<unknown>> {
  const { config: path } = bootstrap;
  if (path === undefined) return { ok: true, value: { service: bootstrap.service } };
  try {
    // Loaded here: a worker, which is told what to run, never reads a file.
    const { readYaml } = await import("./bootstrap.ts");
    return { ok: true, value: (await readYaml(path)) ?? {} };
  } catch (error) {
    return { ok: false, problems: [{ path, message: reasonOf(error) }] };
  }
}

/** Applies `--config` again, as it is now, with the keys and certificates that it names. Answers with why not; one at a time. */
export function reloadOnDemand(
  { control, config }: Bootstrap,
  isServing: () => boolean,
  applyAgain: () => Promise<readonly Problem[]>,
): () => Promise<string | undefined> {
  let isUnderWay = false;
  return async function reload() {
    if (control !== undefined) return "control says what runs here";
    if (config === undefined) return "there is no --config to read";
    if (isUnderWay || !isServing()) return "a change is under way";
    isUnderWay = true;
    try {
      const problems = await applyAgain();
      return problems.length === 0 ? undefined : renderProblems(problems);
    } finally {
      isUnderWay = false;
    }
  };
}
