// What do two workers bring over one? Where there are four processors, workers have two of their own and the load generator
// and the upstream one each; on fewer all share, and the ratio says what that machine allows, not what workers can do.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { cpuTimeUs, moveToCore, processTree } from "./cpu.ts";
import { runWrk, TEN_HEADERS } from "./load.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "What do two workers bring over one?";

const CONNECTIONS = 64;
const REPLY_BODY = "x".repeat(100);
/** Processors that it takes for workers, load and upstream not to be in each other's way. */
const CPUS_MIN = 4;
/** Two workers carry at least 1.8 times what one does. */
const INVERSE_MAX = 1 / 1.8;

interface Contender {
  readonly workers: number;
  readonly proxy: RunningProxy;
  readonly perSecond: number[];
  readonly cpuUs: number[];
}

/** Measures one process and two workers in turn. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const cpus = availableParallelism();
  const isRoomy = cpus >= CPUS_MIN;
  const rounds = isQuick ? 1 : 5;
  const durationMs = isQuick ? 1000 : 3000;
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const upstream = programs.use(
    await startNginxUpstream({ folder, body: REPLY_BODY, ...(isRoomy ? { core: 2 } : {}) }),
  );
  const contenders: Contender[] = [];
  for (const workers of [1, 2]) {
    const proxy = programs.use(
      await startProxy({
        service: `workers-${workers}`,
        applicationPort: upstream.port,
        accessLog: folder.file(`access-${workers}.log`),
        cwd: folder.path,
        concurrency: workers,
      }),
    );
    if (isRoomy) await moveToCore(proxy.program.pid, "0-1");
    contenders.push({ workers, proxy, perSecond: [], cpuUs: [] });
  }
  const load = { connections: CONNECTIONS, headers: TEN_HEADERS, folder, ...(isRoomy ? { core: 3 } : {}) };
  for (const { proxy } of contenders) await runWrk({ ...load, port: proxy.inboundPort, durationMs });
  for (let round = 1; round <= rounds; round++) {
    for (const { workers, proxy, perSecond, cpuUs } of contenders) {
      const before = cpuTimeUs(proxy.program.pid);
      const report = await runWrk({ ...load, port: proxy.inboundPort, durationMs });
      if (report.failed > 0) throw new Error(`${report.failed} of ${report.requests} requests failed`);
      perSecond.push(report.perSecond);
      cpuUs.push((cpuTimeUs(proxy.program.pid) - before) / report.requests);
      progress(`round ${round}/${rounds}, ${workers} of them: ${Math.round(report.perSecond)} requests/s`);
    }
  }
  return {
    name: "workers",
    question,
    rows: [...renderThroughput(contenders, cpus), ...contenders.flatMap(renderCosts)],
  };
}

function renderThroughput(contenders: readonly Contender[], cpus: number): readonly BenchRow[] {
  const [one = [], two = []] = contenders.map(({ perSecond }) => perSecond);
  const inverse = median(one.map((value, round) => value / (two[round] ?? Number.NaN)));
  const isRoomy = cpus >= CPUS_MIN;
  const where = isRoomy ? "two processors for workers" : `${cpus} processors for workers, load and upstream together`;
  return [
    ...contenders.map(({ workers, perSecond }) => ({
      figure: `peak of ${nameOf(workers)}`,
      value: median(perSecond),
      unit: "requests/s",
      note: where,
    })),
    { figure: "two workers ÷ one", value: 1 / inverse, unit: "×", note: where },
    {
      figure: "one ÷ two workers",
      value: inverse,
      unit: "×",
      ...(isRoomy ? { limit: INVERSE_MAX } : { note: `a limit from ${CPUS_MIN} processors on` }),
    },
  ];
}

function renderCosts({ workers, proxy, cpuUs }: Contender): readonly BenchRow[] {
  const pids = processTree(proxy.program.pid);
  const sum = (name: string): number => pids.reduce((total, pid) => total + memoryOf(pid, name), 0) / 1e6;
  return [
    { figure: `CPU of ${nameOf(workers)}`, value: median(cpuUs), unit: "µs/request" },
    {
      figure: `RSS of ${nameOf(workers)}`,
      value: sum("Rss"),
      unit: "MB",
      note: `${pids.length} processes, shared pages in each`,
    },
    { figure: `PSS of ${nameOf(workers)}`, value: sum("Pss"), unit: "MB", note: "shared pages once" },
  ];
}

function nameOf(workers: number): string {
  return workers === 1 ? "one process" : "two workers";
}

/** A figure of /proc/PID/smaps_rollup, bytes. */
function memoryOf(pid: number, name: string): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "mu").exec(text)?.[1] ?? Number.NaN) * 1024;
}
