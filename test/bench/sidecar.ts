// The sidecar as benchmarks run it: one worker, access log to a file, request id and metrics on, as its peers have them.
import { mkdir } from "node:fs/promises";
import { startProxy, type ProxyOptions, type RunningProxy } from "../harness/proxy.ts";
import type { TempFolder } from "../harness/temp-folder.ts";
import type { Contender } from "./contest.ts";
import type { BenchRow } from "./result.ts";

/** What a benchmark says of it. */
export interface SidecarOptions {
  readonly folder: TempFolder;
  /** Without it the sidecar has its outbound side alone. */
  readonly applicationPort?: number;
  /** Tells apart two of them in one folder. Default `vespid`. */
  readonly name?: string;
  /** What it is told to run. */
  readonly snapshot?: NonNullable<ProxyOptions["snapshot"]>;
}

/** A running sidecar under measurement. */
export interface Sidecar extends RunningProxy {
  /** A log that drops lines under load would be cheap for nothing. */
  readonly countDroppedLines: () => Promise<BenchRow>;
}

/** Starts it. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { folder, applicationPort, snapshot, name = "vespid" } = options;
  await mkdir(folder.file(name), { recursive: true });
  const proxy = await startProxy({
    service: name,
    accessLog: folder.file(`${name}-access.log`),
    cwd: folder.file(name),
    // Peers have one worker each.
    env: { VESPID_CONCURRENCY: "1" },
    ...(applicationPort === undefined ? { hasOutbound: true } : { applicationPort }),
    ...(snapshot === undefined ? {} : { snapshot }),
  });
  return {
    ...proxy,
    countDroppedLines: async () => {
      const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
      const dropped = /^vespid_access_log_dropped_lines (\d+)$/mu.exec(text)?.[1];
      return { figure: `${name} log lines dropped`, value: Number(dropped ?? Number.NaN), unit: "lines", limit: 0 };
    },
  };
}

/** A sidecar as a contender; several are one chain, entered at the first. */
export function contenderOf(...sidecars: readonly Sidecar[]): Contender {
  const [first] = sidecars;
  const port = first === undefined ? 0 : first.inboundPort || first.outboundPort;
  return { name: "vespid", port, pids: sidecars.map(({ program }) => program.pid) };
}
