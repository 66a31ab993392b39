// What does a unary gRPC call with messages of 100 bytes cost in the proxy, beside Envoy?
import { startCannedHttp2 } from "../harness/canned.ts";
import { startEnvoy } from "../harness/envoy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderCosts, renderRatio, runContest, type Contender } from "./contest.ts";
import { runH2load } from "./load.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question = "What does a unary gRPC call with messages of 100 bytes cost in the proxy, beside Envoy?";
export const parts: readonly string[] = ["own-core", "saturated"];

const MESSAGE_BYTES = 100;
const ENVOY = { limit: 0.6, want: 0.4 };
const HEADERS = { "content-type": "application/grpc", te: "trailers", "grpc-timeout": "5S" };

/** Request and reply are one message each; the reply ends in trailers. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const upstream = programs.use(await startCannedHttp2({ kind: "grpc", bodyBytes: MESSAGE_BYTES }));
  const vespid = programs.use(await startSidecar({ folder, applicationPort: upstream.port }));
  const envoy = programs.use(
    await startEnvoy({ folder, upstreamPort: upstream.port, downstream: "h2", upstream: "h2" }),
  );
  const contenders = [contenderOf(vespid), contenderOfPeer(envoy)];
  const body = Buffer.alloc(5 + MESSAGE_BYTES);
  body.writeUInt32BE(MESSAGE_BYTES, 1);
  const load = { folder, headers: HEADERS, connections: 4, streams: 32, path: "/bench.Echo/Unary", body };
  const rows: BenchRow[] = [];
  for (const [part, placement] of [
    ["own-core", "apart"],
    ["saturated", "together"],
  ] as const) {
    if (!hasPart(part)) continue;
    const core = await place(placement, contenders, upstream.program.pid);
    const lap = ({ port }: Contender) => runH2load({ ...load, port, core, durationMs: isQuick ? 1000 : 3000 });
    const standings = await runContest({
      contenders,
      label: part,
      rounds: isQuick ? 1 : 5,
      warmUp: lap,
      lap,
      progress,
    });
    rows.push(...renderCosts(part, standings, "µs/call"), renderRatio(part, standings, "envoy", ENVOY));
  }
  return { name: "grpc", question, rows };
}
