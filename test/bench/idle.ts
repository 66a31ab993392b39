// What do 1,000 idle connections hold in memory?
import { startCannedHttp2 } from "../harness/canned.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";
import { openHttp1 } from "./client-http1.ts";
import { openHttp2 } from "./client-http2.ts";
import { residentBytes } from "./cpu.ts";
import { TEN_HEADERS, type OpenLoopOptions } from "./load.ts";
import type { Client } from "./open-loop.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";
import { startSidecar } from "./sidecar.ts";

export const question = "What do 1,000 idle connections hold in memory?";
export const parts: readonly string[] = ["http1", "h2"];

const CONNECTIONS = 1000;
const LIMIT_MB = { limit: 10, want: 5 };
/** Requests before the first reading: what code and pools take once is no cost of a connection. */
const WARM_UP_REQUESTS = 3000;

/** Each connection has carried one request; then none has any. */
export async function run({ hasPart, isQuick, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  const rows: BenchRow[] = [];
  for (const protocol of ["http1", "h2"] as const) {
    if (!hasPart(protocol)) continue;
    await using programs = new AsyncDisposableStack();
    const upstream = programs.use(
      await (protocol === "h2"
        ? startCannedHttp2({ kind: "plain", bodyBytes: 100 })
        : startNginxUpstream({ folder, body: "x".repeat(100) })),
    );
    const sidecar = programs.use(await startSidecar({ folder, name: protocol, applicationPort: upstream.port }));
    const { pid } = sidecar.program;
    const options = { port: sidecar.inboundPort, protocol, streams: 1, headers: TEN_HEADERS };
    const warm = await openAll(options, 8);
    for (let request = 0; request < WARM_UP_REQUESTS; request += warm.length) await sendEach(warm);
    for (const { client } of warm) client.close();
    await waitForClosed(sidecar.admin);
    const growth: number[] = [];
    for (let round = 1; round <= (isQuick ? 1 : 3); round++) {
      const before = await settledMegabytes(pid);
      const open = await openAll(options, CONNECTIONS);
      for (const one of open) await sendEach([one]);
      growth.push((await settledMegabytes(pid)) - before);
      progress(`${protocol}, round ${round}: ${before.toFixed(1)} MB and ${growth.at(-1)?.toFixed(1)} MB more`);
      for (const { client } of open) client.close();
      await waitForClosed(sidecar.admin);
    }
    rows.push({
      figure: `${protocol}: ${CONNECTIONS.toLocaleString("en-US")} idle connections`,
      // The first round: in later ones the heap has kept room.
      value: growth[0] ?? Number.NaN,
      unit: "MB",
      ...(protocol === "http1" ? LIMIT_MB : {}),
      note: `rounds: ${growth.map((value) => value.toFixed(1)).join(" ")}; ${((median(growth) * 1000) / CONNECTIONS).toFixed(1)} kB each`,
    });
  }
  return { name: "idle", question, rows };
}

/** A client, and how its request in flight ends. */
interface Visitor {
  readonly client: Client;
  settled: PromiseWithResolvers<boolean>;
}

function openAll(
  options: Pick<OpenLoopOptions, "port" | "protocol" | "streams" | "headers">,
  count: number,
): Promise<readonly Visitor[]> {
  const loop: OpenLoopOptions = { ...options, durationMs: 0, connections: 1, perSecond: 0 };
  const open = options.protocol === "h2" ? openHttp2 : openHttp1;
  return Promise.all(
    Array.from({ length: count }, async () => {
      const visitor = { settled: Promise.withResolvers<boolean>() };
      const client = await open(loop, (_lane, isGood) => visitor.settled.resolve(isGood));
      return Object.assign(visitor, { client });
    }),
  );
}

async function sendEach(visitors: readonly Visitor[]): Promise<void> {
  for (const visitor of visitors) {
    visitor.settled = Promise.withResolvers();
    for (const lane of visitor.client.lanes) lane.send();
    visitor.client.flush();
  }
  const answers = await Promise.all(visitors.map(({ settled }) => settled.promise));
  if (answers.includes(false)) throw new Error("a request was not answered");
}

async function waitForClosed(admin: string): Promise<void> {
  await until("the connections to be closed", async () => {
    const text = await (await fetch(`${admin}/stats/prometheus`)).text();
    return text.includes('envoy_http_downstream_cx_active{direction="inbound"} 0') ? true : undefined;
  });
}

const READINGS = 5;
const BETWEEN_READINGS_MS = 300;

/** The least of several readings: the collector runs when it likes. */
async function settledMegabytes(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < READINGS; reading++) {
    await Bun.sleep(BETWEEN_READINGS_MS);
    least = Math.min(least, residentBytes(pid) / 1e6);
  }
  return least;
}
