// A real Prometheus that reads proxies' metrics, asked in its own language.
import { z } from "zod";
import { freePort } from "./ports.ts";
import { startProgram } from "./program.ts";
import type { TempFolder } from "./temp-folder.ts";
import { until } from "./until.ts";

/** Seconds between two readings. */
const INTERVAL = 1;

const Answer = z.object({
  status: z.literal("success"),
  data: z.object({
    result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) })),
  }),
});

/** A series that an expression has now. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Prometheus extends AsyncDisposable {
  /** Throws what Prometheus says where the expression is wrong. */
  query(expression: string): Promise<readonly Series[]>;
}

/** Starts one that reads each of the proxies' admin ports every second. */
export async function startPrometheus(folder: TempFolder, adminPorts: readonly number[]): Promise<Prometheus> {
  const port = freePort();
  const config = folder.file("prometheus.yaml");
  const targets = adminPorts.map((adminPort) => `127.0.0.1:${adminPort}`);
  await Bun.write(
    config,
    JSON.stringify({
      global: { scrape_interval: `${INTERVAL}s` },
      scrape_configs: [{ job_name: "vespid", metrics_path: "/stats/prometheus", static_configs: [{ targets }] }],
    }),
  );
  const data = folder.file("prometheus");
  const program = startProgram([
    "prometheus",
    `--config.file=${config}`,
    `--storage.tsdb.path=${data}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  const base = `http://127.0.0.1:${port}`;
  await until("Prometheus to be ready", async () => {
    const ready = await fetch(`${base}/-/ready`).catch(() => undefined);
    return ready?.ok === true ? true : undefined;
  });
  return {
    async query(expression) {
      const reply = await fetch(`${base}/api/v1/query`, {
        method: "POST",
        body: new URLSearchParams({ query: expression }),
      });
      const text = await reply.text();
      if (!reply.ok) throw new Error(`${expression}: ${text}`);
      const { data: answered } = Answer.parse(JSON.parse(text));
      return answered.result.map(({ metric, value: [, value] }) => ({ labels: metric, value: Number(value) }));
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}
