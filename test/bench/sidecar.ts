// The sidecar as benchmarks run it: one worker, access log to a file, request id and metrics on, as its peers have them.
import { startProxy, type ProxyOptions, type RunningProxy } from "../harness/proxy.ts";
import type { TempFolder } from "../harness/temp-folder.ts";
import type { BenchRow } from "./result.ts";

/** What a benchmark says of it. */
export interface SidecarOptions {
  readonly folder: TempFolder;
  readonly applicationPort: number;
  /** Tells apart two of them in one folder. Default `vespid`. */
  readonly name?: string;
  /** What it is told to run. */
  readonly snapshot?: unknown;
  readonly flags?: readonly string[];
}

/** A running sidecar under measurement. */
export interface Sidecar extends RunningProxy {
  /** A log that drops lines under load would be cheap for nothing. */
  readonly countDroppedLines: () => Promise<BenchRow>;
}

/** Starts it. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { folder, name = "vespid" } = options;
  const proxyOptions: ProxyOptions = {
    service: name,
    applicationPort: options.applicationPort,
    accessLog: folder.file(`${name}-access.log`),
    cwd: folder.file(name),
    // Peers have one worker each.
    env: { VESPID_CONCURRENCY: "1" },
    ...(options.flags === undefined ? {} : { flags: options.flags }),
  };
  await Bun.write(folder.file(`${name}/snapshot.json`), JSON.stringify(options.snapshot ?? {}));
  const proxy = await startProxy(
    options.snapshot === undefined ? proxyOptions : { ...proxyOptions, config: folder.file(`${name}/snapshot.json`) },
  );
  return {
    ...proxy,
    countDroppedLines: async () => {
      const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
      const dropped = /^vespid_access_log_dropped_lines (\d+)$/mu.exec(text)?.[1];
      return { figure: `${name} log lines dropped`, value: Number(dropped ?? Number.NaN), unit: "lines", limit: 0 };
    },
  };
}

/** A snapshot whose application speaks HTTP/2 by prior knowledge. */
export function http2Snapshot(applicationPort: number): unknown {
  return {
    clusters: [
      {
        name: `inbound|${applicationPort}||`,
        endpoints: [{ address: "127.0.0.1", port: applicationPort }],
        protocol: "http2",
      },
    ],
  };
}
