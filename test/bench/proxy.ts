// What does one HTTP/1.1 request cost in the proxy, beside nginx, HAProxy and Envoy?
import { startEnvoy } from "../harness/envoy.ts";
import { startHaproxy, startNginxProxy, startNginxUpstream } from "../harness/peers.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderCosts, renderRatio, runContest, type Contender } from "./contest.ts";
import { residentBytes } from "./cpu.ts";
import { runOpenLoop, runWrk, TEN_HEADERS } from "./load.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question = "What does one HTTP/1.1 request cost in the proxy, beside nginx, HAProxy and Envoy?";
export const parts: readonly string[] = ["own-core", "saturated", "fixed"];

const CONNECTIONS = 32;
const REPLY_BODY = "x".repeat(100);
const FIXED_PER_SECOND = 5000;
const NGINX = { limit: 1.4, want: 1.15 };
const ENVOY = { limit: 0.45 };

/** Measures all four in three regimes: a proxy on a core of its own hides what its code costs, since slow code batches itself. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  const rounds = isQuick ? 1 : 5;
  const durationMs = isQuick ? 1000 : 2000;
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const upstream = programs.use(await startNginxUpstream({ folder, body: REPLY_BODY }));
  const vespid = programs.use(await startSidecar({ folder, applicationPort: upstream.port }));
  const options = { folder, upstreamPort: upstream.port };
  const peers = await Promise.all([startNginxProxy(options), startHaproxy(options), startEnvoy(options)]);
  for (const peer of peers) programs.use(peer);
  const contenders = [contenderOf(vespid), ...peers.map((peer) => contenderOfPeer(peer))];
  const load = { connections: CONNECTIONS, headers: TEN_HEADERS, folder };
  const rows: BenchRow[] = [];

  for (const [part, placement] of [
    ["own-core", "apart"],
    ["saturated", "together"],
  ] as const) {
    if (!hasPart(part)) continue;
    const core = await place(placement, contenders, upstream.program.pid);
    const lap = ({ port }: Contender) => runWrk({ ...load, port, core, durationMs });
    const standings = await runContest({ contenders, label: part, rounds, warmUp: lap, lap, progress });
    rows.push(...renderCosts(part, standings));
    rows.push(renderRatio(part, standings, "nginx", NGINX), renderRatio(part, standings, "envoy", ENVOY));
  }
  if (hasPart("fixed")) {
    const label = `${FIXED_PER_SECOND.toLocaleString("en-US")}/s`;
    const core = await place("apart", contenders, upstream.program.pid);
    const lap = ({ port }: Contender) => runOpenLoop({ ...load, port, core, durationMs, perSecond: FIXED_PER_SECOND });
    // Its own laps are too few requests for a JIT; run by itself, this part is to read what it reads after the others.
    const warmUp = ({ port }: Contender) => runWrk({ ...load, port, core, durationMs });
    const standings = await runContest({ contenders, label, rounds, warmUp, lap, isFixedRate: true, progress });
    rows.push(...renderCosts(label, standings));
    rows.push(renderRatio(label, standings, "nginx", NGINX), renderRatio(label, standings, "envoy", ENVOY));
  }
  rows.push(
    ...contenders.map(({ name, pids }) => ({
      figure: `${name} RSS`,
      value: pids.reduce((sum, pid) => sum + residentBytes(pid), 0) / 1e6,
      unit: "MB",
    })),
    await vespid.countDroppedLines(),
  );
  return { name: "proxy", question, rows };
}
