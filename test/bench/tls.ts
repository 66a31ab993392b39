// What does ending TLS cost: a request over TLS in and plain out, and a handshake, beside nginx?
import { makeCertificates } from "../harness/certificates.ts";
import { startNginxProxy, startNginxUpstream } from "../harness/peers.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderCosts, renderRatio, runContest, type Contender } from "./contest.ts";
import { runWrk, TEN_HEADERS } from "./load.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question =
  "What does ending TLS cost: a request over TLS in and plain out, and a handshake, beside nginx?";
export const parts: readonly string[] = ["own-core", "saturated", "handshake"];

const REPLY_BODY = "x".repeat(100);
const NGINX = { limit: 1.4, want: 1.15 };

/** Keep-alive requests with ten headers in two regimes, then connections of one request each, as information. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const { server } = await makeCertificates(folder);
  const upstream = programs.use(await startNginxUpstream({ folder, body: REPLY_BODY }));
  const certificates = [{ serverCertificate: server.certificate, privateKey: server.key }];
  const vespid = programs.use(
    await startSidecar({
      folder,
      applicationPort: upstream.port,
      snapshot: () => ({ inbound: { tls: { mode: "SIMPLE", certificates } } }),
    }),
  );
  const nginx = programs.use(await startNginxProxy({ folder, upstreamPort: upstream.port, tls: server }));
  const contenders = [contenderOf(vespid), contenderOfPeer(nginx)];
  const load = { folder, isTls: true, connections: 32, durationMs: isQuick ? 1000 : 2000 };
  const rows: BenchRow[] = [];
  for (const { part, placement, headers, bounds } of [
    { part: "own-core", placement: "apart", headers: TEN_HEADERS, bounds: NGINX },
    { part: "saturated", placement: "together", headers: TEN_HEADERS, bounds: NGINX },
    { part: "handshake", placement: "apart", headers: { Connection: "close" }, bounds: {} },
  ] as const) {
    if (!hasPart(part)) continue;
    const core = await place(placement, contenders, upstream.program.pid);
    const lap = ({ port }: Contender) => runWrk({ ...load, port, core, headers });
    const standings = await runContest({
      contenders,
      label: part,
      rounds: isQuick ? 1 : 5,
      warmUp: lap,
      lap,
      progress,
    });
    rows.push(...renderCosts(part, standings, part === "handshake" ? "µs/connection" : "µs/request"));
    rows.push(renderRatio(part, standings, "nginx", bounds));
  }
  return { name: "tls", question, rows };
}
