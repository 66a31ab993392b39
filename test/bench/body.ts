// What does a byte cost in the proxy, in 64 KB replies and in 1 MB uploads, beside nginx?
import { startCannedHttp1 } from "../harness/canned.ts";
import { startNginxProxy, startNginxUpstream } from "../harness/peers.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderCosts, renderRatio, runContest, type Contender } from "./contest.ts";
import { runWrk } from "./load.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question = "What does a byte cost in the proxy, in 64 KB replies and in 1 MB uploads, beside nginx?";
export const parts: readonly string[] = ["reply", "upload"];

const REPLY_BYTES = 64 * 1024;
const UPLOAD_BYTES = 1024 * 1024;
const MEGABYTE = 1_000_000;
const NGINX = { limit: 1.3, want: 1.1 };

/** Both directions, over HTTP/1.1, the proxies on a core of their own. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  await Bun.write(folder.file("files/reply"), "x".repeat(REPLY_BYTES));
  const replies = await startNginxUpstream({
    folder,
    body: "",
    locations: `location /reply { root ${folder.file("files")}; }`,
  });
  const uploads = await startCannedHttp1();
  const load = { folder, headers: {}, durationMs: isQuick ? 1000 : 3000 };
  const rows: BenchRow[] = [];
  for (const trial of [
    { part: "reply", upstream: replies, connections: 32, path: "/reply", bytes: REPLY_BYTES },
    { part: "upload", upstream: uploads, connections: 8, path: "/", bytes: UPLOAD_BYTES, bodyBytes: UPLOAD_BYTES },
  ]) {
    const { part, bytes, upstream, ...shape } = trial;
    programs.use(upstream);
    if (!hasPart(part)) continue;
    const vespid = programs.use(await startSidecar({ folder, name: part, applicationPort: upstream.port }));
    const nginx = programs.use(await startNginxProxy({ folder, upstreamPort: upstream.port }));
    const contenders = [contenderOf(vespid), contenderOfPeer(nginx)];
    const core = await place("apart", contenders, upstream.program.pid);
    const lap = ({ port }: Contender) => runWrk({ ...load, ...shape, core, port });
    const standings = await runContest({
      contenders,
      label: part,
      rounds: isQuick ? 1 : 7,
      warmUp: lap,
      lap,
      unitsPerRequest: bytes / MEGABYTE,
      progress,
    });
    rows.push(...renderCosts(part, standings, "µs/MB"), renderRatio(part, standings, "nginx", NGINX));
  }
  return { name: "body", question, rows };
}
