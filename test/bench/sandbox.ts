// What does a sandboxed check add to a request, beside the same check as a proxy-wasm filter in Envoy?
import { join } from "node:path";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { builtPeer } from "../harness/built-peers.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startEnvoy } from "../harness/envoy.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { stampForEnvoy } from "../harness/proxy-wasm.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { contenderOfPeer, place, renderCosts, runContest, type Contender, type Standings } from "./contest.ts";
import { runWrk, TEN_HEADERS } from "./load.ts";
import { median, type BenchOptions, type BenchResult } from "./result.ts";

export const question = "What does a sandboxed check add to a request, beside a proxy-wasm filter in Envoy?";

const FILTER = join(import.meta.dir, "../fixtures/stamp/filter.ts");
const HEADERS = { ...TEN_HEADERS, "x-user": "ada", "x-tenant": "books" };
const ADDED_MAX_RATIO = 0.5;

/** Everything on one core, so that work has always piled up: the same proxy without the check and with it. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const upstream = programs.use(await startNginxUpstream({ folder, body: "x".repeat(100) }));
  progress("building both filters");
  const control = programs.use(await startControl({ cwd: folder.path }));
  const built = await buildFilterFile(FILTER);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const bundle = await control.push(built.value.artifact);
  const wasm = { path: await stampForEnvoy(), root: "stamp" };

  const contenders: Contender[] = [];
  for (const [name, engine] of [
    ["vespid", "jsc"],
    ["vespid jsc", "jsc"],
    ["vespid wasmtime", "wasmtime"],
  ] as const) {
    const service = name.replace(" ", "-");
    const proxy = programs.use(await startSidecar({ service, engine, port: upstream.port, control, folder }));
    if (name !== "vespid") await useFilter(control, service, bundle);
    contenders.push({ name, port: proxy.inboundPort, pids: [proxy.program.pid] });
  }
  const options = { folder, upstreamPort: upstream.port };
  for (const peer of [
    await startEnvoy({ ...options, name: "envoy" }),
    await startEnvoy({ ...options, name: "envoy wasm", wasm }),
  ]) {
    contenders.push(contenderOfPeer(programs.use(peer)));
  }

  const core = await place("together", contenders, upstream.program.pid);
  const lap = ({ port }: Contender) =>
    runWrk({ folder, headers: HEADERS, port, core, connections: 32, durationMs: isQuick ? 1000 : 3000 });
  const standings = await runContest({
    contenders,
    label: "saturated",
    rounds: isQuick ? 2 : 7,
    warmUp: lap,
    lap,
    progress,
  });
  const byEnvoy = added(standings, "envoy wasm", "envoy");
  const rows = ["jsc", "wasmtime"].flatMap((engine) => {
    const own = added(standings, `vespid ${engine}`, "vespid");
    return [
      { figure: `added by the check, ${engine}`, value: own, unit: "µs" },
      { figure: `added, ${engine} ÷ Envoy's`, value: own / byEnvoy, unit: "×", limit: ADDED_MAX_RATIO },
    ];
  });
  return {
    name: "sandbox",
    question,
    rows: [
      ...renderCosts("saturated", standings),
      ...rows,
      { figure: "added by the check, Envoy", value: byEnvoy, unit: "µs" },
    ],
  };
}

/** CPU that the check adds to a request: the median over rounds of what both cost in the same round. */
function added(standings: Standings, withCheck: string, without: string): number {
  const base = standings.get(without)?.cpuUs ?? [];
  return median((standings.get(withCheck)?.cpuUs ?? []).map((cpuUs, round) => cpuUs - (base[round] ?? Number.NaN)));
}

interface SidecarInit {
  readonly service: string;
  readonly engine: "jsc" | "wasmtime";
  readonly port: number;
  readonly control: RunningControl;
  readonly folder: TempFolder;
}

function startSidecar({ service, engine, port, control, folder }: SidecarInit): Promise<RunningProxy> {
  return startProxy({
    service,
    applicationPort: port,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file(`${service}-access.log`),
    env: { VESPID_CONCURRENCY: "1", VESPID_WASM_ENGINE: engine, VESPID_LIBWASMTIME: builtPeer("libwasmtime.so") },
    flags: ["--state", folder.file(`${service}-state`)],
  });
}

async function useFilter(control: RunningControl, service: string, bundle: string): Promise<void> {
  const spec = { bundle, selector: { services: [service] } };
  const document = { apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name: `stamp-${service}` }, spec };
  await control.rollOut(() => control.apply(JSON.stringify(document)));
}
