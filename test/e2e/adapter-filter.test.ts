// An adapter of one's own, from its file to requests: pushed to control, named by a rule, run by a real sidecar's sandbox.
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { z } from "zod";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { builtPeer } from "../harness/built-peers.ts";
import { makeAuthorFolder, runFilterCommand } from "../harness/filter-cli.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { ROOT, startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";
import { runVespid } from "../harness/vespid.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

/** Wasmtime compiles beside what else runs. */
const COMPILE_MAX_MS = 60_000;

let artifact: Uint8Array;
let stack: AsyncDisposableStack;
let folder: TempFolder;
let control: RunningControl;
let bundle: string;
/** Who is asked and told: a real receiver, behind a ServiceEntry. */
let keeper: ReturnType<typeof Bun.serve>;
const told: unknown[] = [];
let keeperStatus = 200;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await makeTempFolder());
  keeper = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const body = await request.text();
      if (new URL(request.url).pathname === "/may") return new Response("", { status: body === "ada" ? 200 : 403 });
      if (keeperStatus === 200) told.push(...z.array(z.unknown()).parse(JSON.parse(body)));
      return new Response("", { status: keeperStatus });
    },
  });
  stack.defer(() => keeper.stop(true));
  control = stack.use(await startControl({ cwd: folder.path }));
  const built = await buildFilterFile(join(ROOT, "test/fixtures/doorman/filter.ts"));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  ({ artifact } = built.value);
  bundle = await control.push(artifact);
});
afterAll(() => stack.disposeAsync());

const VESPID = { apiVersion: "vespid.dev/v1" };

const keeperEntry = () => ({
  apiVersion: "networking.istio.io/v1",
  kind: "ServiceEntry",
  metadata: { name: "keeper" },
  spec: {
    hosts: ["keeper"],
    resolution: "STATIC",
    ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: keeper.port }],
    endpoints: [{ address: "127.0.0.1" }],
  },
});

function adapter(name: string, backend: object = {}, more: object = {}) {
  const upstreams = { keeper: { host: "keeper" } };
  return {
    ...VESPID,
    kind: "Adapter",
    metadata: { name },
    spec: { backend: { kind: "filter", bundle, upstreams, limits: { fuel: 2_000_000 }, ...backend }, ...more },
  };
}

function rule(name: string, action: object, match = `request.path.startsWith("/${name}")`) {
  return { ...VESPID, kind: "Rule", metadata: { name }, spec: { match, actions: [action] } };
}

const WHAT = { do: `request.headers["x-do"] | "nothing asked"`, user: `request.headers["x-user"]` };

const asked = () => [
  adapter("door"),
  adapter("lenient", {}, { failurePolicy: "open" }),
  rule("door", { adapter: "door", phase: "check", attributes: WHAT }),
  rule("lenient", { adapter: "lenient", phase: "check", attributes: WHAT }),
  rule("calls", { adapter: "door", phase: "quota", value: 10, attributes: WHAT }),
  rule("best", { adapter: "door", phase: "quota", value: 10, bestEffort: true, attributes: WHAT }),
];

const telling = () => [
  adapter("teller", { batch: { entriesMax: 3, ageMs: "50ms" } }),
  rule("told", {
    adapter: "teller",
    phase: "report",
    name: "orders",
    value: "request.path",
    attributes: { user: WHAT.user, size: "response.code" },
  }),
];

function render(documents: readonly object[]): string {
  return documents.map((document) => JSON.stringify(document)).join("\n---\n");
}

