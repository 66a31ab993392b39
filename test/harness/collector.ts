// A real OpenTelemetry collector: OTLP over HTTP, StatsD by UDP and Fluentd's forward protocol in, a file of JSON lines out.
import { builtPeer } from "./built-peers.ts";
import { ready, type Peer } from "./peers.ts";
import { freePorts } from "./ports.ts";
import { startProgram } from "./program.ts";
import type { TempFolder } from "./temp-folder.ts";
import { until } from "./until.ts";

/** A running collector. */
export interface Collector extends AsyncDisposable {
  readonly otlpPort: number;
  readonly statsdPort: number;
  readonly fluentPort: number;
  /** What came, as soon as `find` finds something in it: every line that it has written so far, as OTLP's JSON. */
  received<T>(what: string, find: (text: string) => T | undefined): Promise<T>;
}

/** Starts one with ports of its own, or with those of one that was there before. */
export async function startCollector(folder: TempFolder, ports: readonly number[] = freePorts(3)): Promise<Collector> {
  const [otlpPort = 0, statsdPort = 0, fluentPort = 0] = ports;
  const file = folder.file(`collected-${otlpPort}.json`);
  const config = folder.file(`collector-${otlpPort}.yaml`);
  await Bun.write(
    config,
    JSON.stringify({
      receivers: {
        otlp: { protocols: { http: { endpoint: `127.0.0.1:${otlpPort}` } } },
        statsd: {
          endpoint: `127.0.0.1:${statsdPort}`,
          aggregation_interval: "100ms",
          timer_histogram_mapping: [
            { statsd_type: "histogram", observer_type: "histogram" },
            { statsd_type: "timing", observer_type: "histogram" },
          ],
        },
        fluent_forward: { endpoint: `127.0.0.1:${fluentPort}` },
      },
      exporters: { file: { path: file, flush_interval: "50ms" } },
      service: {
        telemetry: { metrics: { level: "none" } },
        pipelines: {
          metrics: { receivers: ["otlp", "statsd"], exporters: ["file"] },
          logs: { receivers: ["otlp", "fluent_forward"], exporters: ["file"] },
        },
      },
    }),
  );
  const program = startProgram([builtPeer("otelcol"), "--config", config]);
  const peer: Peer = await ready("the collector", otlpPort, program);
  return {
    otlpPort,
    statsdPort,
    fluentPort,
    received: (what, find) =>
      until(`the collector to have ${what}; it said:\n${program.output().slice(-2000)}`, async () => {
        program.assertRunning();
        const written = Bun.file(file);
        return (await written.exists()) ? find(await written.text()) : undefined;
      }),
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}
