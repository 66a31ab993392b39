// What does one HTTP/2 request cost in the proxy, HTTP/2 on both sides, beside HAProxy and Envoy?
import { startCannedHttp2 } from "../harness/canned.ts";
import { startEnvoy } from "../harness/envoy.ts";
import { startHaproxy } from "../harness/peers.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import {
  contenderOfPeer,
  place,
  renderCosts,
  renderRatio,
  runContest,
  type Bounds,
  type Contender,
  type Placement,
} from "./contest.ts";
import { runH2load, runOpenLoop, TEN_HEADERS, type LoadReport } from "./load.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question = "What does one HTTP/2 request cost in the proxy, beside HAProxy and Envoy?";
export const parts: readonly string[] = ["own-core", "same", "unique", "post", "fixed", "connections"];

const CONNECTIONS = 4;
const STREAMS = 32;
const BODY = Buffer.alloc(100, "x");

/** One kind of load, and what the proxy's cost may be beside its peers'. */
interface Trial {
  readonly part: string;
  readonly label: string;
  readonly placement: Placement;
  readonly isFixedRate?: boolean;
  readonly haproxy: Bounds;
  readonly envoy: Bounds;
  readonly send: (port: number, core: number, durationMs: number) => Promise<LoadReport>;
}

/** Measures the three in every regime: a proxy on a core of its own hides what its code costs, since slow code batches itself. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const upstream = programs.use(await startCannedHttp2({ kind: "plain", bodyBytes: 100 }));
  const vespid = programs.use(await startSidecar({ folder, applicationPort: upstream.port }));
  const options = { folder, upstreamPort: upstream.port };
  const peers = [
    programs.use(await startHaproxy({ ...options, kind: "h2" })),
    programs.use(await startEnvoy({ ...options, downstream: "h2", upstream: "h2" })),
  ];
  const contenders = [contenderOf(vespid), ...peers.map((peer) => contenderOfPeer(peer))];

  const load = { connections: CONNECTIONS, streams: STREAMS, headers: TEN_HEADERS, folder };
  const atRate =
    (perSecond: number, connections: number, streams: number) => (port: number, core: number, ms: number) =>
      runOpenLoop({ ...load, port, core, durationMs: ms, perSecond, protocol: "h2", connections, streams });
  const saturated = { placement: "together", haproxy: { limit: 1.3 }, envoy: { limit: 0.45 } } as const;
  const fixed = {
    placement: "apart",
    isFixedRate: true,
    haproxy: { limit: 1.3, want: 1 },
    envoy: { limit: 0.65 },
  } as const;
  const trials: readonly Trial[] = [
    {
      part: "own-core",
      label: "same headers, own core",
      placement: "apart",
      haproxy: {},
      envoy: {},
      send: (port, core, durationMs) => runH2load({ ...load, port, core, durationMs }),
    },
    {
      ...saturated,
      part: "same",
      label: "same headers, saturated",
      haproxy: { limit: 1.2, want: 0.7 },
      envoy: { limit: 0.4 },
      send: (port, core, durationMs) => runH2load({ ...load, port, core, durationMs }),
    },
    {
      ...saturated,
      part: "unique",
      label: "unique paths, saturated",
      send: (port, core, durationMs) => runH2load({ ...load, port, core, durationMs, hasUniquePaths: true }),
    },
    {
      ...saturated,
      part: "post",
      label: "POST, saturated",
      send: (port, core, durationMs) => runH2load({ ...load, port, core, durationMs, body: BODY }),
    },
    { ...fixed, part: "fixed", label: "5,000/s", send: atRate(5000, CONNECTIONS, STREAMS) },
    { ...fixed, part: "fixed", label: "20,000/s", send: atRate(20_000, CONNECTIONS, STREAMS) },
    {
      ...fixed,
      part: "connections",
      label: "200 connections",
      isFixedRate: false,
      send: (port, core, durationMs) => runH2load({ ...load, port, core, durationMs, connections: 200, streams: 2 }),
    },
  ];
  const rows: BenchRow[] = [];
  for (const trial of trials) {
    if (!hasPart(trial.part)) continue;
    const core = await place(trial.placement, contenders, upstream.program.pid);
    const lap = ({ port }: Contender) => trial.send(port, core, isQuick ? 1000 : 2000);
    const standings = await runContest({
      contenders,
      label: trial.label,
      rounds: isQuick ? 1 : 5,
      ...(isQuick ? {} : { warmUp: lap }),
      lap,
      isFixedRate: trial.isFixedRate === true,
      progress,
    });
    rows.push(
      ...renderCosts(trial.label, standings),
      renderRatio(trial.label, standings, "haproxy", trial.haproxy),
      renderRatio(trial.label, standings, "envoy", trial.envoy),
    );
  }
  rows.push(await vespid.countDroppedLines());
  return { name: "http2", question, rows };
}