describe.each([
  ["jsc", []],
  ["wasmtime", ["--libwasmtime", builtPeer("libwasmtime.so")]],
] as const)("on %s", (engine, flags) => {
  let proxy: RunningProxy;
  let accessLog: string;
  let own: AsyncDisposableStack;

  beforeAll(async () => {
    own = new AsyncDisposableStack();
    const home = own.use(await makeTempFolder());
    accessLog = home.file("access.log");
    const upstream = own.use(await startNginxUpstream({ folder: home, body: "hello" }));
    proxy = own.use(
      await startProxy({
        service: "shop",
        applicationPort: upstream.port,
        control: control.url,
        cwd: home.path,
        accessLog,
        flags: ["--wasm-engine", engine, ...flags],
      }),
    );
    await control.apply(render([keeperEntry(), ...asked(), ...telling()]));
    await until(
      "the rules to hold",
      async () => ((await ask("/door", "refuse")).status === 401 ? true : undefined),
      COMPILE_MAX_MS,
    );
  });
  afterAll(() => own.disposeAsync());
  beforeEach(() => {
    told.length = 0;
    keeperStatus = 200;
  });

  function ask(path: string, what: string, user = "ada"): Promise<Response> {
    return fetch(`http://127.0.0.1:${proxy.inboundPort}${path}`, {
      headers: { "x-do": what, "x-user": user },
      redirect: "manual",
    });
  }

  async function metric(name: string, part: string): Promise<number> {
    const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
    const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(part));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  test("a check allows, refuses in its own words, and asks a service of the mesh", async () => {
    const refused = await ask("/door", "refuse");
    expect([refused.status, await refused.text(), refused.headers.get("www-authenticate")]).toEqual([
      401,
      "who are you? ☕",
      "Bearer",
    ]);
    expect((await ask("/door", "redirect")).headers.get("location")).toBe("/login");
    expect((await ask("/door", "nothing asked")).status).toBe(200);
    expect([(await ask("/door", "ask")).status, (await ask("/door", "ask", "eve")).status]).toEqual([200, 403]);
    expect(await metric("vespid_adapter_fuel_total", `adapter="default/door",phase="check"`)).toBeGreaterThan(0);
    expect(await metric("doorman_asked_total", `filter="adapter/default/door",phase="check"`)).toBeGreaterThan(4);
  });

  test("what rules took stands in the access log, beside what filters took", async () => {
    const mark = `/door/${engine}`;
    expect((await ask(mark, "nothing asked")).status).toBe(200);
    const line = await until("its line", async () =>
      (await Bun.file(accessLog).text()).split("\n").find((each) => each.includes(mark)),
    );
    expect(line).toMatch(/\{"filters":\{"adapters":\{"us":\d+,"fuel":[1-9]\d*\}\}\}$/u);
  });

  test("an answer is kept for what the adapter reads, for as many uses as it says", async () => {
    const labels = `adapter="default/door",phase="check"`;
    const before = await metric("vespid_adapter_cache_hits_total", labels);
    for (let use = 0; use < 4; use++) expect((await ask("/door", "keep", `user-${engine}`)).status).toBe(200);
    expect((await metric("vespid_adapter_cache_hits_total", labels)) - before).toBe(2);
  });

  test("a quota charges the amount, or with best effort a part of it", async () => {
    expect((await ask("/calls", "all")).status).toBe(200);
    expect((await ask("/calls", "half")).status).toBe(429);
    expect((await ask("/best", "half")).status).toBe(200);
    const refused = await ask("/calls", "refuse");
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "7"]);
  });

  test("an adapter that loops or throws costs its request, 503 when closed, and nothing when open", async () => {
    expect((await ask("/door", "throw")).status).toBe(503);
    await proxy.program.printed(
      /"adapter":"default\/door","phase":"check","reason":"filter\.ts:\d+:\d+: Error: boom"/u,
    );
    expect([(await ask("/door", "loop")).status, (await ask("/door", "nothing asked")).status]).toEqual([503, 200]);
    expect([(await ask("/lenient", "loop")).status, (await ask("/lenient", "throw")).status]).toEqual([200, 200]);
    const { status } = await ask("/lenient", "refuse");
    expect(status).toBe(401);
  });

  test("reports reach a real receiver in batches, those that it did not take again", async () => {
    keeperStatus = 503;
    for (const path of ["/told/1", "/told/2", "/told/3"]) expect((await ask(path, "tell")).status).toBe(200);
    await until("the receiver to have refused them", async () =>
      (await metric("vespid_adapter_send_failures_total", "teller")) > 0 ? true : undefined,
    );
    keeperStatus = 200;
    await until("all to be told", () => (told.length >= 3 ? true : undefined));
    expect(told).toEqual(
      ["/told/1", "/told/2", "/told/3"].map((value) => ({
        name: "orders",
        value,
        attributes: { user: "ada", size: 200 },
      })),
    );
    expect(await metric("vespid_adapter_reports_sent_total", "teller")).toBe(3);
  });
});

