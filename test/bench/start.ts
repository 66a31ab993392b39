// How fast does a sidecar start, and what does it hold in memory after 100,000 requests through a sandboxed filter?
import { buildFilterFile } from "../../sdk/build/build.ts";
import { startControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { freePorts } from "../harness/ports.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { proxyCommand, startProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { residentBytes } from "./cpu.ts";
import { TEN_HEADERS } from "./load.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "How fast does a sidecar start, and does its memory stay small and flat?";

const START_MAX_MS = 300;
const RSS_MAX_MB = 90;
const GROWTH_MAX_PERCENT = 5;
const GIVE_UP_MS = 10_000;

/** Reads three headers and adds one. */
const FILTER_HEADER = "x-bench";
const FILTER_SOURCE = `import { defineFilter } from "vespid";

export default defineFilter({
  name: "bench",
  stage: "transform",
  reads: ["user-agent", "accept-language", "x-tenant"],
  writes: ["${FILTER_HEADER}"],
  response(response) {
    const { headers } = response.request;
    const tenant = headers.get("x-tenant") ?? "nobody";
    const isBrowser = (headers.get("user-agent") ?? "").startsWith("Mozilla") && headers.has("accept-language");
    response.headers.set("${FILTER_HEADER}", isBrowser ? tenant : "");
  },
});
`;

/** Measures both. */
export async function run(options: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "hello" });
  return {
    name: "start",
    question,
    rows: [
      ...(await measureStarts(options, folder, upstream.port)),
      ...(await measureMemory(options, folder, upstream.port)),
    ],
  };
}

async function measureStarts(
  options: BenchOptions,
  folder: TempFolder,
  applicationPort: number,
): Promise<readonly BenchRow[]> {
  const startMs: number[] = [];
  for (let round = 1; round <= (options.isQuick ? 3 : 9); round++) {
    const tookMs = await timeStart(folder, applicationPort);
    options.progress(`start ${round}: ${tookMs.toFixed(0)} ms`);
    startMs.push(tookMs);
  }
  const note = `rounds: ${startMs.map((value) => value.toFixed(0)).join(" ")}`;
  return [{ figure: "start to first reply", value: median(startMs), unit: "ms", limit: START_MAX_MS, note }];
}

/** A sidecar that runs one sandboxed filter, told by a control service, under load. */
async function measureMemory(
  options: BenchOptions,
  folder: TempFolder,
  applicationPort: number,
): Promise<readonly BenchRow[]> {
  const requests = options.isQuick ? 5000 : 100_000;
  await using control = await startControl({ cwd: folder.path });
  options.progress("building a filter");
  await Bun.write(folder.file("filter/filter.ts"), FILTER_SOURCE);
  const built = await buildFilterFile(folder.file("filter/filter.ts"));
  if (!built.ok) throw new Error(`the filter does not build: ${JSON.stringify(built.problems)}`);
  const bundle = await control.push(built.value.artifact);
  await control.apply(
    JSON.stringify({ apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name: "bench" }, spec: { bundle } }),
  );
  await using proxy = await startProxy({
    service: "memory",
    applicationPort,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file("memory.log"),
  });
  const reply = await fetch(`http://127.0.0.1:${proxy.inboundPort}/`);
  if (!reply.headers.has(FILTER_HEADER)) throw new Error("the filter does not run");
  const megabytes = () => residentBytes(proxy.program.pid) / 1e6;
  const atStart = megabytes();
  const after: number[] = [];
  for (const round of [1, 2]) {
    options.progress(`${requests} requests, round ${round}`);
    await sendRequests(proxy.inboundPort, requests);
    after.push(megabytes());
  }
  const [first = Number.NaN, second = Number.NaN] = after;
  const count = requests.toLocaleString("en-US");
  return [
    { figure: "RSS with one sandboxed filter, idle", value: atStart, unit: "MB" },
    { figure: `RSS after ${count} requests`, value: first, unit: "MB", limit: RSS_MAX_MB },
    { figure: `RSS after ${count} more`, value: second, unit: "MB" },
    {
      figure: `growth over the second ${count}`,
      value: (second / first - 1) * 100,
      unit: "%",
      limit: GROWTH_MAX_PERCENT,
    },
  ];
}

/** That many requests on 16 connections; throws when one fails. */
async function sendRequests(port: number, count: number): Promise<void> {
  const fields = Object.entries(TEN_HEADERS).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const command = ["h2load", "--h1", "-n", String(count), "-c", "16", "-t", "1", ...fields];
  const ended = await runProgram([...command, `http://127.0.0.1:${port}/`]);
  const good = Number(/ (\d+) succeeded/u.exec(ended.output)?.[1] ?? 0);
  if (ended.status !== 0 || good !== count) throw new Error(`${good} of ${count} requests succeeded:\n${ended.output}`);
}

/** From `exec` to the first reply through the sidecar, milliseconds. */
async function timeStart(folder: TempFolder, applicationPort: number): Promise<number> {
  const [inboundPort = 0, adminPort = 0] = freePorts(2);
  const options = { service: "start", applicationPort, cwd: folder.path, accessLog: folder.file("start.log") };
  const command = proxyCommand(options, { inboundPort, adminPort });
  const startedAtMs = performance.now();
  await using program = startProgram(command, { cwd: folder.path });
  while (performance.now() - startedAtMs < GIVE_UP_MS) {
    program.assertRunning();
    if (await isAnswered(inboundPort)) return performance.now() - startedAtMs;
    await Bun.sleep(1);
  }
  throw new Error(`the sidecar did not answer:\n${program.output()}`);
}

function isAnswered(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => {
        socket.write("GET / HTTP/1.1\r\nHost: app\r\n\r\n");
      },
      data: (socket, chunk) => {
        resolve(chunk.latin1Slice(0, 12) === "HTTP/1.1 200");
        socket.terminate();
      },
      close: () => resolve(false),
    },
  }).catch(() => resolve(false));
  return promise;
}
