// Where a proxy gets its snapshot: its control service, a file, or the defaults.
import { hostname } from "node:os";
import type { Logger } from "pino";
import { readYaml, type Bootstrap } from "./bootstrap.ts";
import type { Parsed } from "./contract/problem.ts";
import type { Ambient } from "./data-path.ts";
import { reasonOf } from "./reason.ts";
import type { SyncOptions } from "./sync/sync.ts";

/** How a proxy follows its control service. */
export function syncOptions(
  bootstrap: Bootstrap,
  control: string,
  adminPort: number,
  log: Logger,
  { clock, random }: Ambient,
  applySnapshot: SyncOptions["applySnapshot"],
): SyncOptions {
  const { service, namespace, labels } = bootstrap;
  const name = `${service}.${namespace}`;
  return {
    control,
    node: { id: `${name}~${hostname()}~${adminPort}`, service, namespace, labels },
    stateDir: bootstrap.state ?? `.vespid/proxies/${name}~${bootstrap.admin.port}`,
    applySnapshot,
    log,
    random,
    now: () => clock.now(),
  };
}

/** The snapshot of `--config` as it is written there, or the defaults. */
export async function readSnapshotFile(bootstrap: Bootstrap): Promise<Parsed<unknown>> {
  const { config: path } = bootstrap;
  if (path === undefined) return { ok: true, value: { service: bootstrap.service } };
  try {
    return { ok: true, value: (await readYaml(path)) ?? {} };
  } catch (error) {
    return { ok: false, problems: [{ path, message: reasonOf(error) }] };
  }
}