test("two workers charge one quota", async () => {
  await using home = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder: home, body: "hello" });
  await using proxy = await startProxy({
    service: "till",
    applicationPort: upstream.port,
    control: control.url,
    cwd: home.path,
    accessLog: "off",
    concurrency: 2,
  });
  const built = await buildFilterFile(join(ROOT, "sdk/templates/adapter.ts"));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const template = await control.push(built.value.artifact);
  const upstreams = { policy: { host: "keeper" }, ledger: { host: "keeper" } };
  const spec = { selector: { services: ["till"] }, actions: [{ adapter: "till", phase: "quota" }] };
  await control.apply(
    render([
      keeperEntry(),
      adapter("till", { bundle: template, upstreams, limits: {}, config: { limit: 5, window: "24h" } }),
      { ...VESPID, kind: "Rule", metadata: { name: "till" }, spec },
    ]),
  );
  // Each on a connection of its own, so that both workers are met; before the rule holds nothing is charged.
  const ask = async (): Promise<number> =>
    (await fetch(`http://127.0.0.1:${proxy.inboundPort}/`, { headers: { connection: "close" } })).status;
  const charged = async (outcome: string): Promise<number> => {
    const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
    const of = (line: string) => line.includes(`adapter="default/till"`) && line.includes(`outcome="${outcome}"`);
    const lines = text.split("\n").filter((line) => line.startsWith("vespid_adapter_dispatches_total{") && of(line));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  };
  await until("the limit to be reached", async () => ((await ask()) === 429 ? true : undefined), COMPILE_MAX_MS);
  const statuses = await Promise.all(Array.from({ length: 20 }, ask));
  expect(new Set(statuses)).toEqual(new Set([429]));
  expect([await charged("allowed"), await charged("refused")]).toEqual([5, 21]);
});

const deskWith = (greeting: string) => [
  keeperEntry(),
  adapter("desk", { config: { greeting }, batch: { entriesMax: 10_000, ageMs: "1h" } }),
  {
    ...VESPID,
    kind: "Rule",
    metadata: { name: "desk" },
    spec: {
      selector: { services: ["desk"] },
      actions: [
        { adapter: "desk", phase: "check", attributes: WHAT },
        { adapter: "desk", phase: "report", name: "desk" },
      ],
    },
  },
];

test("an adapter changes under load, and a proxy that ends tells what it has gathered", async () => {
  await using home = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder: home, body: "hello" });
  await using proxy = await startProxy({
    service: "desk",
    applicationPort: upstream.port,
    control: control.url,
    cwd: home.path,
    accessLog: "off",
  });
  told.length = 0;
  const ask = (what: string) =>
    fetch(`http://127.0.0.1:${proxy.inboundPort}/`, { headers: { "x-do": what, connection: "close" } });
  const greetingOf = async (): Promise<unknown> => {
    const seen = await ask("see");
    return seen.status === 403 ? z.object({ greeting: z.string() }).parse(await seen.json()).greeting : undefined;
  };
  const failed: number[] = [];
  const over = new AbortController();
  const load = (async () => {
    while (!over.signal.aborted) {
      const { status } = await ask("nothing asked");
      if (status !== 200) failed.push(status);
    }
  })();
  for (const greeting of ["first", "second", "third"]) {
    await control.apply(render(deskWith(greeting)));
    await until(`it to greet with ${greeting}`, async () => ((await greetingOf()) === greeting ? true : undefined));
  }
  over.abort();
  await load;
  expect(failed).toEqual([]);
  // Those that were replaced told what they had; the last tells it when the proxy ends.
  const before = await until("those to be told", () => (told.length > 0 ? told.length : undefined));
  expect((await ask("nothing asked")).status).toBe(200);
  await proxy.program.stop();
  expect(told.length).toBeGreaterThan(before);
  expect(told.at(-1)).toMatchObject({ name: "desk" });
});

