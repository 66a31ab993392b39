// How long do requests take at half of Envoy's peak, beside Envoy?
import { startCannedHttp2 } from "../harness/canned.ts";
import { startEnvoy } from "../harness/envoy.ts";
import { startHaproxy, startNginxUpstream } from "../harness/peers.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderRatio, runContest, type Contender } from "./contest.ts";
import { runH2load, runOpenLoop, runWrk, TEN_HEADERS } from "./load.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question = "How long do requests take at half of Envoy's peak, beside Envoy?";
export const parts: readonly string[] = ["http1", "h2"];

const REPLY_BODY = "x".repeat(100);
const ENVOY = { limit: 1, want: 0.5 };

/** Latency counts from when a request fell due: what a stall holds up, waits in the figure too. */
export async function run(options: BenchOptions): Promise<BenchResult> {
  const rows: BenchRow[] = [];
  await using folder = await makeTempFolder();
  for (const protocol of ["http1", "h2"] as const) {
    if (options.hasPart(protocol)) rows.push(...(await measureProtocol(protocol, folder, options)));
  }
  return { name: "latency", question, rows };
}

async function measureProtocol(
  protocol: "http1" | "h2",
  folder: TempFolder,
  { isQuick, progress }: BenchOptions,
): Promise<readonly BenchRow[]> {
  await using programs = new AsyncDisposableStack();
  const upstream = programs.use(
    await (protocol === "h2"
      ? startCannedHttp2({ kind: "plain", bodyBytes: REPLY_BODY.length })
      : startNginxUpstream({ folder, body: REPLY_BODY })),
  );
  const options = { folder, upstreamPort: upstream.port };
  const vespid = programs.use(await startSidecar({ folder, name: protocol, applicationPort: upstream.port }));
  const envoy = programs.use(await startEnvoy({ ...options, downstream: protocol, upstream: protocol }));
  const haproxy = programs.use(await startHaproxy({ ...options, kind: protocol }));
  const contenders = [contenderOf(vespid), contenderOfPeer(envoy), contenderOfPeer(haproxy)];
  const core = await place("apart", contenders, upstream.program.pid);
  const load = { folder, headers: TEN_HEADERS, core };
  const durationMs = isQuick ? 1000 : 3000;
  const peak = ({ port }: Contender) =>
    protocol === "h2"
      ? runH2load({ ...load, port, durationMs, connections: 4, streams: 32 })
      : runWrk({ ...load, port, durationMs, connections: 32 });
  const peaks = await runContest({
    contenders,
    label: `${protocol} peak`,
    rounds: isQuick ? 1 : 3,
    lap: peak,
    progress,
  });
  const perSecond = Math.round(median(peaks.get("envoy")?.perSecond ?? []) / 2);
  const connections = protocol === "h2" ? 8 : 128;
  const standings = await runContest({
    contenders,
    label: `${protocol} at ${perSecond.toLocaleString("en-US")}/s`,
    rounds: isQuick ? 1 : 5,
    lap: ({ port }) => runOpenLoop({ ...load, port, durationMs, protocol, perSecond, connections }),
    isFixedRate: true,
    progress,
  });
  return [
    ...[...standings].map(([name, { p50Ms, p99Ms }]) => ({
      figure: `${protocol}: ${name} p99`,
      value: median(p99Ms),
      unit: "ms",
      note: `p50 ${median(p50Ms).toFixed(2)} ms at ${perSecond.toLocaleString("en-US")}/s; rounds: ${p99Ms.map((ms) => ms.toFixed(2)).join(" ")}`,
    })),
    renderRatio(`${protocol} p99`, standings, "envoy", ENVOY, ({ p99Ms }) => p99Ms),
  ];
}
