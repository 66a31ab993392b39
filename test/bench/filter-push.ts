// How long is it from the push of a filter's next version until ten proxies serve requests with it?
import { mkdir } from "node:fs/promises";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { median, type BenchOptions, type BenchResult } from "./result.ts";

export const question = "How long is it from a filter's push until ten proxies run it?";

const PROXIES = 10;
const LIVE_MAX_MS = 500;
const SETTLE_MS = 1500;
const GIVE_UP_MS = 30_000;
const ADDRESS = "/v1/resources/Filter/default/mark";

/** Each round swaps two bundles that control has; the first puts each into every proxy's cache, and is not counted. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "hello" });
  await using control = await startControl({ cwd: folder.path });
  const bundles = [await build(folder, control, "one"), await build(folder, control, "two")] as const;
  await using proxies = new AsyncDisposableStack();
  const running: RunningProxy[] = [];
  for (let index = 0; index < PROXIES; index++) {
    const cwd = folder.file(`proxy-${index}`);
    await mkdir(cwd);
    const options = { service: "app", applicationPort: upstream.port, control: control.url, cwd, accessLog: "off" };
    running.push(proxies.use(await startProxy(options)));
  }
  const coldMs: number[] = [];
  const warmMs: number[] = [];
  const rounds = isQuick ? 6 : 22;
  for (let round = 0; round < rounds; round++) {
    const [version, bundle] = round % 2 === 0 ? (["one", bundles[0]] as const) : (["two", bundles[1]] as const);
    // What a push leaves behind is collected before the next: a mesh is not pushed to twice a second.
    await Bun.sleep(SETTLE_MS);
    const tookMs = await timePush(control, running, version, bundle);
    (round < 2 ? coldMs : warmMs).push(tookMs);
    progress(`push ${round + 1}: live on ${PROXIES} proxies after ${tookMs.toFixed(0)} ms`);
  }
  const worst = Math.max(...warmMs);
  return {
    name: "filter-push",
    question,
    rows: [
      {
        figure: `push to live on ${PROXIES} proxies`,
        value: median(warmMs),
        unit: "ms",
        limit: LIVE_MAX_MS,
        note: `PUT of the Filter to the last proxy's first reply by it; worst ${worst.toFixed(0)} ms`,
      },
      {
        figure: "the same, where proxies fetch the bundle first",
        value: Math.max(...coldMs),
        unit: "ms",
        note: "the worse of two; from then on they have it",
      },
    ],
  };
}

async function build(folder: TempFolder, control: RunningControl, version: string): Promise<string> {
  const file = folder.file(`${version}/filter.ts`);
  await Bun.write(
    file,
    `import { defineFilter } from "vespid";
export default defineFilter({ name: "mark", stage: "transform", reads: [":path"], writes: ["x-version"],
  response(response) { response.headers.set("x-version", "${version}"); } });
`,
  );
  const built = await buildFilterFile(file);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  return control.push(built.value.artifact);
}

async function timePush(
  control: RunningControl,
  proxies: readonly RunningProxy[],
  version: string,
  bundle: string,
): Promise<number> {
  const startedMs = performance.now();
  const resource = {
    apiVersion: "vespid.dev/v1",
    kind: "Filter",
    metadata: { name: "mark" },
    spec: { bundle, selector: { services: ["app"] } },
  };
  const reply = await control.request("PUT", ADDRESS, JSON.stringify(resource), "application/json");
  if (!reply.ok) throw new Error(`control answered ${reply.status}: ${await reply.text()}`);
  const live = await Promise.all(proxies.map((proxy) => serves(proxy, version, startedMs)));
  return Math.max(...live) - startedMs;
}

/** When the proxy first answered by that version. */
async function serves({ inboundPort }: RunningProxy, version: string, startedMs: number): Promise<number> {
  for (;;) {
    const reply = await fetch(`http://127.0.0.1:${inboundPort}/`);
    await reply.arrayBuffer();
    const nowMs = performance.now();
    if (reply.headers.get("x-version") === version) return nowMs;
    if (nowMs - startedMs > GIVE_UP_MS) throw new Error(`a proxy did not serve version ${version} in ${GIVE_UP_MS} ms`);
    // Asking without a pause would take the time from who is to apply it.
    await Bun.sleep(5);
  }
}
