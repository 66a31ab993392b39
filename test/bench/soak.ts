// Does a proxy stay as it is under hours of mixed load: clients that leave, upstreams that reset, configuration that changes?
import { startCannedHttp2 } from "../harness/canned.ts";
import { mkdir } from "node:fs/promises";
import { makeAuthority } from "../harness/authority.ts";
import { startControl } from "../harness/control.ts";
import { startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";
import { openDescriptors, residentBytes } from "./cpu.ts";
import { TEN_HEADERS } from "./load.ts";
import { percentile, type BenchOptions, type BenchResult } from "./result.ts";
import { startSoakUpstream } from "./soak-upstream.ts";
import { startVisitors, type Tally } from "./soak-visitors.ts";

export const question =
  "Does a proxy stay small, leave nothing open and lose nothing under mixed load for a long time?";

const SECONDS = 60;
const QUICK_SECONDS = 12;
const READING_EVERY_MS = 500;
const RELOAD_EVERY_MS = 1000;
/** The first part is no reading: pools fill, code is compiled, the heap finds its size. */
const WARM_UP_SHARE = 0.4;
const GROWTH_MAX_PERCENT = 5;
/** So long after the last visitor left, descriptors may still fall. */
const CALM_MS = 10_000;
/** Kept upstream connections and what answers the reading itself. */
const DESCRIPTORS_LEFT_MAX = 40;

/**
 * Two sidecars. One: HTTP/1.1, WebSocket and CONNECT out of its outbound side, HTTP/2 into its inbound side, and a control
 * service that never rests. The other: plain TCP, and TCP and HTTP under mTLS, into one inbound port.
 */
export async function run({ isQuick, seconds, progress }: BenchOptions): Promise<BenchResult> {
  const durationMs = 1000 * (seconds ?? (isQuick ? QUICK_SECONDS : SECONDS));
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const canned = programs.use(await startCannedHttp2({ kind: "grpc", bodyBytes: 100 }));
  using upstream = startSoakUpstream();
  const control = programs.use(await startControl({ cwd: folder.path }));
  await control.apply(renderService("app", upstream.port));
  const sidecar = programs.use(
    await startProxy({
      service: "soak",
      applicationPort: canned.port,
      hasOutbound: true,
      control: control.url,
      cwd: folder.path,
      accessLog: folder.file("soak.log"),
      env: { VESPID_CONCURRENCY: "1" },
    }),
  );
  const authority = await makeAuthority(folder);
  const own = await authority.issue("app", "URI:spiffe://cluster.local/ns/default/sa/app");
  const caller = await authority.issue("caller", "URI:spiffe://cluster.local/ns/default/sa/caller");
  // State of its own.
  await mkdir(folder.file("mesh"));
  const mesh = programs.use(
    await startProxy({
      service: "mesh",
      applicationPort: upstream.port,
      cwd: folder.file("mesh"),
      accessLog: folder.file("mesh.log"),
      snapshot: () => ({
        identity: {
          certificateChain: own.certificate,
          privateKey: own.privateKey,
          rootCertificates: authority.root,
        },
        inbound: { tls: { mode: "PERMISSIVE" } },
      }),
    }),
  );
  const sidecars = [sidecar, mesh];
  const pids = sidecars.map(({ program }) => program.pid);
  const readAll = (read: (pid: number) => number): number => pids.reduce((sum, pid) => sum + read(pid), 0);
  const descriptorsBefore = readAll(openDescriptors);
  const tally: Tally = { answered: 0, lost: 0, left: 0, refused: 0, firstLost: undefined };
  const visitors = startVisitors(
    {
      outboundPort: sidecar.outboundPort,
      inboundPort: sidecar.inboundPort,
      meshPort: mesh.inboundPort,
      upstreamPort: upstream.port,
      client: {
        cert: await Bun.file(caller.certificate).text(),
        key: await Bun.file(caller.privateKey).text(),
        ca: await Bun.file(authority.root).text(),
      },
      headers: TEN_HEADERS,
    },
    tally,
  );
  const startedAtMs = performance.now();
  const megabytes: number[] = [];
  const descriptors: number[] = [];
  let reloads = 0;
  let nextReloadAtMs = startedAtMs;
  for (let nowMs = startedAtMs; nowMs < startedAtMs + durationMs; nowMs = performance.now()) {
    await Bun.sleep(READING_EVERY_MS);
    for (const { program } of sidecars) program.assertRunning();
    if (nowMs >= nextReloadAtMs) {
      await control.apply(renderService("other", 1 + (reloads++ % 1000)));
      nextReloadAtMs = nowMs + RELOAD_EVERY_MS;
    }
    if (nowMs < startedAtMs + durationMs * WARM_UP_SHARE) continue;
    megabytes.push(readAll(residentBytes) / 1e6);
    descriptors.push(readAll(openDescriptors));
    progress(`${megabytes.at(-1)?.toFixed(1)} MB, ${descriptors.at(-1)} descriptors, ${JSON.stringify(tally)}`);
  }
  await visitors.stop();
  for (const { admin } of sidecars) {
    await until("every connection to be closed", async () => {
      const text = await (await fetch(`${admin}/stats/prometheus`)).text();
      return /^envoy_http_downstream_cx_active\{[^}]*\} [1-9]/mu.test(text) ? undefined : true;
    });
  }
  // Connections to destinations that were named by CONNECT are kept for five seconds.
  const calmUntilMs = performance.now() + CALM_MS;
  while (readAll(openDescriptors) - descriptorsBefore > DESCRIPTORS_LEFT_MAX && performance.now() < calmUntilMs) {
    await Bun.sleep(READING_EVERY_MS);
  }
  const half = Math.floor(megabytes.length / 2);
  const early = percentile(megabytes.slice(0, half), 0.5);
  const late = percentile(megabytes.slice(half), 0.5);
  const note = tally.firstLost === undefined ? {} : { note: `the first: ${tally.firstLost}` };
  return {
    name: "soak",
    question,
    rows: [
      { figure: "exchanges answered", value: tally.answered, unit: "exchanges" },
      { figure: "clients that left, upstreams that reset", value: tally.left + tally.refused, unit: "exchanges" },
      { figure: "configurations", value: reloads, unit: "reloads" },
      { figure: "exchanges lost that had to be kept", value: tally.lost, unit: "exchanges", limit: 0, ...note },
      { figure: "RSS, the earlier half", value: early, unit: "MB" },
      { figure: "growth in the later half", value: (late / early - 1) * 100, unit: "%", limit: GROWTH_MAX_PERCENT },
      { figure: "descriptors, at most", value: percentile(descriptors, 1), unit: "descriptors" },
      {
        figure: "descriptors left over",
        value: readAll(openDescriptors) - descriptorsBefore,
        unit: "descriptors",
        limit: DESCRIPTORS_LEFT_MAX,
        note: "upstream connections that are kept are among them",
      },
    ],
  };
}

function renderService(name: string, port: number): string {
  return JSON.stringify({
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name },
    spec: {
      hosts: [name],
      location: "MESH_INTERNAL",
      resolution: "STATIC",
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      endpoints: [{ address: "127.0.0.1", ports: { http: port } }],
    },
  });
}
