// What does one request cost in the proxy, beside nginx, HAProxy and Envoy in the same run?
import { startEnvoy, startHaproxy, startNginxProxy, startNginxUpstream } from "../harness/peers.ts";
import { startProxy } from "../harness/proxy.ts";
import type { Program } from "../harness/program.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { cpuTimeUs, residentBytes } from "./cpu.ts";
import { runOpenLoop, runWrk, TEN_HEADERS } from "./load.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "What does one request cost in the proxy, beside nginx, HAProxy and Envoy?";

/** The proxy has a core of its own; what sends to it and what it sends to share the other. */
const PROXY_CORE = 0;
const LOAD_CORE = 1;
const CONNECTIONS = 32;
const REPLY_BODY = "x".repeat(100);
const NGINX_RATIO_MAX = 1.5;
const ENVOY_RATIO_MAX = 0.5;

/** A proxy under test, and what was measured of it. */
interface Contender {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  readonly cpuUs: number[];
  readonly perSecond: number[];
  readonly tailMs: { p50: number; p99: number }[];
}

/** Measures all four in interleaved rounds, so that what else the machine does hits all of them. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const rounds = isQuick ? 1 : 5;
  const durationMs = isQuick ? 1000 : 3000;
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const upstream = programs.use(await startNginxUpstream({ folder, core: LOAD_CORE, body: REPLY_BODY }));
  const vespid = programs.use(
    await startProxy({
      service: "bench",
      applicationPort: upstream.port,
      accessLog: folder.file("vespid-access.log"),
      cwd: folder.path,
      core: PROXY_CORE,
    }),
  );
  const options = { folder, upstreamPort: upstream.port, core: PROXY_CORE };
  const peers = await Promise.all([startNginxProxy(options), startHaproxy(options), startEnvoy(options)]);
  for (const peer of peers) programs.use(peer);
  const contenders = [{ name: "vespid", port: vespid.inboundPort, program: vespid.program }, ...peers].map(
    buildContender,
  );

  const load = { connections: CONNECTIONS, headers: TEN_HEADERS, core: LOAD_CORE, folder };
  for (const { name, port } of contenders) {
    progress(`warming up ${name}`);
    await runWrk({ ...load, port, durationMs: isQuick ? 1000 : 2000 });
  }
  for (let round = 1; round <= rounds; round++) {
    for (const contender of contenders) {
      const before = cpuTimeUs(contender.pid);
      const report = await runWrk({ ...load, port: contender.port, durationMs });
      if (report.failed > 0)
        throw new Error(`${report.failed} of ${report.requests} requests to ${contender.name} failed`);
      contender.cpuUs.push((cpuTimeUs(contender.pid) - before) / report.requests);
      contender.perSecond.push(report.perSecond);
      progress(`round ${round}/${rounds}: ${contender.name} ${contender.cpuUs.at(-1)?.toFixed(1)} µs/request`);
    }
  }

  const nginx = contenders.find(({ name }) => name === "nginx");
  const halfPeak = Math.round(median(nginx?.perSecond ?? []) / 2);
  const floor: Contender = {
    name: "upstream alone",
    port: upstream.port,
    pid: 0,
    cpuUs: [],
    perSecond: [],
    tailMs: [],
  };
  for (let round = 1; round <= (isQuick ? 1 : 3); round++) {
    for (const { name, port, tailMs } of [floor, ...contenders]) {
      progress(`p99 of ${name} at ${halfPeak} requests/s, round ${round}`);
      const report = await runOpenLoop({ ...load, port, durationMs, connections: 128, perSecond: halfPeak });
      tailMs.push({ p50: report.p50Ms, p99: report.failed > 0 ? Number.POSITIVE_INFINITY : report.p99Ms });
    }
  }
  const rows = [...renderRows(contenders, floor, halfPeak), await countDroppedLines(vespid.admin)];
  return { name: "proxy", question, rows };
}

function buildContender({ name, port, program }: { name: string; port: number; program: Program }): Contender {
  return { name, port, pid: program.pid, cpuUs: [], perSecond: [], tailMs: [] };
}

/** A log that drops lines under load would be cheap for nothing. */
async function countDroppedLines(admin: string): Promise<BenchRow> {
  const text = await (await fetch(`${admin}/stats/prometheus`)).text();
  const dropped = /^vespid_access_log_dropped_lines (\d+)$/mu.exec(text)?.[1];
  return { figure: "vespid log lines dropped", value: Number(dropped ?? Number.NaN), unit: "lines", limit: 0 };
}

function renderRows(contenders: readonly Contender[], floor: Contender, halfPeak: number): readonly BenchRow[] {
  const vespid = contenders.find(({ name }) => name === "vespid");
  // A ratio of one round's two neighbours: noise that lasts longer than a round cancels out.
  const ratioTo = (peer: string) => {
    const other = contenders.find(({ name }) => name === peer);
    return median((vespid?.cpuUs ?? []).map((cpuUs, round) => cpuUs / (other?.cpuUs[round] ?? Number.NaN)));
  };
  return [
    ...contenders.map(({ name, cpuUs }) => ({
      figure: `${name} CPU`,
      value: median(cpuUs),
      unit: "µs/request",
      note: `rounds: ${cpuUs.map((value) => value.toFixed(1)).join(" ")}`,
    })),
    { figure: "vespid ÷ nginx CPU", value: ratioTo("nginx"), unit: "×", limit: NGINX_RATIO_MAX },
    { figure: "vespid ÷ envoy CPU", value: ratioTo("envoy"), unit: "×", limit: ENVOY_RATIO_MAX },
    ...contenders.map(({ name, perSecond }) => ({
      figure: `${name} peak`,
      value: median(perSecond),
      unit: "requests/s",
      note: "one core, load and upstream on the other",
    })),
    ...[floor, ...contenders].map((contender) => renderTail(contender, halfPeak)),
    ...contenders.map(({ name, pid }) => ({ figure: `${name} RSS`, value: residentBytes(pid) / 1e6, unit: "MB" })),
  ];
}

/** A round in which an answer did not come counts as endless; where most are, the rate is too high for that proxy. */
function renderTail({ name, tailMs }: Contender, perSecond: number): BenchRow {
  const p50 = median(tailMs.map((tail) => tail.p50));
  const p99 = median(tailMs.map((tail) => tail.p99));
  const isKept = Number.isFinite(p99);
  const note = `at ${perSecond} requests/s${isKept ? `; p50 ${p50.toFixed(2)} ms` : ", a rate that it cannot keep"}`;
  return { figure: `${name} p99`, value: isKept ? p99 : Number.NaN, unit: "ms", note };
}