test("what filter push prints of an adapter is what control takes", async () => {
  await using author = await makeAuthorFolder();
  await runFilterCommand(author, ["new", "mine", "--template", "adapter"]);
  const args = ["push", "mine", "--no-check", "--control", control.url, "--token", control.token];
  const { status, output } = await runFilterCommand(author, args);
  expect(status, output).toBe(0);
  const [, document = ""] = /use it in an Adapter, which a Rule names:\n((?: {2}.*\n)+)/u.exec(output) ?? [];
  await control.apply(document.replaceAll(/^ {2}/gmu, ""));
  const stored = await control.request("GET", "/v1/resources/Adapter/default/mine");
  expect(await stored.json()).toMatchObject({
    spec: { backend: { kind: "filter", upstreams: { policy: { host: "policy" }, ledger: { host: "ledger" } } } },
  });
});

describe("control refuses", () => {
  test.each([
    [
      "a bundle that is not there",
      () => [adapter("lost", { bundle: `sha256:${"0".repeat(64)}` })],
      /spec\.backend\.bundle: sha256:0{64} was not pushed here; run "vespid filter push" first/u,
    ],
    [
      "a configuration that is not its own",
      () => [adapter("lost", { config: { greeting: 1 } })],
      /spec\.backend\.config\.greeting/u,
    ],
    [
      "an upstream that it needs and one that it does not call",
      () => [adapter("lost", { upstreams: { other: { host: "keeper" } } })],
      /spec\.backend\.upstreams\.keeper: is required.*spec\.backend\.upstreams\.other: is not an upstream of this adapter; the adapter calls keeper/su,
    ],
    [
      "an action that does not say what it is for",
      () => [adapter("door"), rule("lost", { adapter: "door" })],
      /spec\.actions\[0\]\.phase: is required: door is for check and quota and report, name one of them/u,
    ],
    [
      "an attribute that it does not read, and one of another type",
      () => [
        adapter("door"),
        rule("lost", { adapter: "door", phase: "check", attributes: { usr: "source.ip", size: "request.path" } }),
      ],
      /attributes\["usr"\]: is not read by door; it reads do, user, size, admin, fields.*attributes\["size"\]: is of type string, must be int or double or duration/su,
    ],
    [
      "an amount that is none",
      () => [adapter("door"), rule("lost", { adapter: "door", phase: "quota", value: "request.path" })],
      /spec\.actions\[0\]\.value: is of type string, must be int/u,
    ],
  ])("%s", async (_, documents, message) => {
    const file = folder.file("refused.yaml");
    await Bun.write(file, render(documents()));
    const { code, err } = await runVespid(control, ["apply", "-f", file]);
    expect(code).not.toBe(0);
    expect(err).toMatch(message);
  });

  test("an adapter's bundle in a Filter, a filter's in an Adapter, and deleting one that is in use", async () => {
    const asFilter = { ...VESPID, kind: "Filter", metadata: { name: "door" }, spec: { bundle } };
    const wrong = await control.request("POST", "/v1/apply", JSON.stringify(asFilter));
    expect([wrong.status, await wrong.text()]).toEqual([
      422,
      expect.stringContaining("use it in an Adapter of kind filter"),
    ]);
    const built = await buildFilterFile(join(ROOT, "test/fixtures/stamp/filter.ts"));
    if (!built.ok) throw new Error("the stamp does not build");
    const stamp = await control.push(built.value.artifact);
    const asAdapter = adapter("stamp", { bundle: stamp, upstreams: {} });
    const wrongToo = await control.request("POST", "/v1/apply", JSON.stringify(asAdapter));
    expect([wrongToo.status, await wrongToo.text()]).toEqual([422, expect.stringContaining("use it in a Filter")]);
    await control.apply(render([adapter("door")]));
    const inUse = await control.request("DELETE", `/v1/bundles/${bundle}`);
    expect([inUse.status, await inUse.text()]).toEqual([
      409,
      expect.stringContaining("in use by Adapter default/door"),
    ]);
  });
});
