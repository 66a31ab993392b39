// Adapters and rules as resources: what an operator applies holds in a proxy seconds later, and what is wrong holds nowhere.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";
import { runVespid, type Ran } from "../harness/vespid.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

let stack: AsyncDisposableStack;
let folder: TempFolder;
let control: RunningControl;
let proxy: RunningProxy;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  folder = stack.use(await makeTempFolder());
  const upstream = stack.use(await startNginxUpstream({ folder, body: "hello" }));
  control = stack.use(await startControl({ cwd: folder.path }));
  proxy = stack.use(
    await startProxy({
      service: "shop",
      applicationPort: upstream.port,
      control: control.url,
      cwd: folder.path,
      accessLog: "off",
    }),
  );
});

afterAll(() => stack.disposeAsync());

const ADAPTER = { apiVersion: "vespid.dev/v1", kind: "Adapter" };
const RULE = { apiVersion: "vespid.dev/v1", kind: "Rule" };

const NO_ADMINS = [
  { ...ADAPTER, metadata: { name: "no" }, spec: { backend: { kind: "deny", status: 451, message: "not here" } } },
  {
    ...RULE,
    metadata: { name: "no-admins" },
    spec: {
      selector: { services: ["shop"] },
      match: `request.path.startsWith("/admin")`,
      actions: [{ adapter: "no" }],
    },
  },
];

function render(documents: readonly object[]): string {
  return documents.map((document) => JSON.stringify(document)).join("\n---\n");
}

async function statusOf(path: string): Promise<number> {
  return (await fetch(`http://127.0.0.1:${proxy.inboundPort}${path}`)).status;
}

async function apply(documents: readonly object[]): Promise<Ran> {
  const file = folder.file("documents.yaml");
  await Bun.write(file, render(documents));
  return runVespid(control, ["apply", "-f", file]);
}

/** Whether it held before or not. */
async function denyAdmins(): Promise<void> {
  await control.apply(render(NO_ADMINS));
  await until("admins to be denied", async () => ((await statusOf("/admin")) === 451 ? true : undefined));
}

test("a rule denies what it matches, and nothing once it is deleted", async () => {
  expect(await statusOf("/admin")).toBe(200);
  await control.rollOut(() => control.apply(render(NO_ADMINS)));
  expect([await statusOf("/admin"), await statusOf("/")]).toEqual([451, 200]);
  const inUse = await control.request("DELETE", "/v1/resources/Adapter/default/no");
  expect(inUse.status).toBe(422);
  expect(await inUse.text()).toContain("the adapter is in use by Rule default/no-admins; delete or change these first");
  await control.rollOut(async () => {
    expect((await control.request("DELETE", "/v1/resources/Rule/default/no-admins")).status).toBe(200);
  });
  expect(await statusOf("/admin")).toBe(200);
  expect((await control.request("DELETE", "/v1/resources/Adapter/default/no")).status).toBe(200);
});

test("a report is a line of JSON for each exchange that matches", async () => {
  const file = folder.file("orders.json");
  const documents = [
    { ...ADAPTER, metadata: { name: "lines" }, spec: { backend: { kind: "stdout", file, batch: { ageMs: "50ms" } } } },
    {
      ...RULE,
      metadata: { name: "orders" },
      spec: {
        match: `request.path == "/orders"`,
        actions: [{ adapter: "lines", attributes: { code: "response.code", path: "request.path" } }],
      },
    },
  ];
  await control.rollOut(() => control.apply(render(documents)));
  for (const path of ["/orders", "/", "/orders"]) expect(await statusOf(path)).toBe(200);
  const lines = await until("both lines", async () => {
    const text = await Bun.file(file).text();
    const all = text.split("\n").filter((line) => line !== "");
    return all.length >= 2 ? all : undefined;
  });
  expect(lines.map((line): unknown => JSON.parse(line))).toEqual([
    expect.objectContaining({ code: 200, path: "/orders" }),
    expect.objectContaining({ code: 200, path: "/orders" }),
  ]);
});

test.each([
  ["an adapter that is not there", { actions: [{ adapter: "gone" }] }, `there is no adapter "gone"`],
  ["an expression that is none", { match: "request.path ==", actions: [{ adapter: "no" }] }, "spec.match"],
  [
    "what is known too late",
    { match: "response.code == 200", actions: [{ adapter: "no" }] },
    "response.code is not known",
  ],
])("%s is refused by its path, and what holds goes on", async (_, spec, message) => {
  await denyAdmins();
  const refused = await apply([{ ...RULE, metadata: { name: "no-admins" }, spec }]);
  expect(refused.code).not.toBe(0);
  expect(refused.err).toContain(message);
  expect(await statusOf("/admin")).toBe(451);
});

test("an adapter may not become what its rules cannot use", async () => {
  await denyAdmins();
  const spec = { backend: { kind: "list", entries: ["a"] } };
  const refused = await apply([{ ...ADAPTER, metadata: { name: "no" }, spec }]);
  expect(refused.err).toContain("Rule default/no-admins does not fit it: spec.actions[0].value is required");
  expect(await statusOf("/admin")).toBe(451);
});

test("people list both kinds", async () => {
  await denyAdmins();
  for (const kind of ["adapters", "rules", "adapter", "Rule"]) {
    const { code, out } = await runVespid(control, ["get", kind]);
    expect({ kind, code, out }).toMatchObject({ code: 0, out: expect.stringContaining("no") });
  }
});
