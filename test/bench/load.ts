// Load on one port: as fast as it goes (wrk, h2load), or at a fixed rate whatever the answer (open-loop.ts).
import { join } from "node:path";
import { z } from "zod";
import { runProgram } from "../harness/program.ts";
import type { TempFolder } from "../harness/temp-folder.ts";

/** What a client saw. */
export interface LoadReport {
  readonly requests: number;
  /** Requests without a good answer: socket errors, timeouts, statuses of 400 and above. */
  readonly failed: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Good answers of the whole run, where `requests` leaves out its beginning. */
  readonly served?: number;
}

export interface LoadOptions {
  readonly port: number;
  readonly path?: string;
  readonly durationMs: number;
  readonly connections: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The load generator runs on this core alone. */
  readonly core?: number;
  /** Over TLS, whatever certificate the server has. */
  readonly isTls?: boolean;
}

/** Load at a fixed rate. */
export interface OpenLoopOptions extends LoadOptions {
  readonly perSecond: number;
  /** Default `http1`. */
  readonly protocol?: "http1" | "h2";
  /** Requests at once on an HTTP/2 connection. Default 32. */
  readonly streams?: number;
}

/** Load by h2load. */
export interface H2loadOptions extends LoadOptions {
  /** Takes the file of paths and the body. */
  readonly folder: TempFolder;
  /** Requests at once on one connection. */
  readonly streams: number;
  /** Each request has a path of its own, out of ten thousand. */
  readonly hasUniquePaths?: boolean;
  /** Sent with POST. */
  readonly body?: Uint8Array;
}

/** A browser's head: nine fields, and `Host` makes ten. */
export const TEN_HEADERS: Readonly<Record<string, string>> = {
  "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  Accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  "Accept-Language": "en-US,en;q=0.5",
  "Accept-Encoding": "gzip, deflate, br",
  Referer: "http://bookshop.example/productpage",
  Cookie: "session=5b1cf0a2d3e94c7b8a6f; theme=dark",
  "Cache-Control": "no-cache",
  "Sec-Fetch-Mode": "navigate",
  "X-Tenant": "acme",
};

/** Runs wrk: closed loop, one thread, every connection busy. */
export async function runWrk(
  options: LoadOptions & { readonly folder: TempFolder; readonly bodyBytes?: number },
): Promise<LoadReport> {
  const script = options.folder.file("wrk.lua");
  const lines = Object.entries(options.headers).map(
    ([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
  );
  if (options.bodyBytes !== undefined) {
    lines.push('wrk.method = "POST"', `wrk.body = string.rep("x", ${options.bodyBytes})`);
  }
  await Bun.write(script, `${lines.join("\n")}\n${WRK_REPORT}`);
  const command = [
    "wrk",
    "-t1",
    `-c${options.connections}`,
    `-d${Math.max(1, Math.round(options.durationMs / 1000))}s`,
    "-s",
    script,
    `${options.isTls === true ? "https" : "http"}://127.0.0.1:${options.port}${options.path ?? "/"}`,
  ];
  return parseReport(await runProgram(command, options.core === undefined ? {} : { core: options.core }));
}

const WRK_REPORT = `done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.timeout + e.status
  print(string.format('REPORT {"requests":%d,"failed":%d,"perSecond":%f,"p50Ms":%f,"p99Ms":%f}',
    summary.requests, failed, summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
`;

/** Runs h2load: closed loop, one thread, HTTP/2. It knows no percentiles. */
export async function runH2load(options: H2loadOptions): Promise<LoadReport> {
  const { folder, port, path = "/" } = options;
  const base = `${options.isTls === true ? "https" : "http"}://127.0.0.1:${port}`;
  const command = ["h2load", "-t", "1", "-c", String(options.connections), "-m", String(options.streams)];
  // Its connections open, and the proxy's, before it counts.
  command.push("-D", String(Math.max(1, options.durationMs / 1000)));
  for (const [name, value] of Object.entries(options.headers)) command.push("-H", `${name.toLowerCase()}: ${value}`);
  if (options.body !== undefined) {
    await Bun.write(folder.file("h2load.body"), options.body);
    command.push("-d", folder.file("h2load.body"));
  }
  if (options.hasUniquePaths === true) {
    const paths = Array.from({ length: 10_000 }, (_, at) => `${base}/item/${at}?from=${at * 7}`);
    await Bun.write(folder.file("h2load.paths"), `${paths.join("\n")}\n`);
    command.push("-i", folder.file("h2load.paths"));
  } else {
    command.push(`${base}${path}`);
  }
  const run = await runProgram(command, options.core === undefined ? {} : { core: options.core });
  const count = (pattern: RegExp) => Number(pattern.exec(run.output)?.[1] ?? Number.NaN);
  const requests = count(/^status codes: (\d+) 2xx/mu);
  if (run.status !== 0 || Number.isNaN(requests)) {
    throw new Error(`h2load ended with ${run.status}:\n${run.output.slice(-2000)}`);
  }
  // What is on its way when the time is up counts as neither: only refusals and lost connections fail.
  const failed = count(/ (\d+) 4xx/u) + count(/ (\d+) 5xx/u) + count(/ (\d+) errored/u);
  const perSecond = count(/finished in [\d.]+m?s, ([\d.]+) req\/s/u);
  return { requests, failed, perSecond, p50Ms: Number.NaN, p99Ms: Number.NaN };
}

/** Runs the open-loop generator in a process of its own, so that it can be pinned. */
export async function runOpenLoop(options: OpenLoopOptions): Promise<LoadReport> {
  const command = [process.execPath, join(import.meta.dir, "open-loop.ts"), JSON.stringify(options)];
  return parseReport(await runProgram(command, options.core === undefined ? {} : { core: options.core }));
}

// A percentile of no good answer is NaN, which JSON writes as null.
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const Report = z.object({
  requests: z.int(),
  failed: z.int(),
  perSecond: figure,
  p50Ms: figure,
  p99Ms: figure,
  served: z.int().exactOptional(),
});

function parseReport(run: { readonly status: number; readonly output: string }): LoadReport {
  const json = /^REPORT (\{.*\})$/mu.exec(run.output)?.[1];
  if (run.status !== 0 || json === undefined) {
    throw new Error(`the load generator ended with ${run.status}:\n${run.output.slice(-2000)}`);
  }
  return Report.parse(JSON.parse(json));
}
