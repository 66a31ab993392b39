// Filters come, change and go in a running sidecar under load, and no request is lost.
import { expect, setDefaultTimeout, test } from "bun:test";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { runWrk } from "../bench/load.ts";
import { builtPeer } from "../harness/built-peers.ts";
import { startControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { until } from "../harness/until.ts";
import { startProxy } from "../harness/proxy.ts";
import { tamperCode } from "../harness/tamper.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

/** Wasmtime compiles beside the load. */
const COMPILE_MAX_MS = 60_000;

async function buildFilter(folder: TempFolder, name: string, body: string): Promise<Uint8Array> {
  const file = folder.file(`${name}/filter.ts`);
  await Bun.write(
    file,
    `import { defineFilter, reply } from "vespid";
export default defineFilter({
  name: "mark",
  stage: "transform",
  reads: [":path"],
  writes: ["x-mark"],
  ${body}
});
export { reply };
`,
  );
  const built = await buildFilterFile(file);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  return built.value.artifact;
}

function renderUse(bundle: string, more: object = {}): string {
  const spec = { bundle, selector: { services: ["app"] }, ...more };
  return JSON.stringify({ apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name: "mark" }, spec });
}

const setMark = (value: string) => `response(response) { response.headers.set("x-mark", "${value}"); },`;

test.each([
  ["jsc", []],
  ["wasmtime", ["--libwasmtime", builtPeer("libwasmtime.so")]],
])("pushing, replacing and deleting a filter under load loses no request, on %s", async (engine, flags) => {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "hello" });
  await using control = await startControl({ cwd: folder.path });
  await using proxy = await startProxy({
    service: "app",
    applicationPort: upstream.port,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file("access.log"),
    flags: ["--wasm-engine", engine, ...flags],
  });
  const dump: unknown = await (await fetch(`${proxy.admin}/config_dump`)).json();
  expect(dump).toMatchObject({ wasmEngine: engine });
  const one = await control.push(await buildFilter(folder, "one", setMark("one")));
  const two = await control.push(await buildFilter(folder, "two", setMark("two")));
  const address = `http://127.0.0.1:${proxy.inboundPort}/`;
  const mark = async () => (await fetch(address)).headers.get("x-mark");
  const load = runWrk({ port: proxy.inboundPort, durationMs: 8000, connections: 16, headers: {}, folder });
  expect(await mark()).toBeNull();
  for (const [bundle, expected] of [
    [one, "one"],
    [two, "two"],
    [one, "one"],
  ] as const) {
    await control.rollOut(() => control.apply(renderUse(bundle)), COMPILE_MAX_MS);
    expect(await mark()).toBe(expected);
  }
  await control.rollOut(async () => {
    expect((await control.request("DELETE", "/v1/resources/Filter/default/mark")).status).toBe(200);
  });
  expect(await mark()).toBeNull();
  const report = await load;
  expect(report.requests).toBeGreaterThan(500);
  expect(report.failed).toBe(0);
  // Lines reach the file a moment later. What the filter took stands behind Istio's own fields.
  const tail = await until("a line that tells what the filter took", async () => {
    const lines = await Bun.file(folder.file("access.log")).text();
    return /"GET \/ HTTP\/1\.1" 200 .* default \{"filters":(\{.*\})\}$/mu.exec(lines)?.[1];
  });
  expect(JSON.parse(tail)).toEqual({ "default/mark": { us: expect.any(Number), fuel: expect.any(Number) } });
});

test("a filter that never ends costs its request, 503 when closed, skipped when open, and the proxy goes on", async () => {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "hello" });
  await using control = await startControl({ cwd: folder.path });
  await using proxy = await startProxy({
    service: "app",
    applicationPort: upstream.port,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file("access.log"),
  });
  const artifact = await buildFilter(
    folder,
    "endless",
    `request(request) { while (request.path === "/loop") {} if (request.path === "/throw") throw new Error("no"); },`,
  );
  const bundle = await control.push(artifact);
  const statusOf = async (path: string) => (await fetch(`http://127.0.0.1:${proxy.inboundPort}${path}`)).status;
  await control.rollOut(() => control.apply(renderUse(bundle)));
  expect([await statusOf("/"), await statusOf("/throw"), await statusOf("/loop"), await statusOf("/")]).toEqual([
    200, 503, 503, 200,
  ]);
  await proxy.program.printed(/"reason":"filter default\/mark: filter\.ts:7:\d+: Error: no"/u);
  await control.rollOut(() => control.apply(renderUse(bundle, { failurePolicy: "open" })));
  expect([await statusOf("/"), await statusOf("/loop"), await statusOf("/throw"), await statusOf("/")]).toEqual([
    200, 200, 200, 200,
  ]);
});

test("a snapshot that a proxy refuses changes nothing, and control says why", async () => {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "hello" });
  await using control = await startControl({ cwd: folder.path });
  await using proxy = await startProxy({
    service: "app",
    applicationPort: upstream.port,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file("access.log"),
  });
  const artifact = await buildFilter(folder, "good", setMark("good"));
  // One byte of code changed: neither the artifact nor anything made of it may reach a proxy.
  const tampered = tamperCode(artifact);
  const truncated = artifact.slice(0, artifact.length >> 1);
  for (const bad of [tampered, truncated, new TextEncoder().encode("no component")]) {
    const reply = await control.request("POST", "/v1/bundles", new Uint8Array(bad), "application/wasm");
    expect(reply.status).toBe(422);
    expect(reply.headers.get("content-type")).toStartWith("application/problem+json");
  }
  const missing = renderUse(`sha256:${"0".repeat(64)}`);
  expect((await control.request("POST", "/v1/apply", missing)).status).toBe(422);
  const bundle = await control.push(artifact);
  expect((await control.request("POST", "/v1/apply", renderUse(bundle, { config: { unknown: 1 } }))).status).toBe(422);
  expect((await fetch(`http://127.0.0.1:${proxy.inboundPort}/`)).headers.has("x-mark")).toBe(false);
  await control.rollOut(() => control.apply(renderUse(bundle)));
  expect((await fetch(`http://127.0.0.1:${proxy.inboundPort}/`)).headers.get("x-mark")).toBe("good");
});
