// What does a byte cost that is passed on unread, beside HAProxy?
import { startCannedHttp1 } from "../harness/canned.ts";
import { startHaproxy, startNginxUpstream } from "../harness/peers.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderCosts, renderRatio, runContest, type Contender } from "./contest.ts";
import { runWrk } from "./load.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";
import { contenderOf, startSidecar } from "./sidecar.ts";

export const question = "What does a byte cost that is passed on unread, beside HAProxy?";
export const parts: readonly string[] = ["down", "up"];

const DOWN_BYTES = 64 * 1024;
const UP_BYTES = 1024 * 1024;
const MEGABYTE = 1_000_000;
const HAPROXY = { limit: 1.3, want: 1.1 };

const snapshot = ({ inboundPort }: { inboundPort: number }) => ({
  inbound: { ports: [{ port: inboundPort, protocol: "tcp" }] },
});

/** Both directions: what passes is HTTP, which neither of them looks at. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  await Bun.write(folder.file("files/reply"), "x".repeat(DOWN_BYTES));
  const locations = `location /reply { root ${folder.file("files")}; }`;
  const down = programs.use(await startNginxUpstream({ folder, body: "", locations }));
  const up = programs.use(await startCannedHttp1());
  const rows: BenchRow[] = [];
  for (const { part, upstream, bytes, ...shape } of [
    { part: "down", upstream: down, bytes: DOWN_BYTES, connections: 32, path: "/reply" },
    { part: "up", upstream: up, bytes: UP_BYTES, connections: 8, path: "/", bodyBytes: UP_BYTES },
  ]) {
    if (!hasPart(part)) continue;
    const vespid = programs.use(await startSidecar({ folder, name: part, applicationPort: upstream.port, snapshot }));
    const haproxy = programs.use(await startHaproxy({ folder, kind: "tcp", upstreamPort: upstream.port }));
    const contenders = [contenderOf(vespid), contenderOfPeer(haproxy)];
    const core = await place("apart", contenders, upstream.program.pid);
    const lap = ({ port }: Contender) =>
      runWrk({ folder, headers: {}, durationMs: isQuick ? 1000 : 3000, ...shape, port, core });
    const standings = await runContest({
      contenders,
      label: part,
      rounds: isQuick ? 1 : 5,
      warmUp: lap,
      lap,
      unitsPerRequest: bytes / MEGABYTE,
      progress,
    });
    rows.push(...renderCosts(part, standings, "µs/MB"), renderRatio(part, standings, "haproxy", HAPROXY));
  }
  return { name: "tcp", question, rows };
}
