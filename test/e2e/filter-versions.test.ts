// A filter's next version on its way into live traffic, and out of it again where it is bad: real control, real proxies.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { z } from "zod";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";
import { runVespid } from "../harness/vespid.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

const SOURCES = {
  one: `request(request) { request.headers.set("x-version", "one"); }, response(response) { response.headers.set("x-version", "one"); },`,
  two: `request(request) { request.headers.set("x-version", "two"); }, response(response) { response.headers.set("x-version", "two"); },`,
  failing: `request(request) { if (request.path !== "/fine") throw new Error("not today"); },
    response(response) { response.headers.set("x-version", "failing"); },`,
  asking: `upstreams: ["users"], async request(request, { fetch }) { const reply = await fetch("users", "/who");
    request.headers.set("x-version", String(reply.status)); },`,
  broken: `setup() { throw new Error("no database"); }, response(response) { response.headers.set("x-version", "broken"); },`,
} as const;
type Name = keyof typeof SOURCES;

let folder: TempFolder;
let upstream: Awaited<ReturnType<typeof startNginxUpstream>>;
let control: RunningControl;
/** One process, and one of two workers. */
let proxies: readonly RunningProxy[];
const bundles = new Map<Name, string>();

async function build(name: Name): Promise<void> {
  const file = folder.file(`${name}/filter.ts`);
  await Bun.write(
    file,
    `import { defineFilter } from "vespid";
export default defineFilter({ name: "mark", stage: "transform", reads: [":path"], writes: ["x-version"], ${SOURCES[name]} });
`,
  );
  const built = await buildFilterFile(file);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  bundles.set(name, await control.push(built.value.artifact));
}

beforeAll(async () => {
  folder = await makeTempFolder();
  upstream = await startNginxUpstream({ folder, body: "hello" });
  control = await startControl({ cwd: folder.path });
  for (const name of ["one", "two", "failing", "asking", "broken"] as const) await build(name);
  const start = async (name: string, concurrency: number) => {
    await mkdir(folder.file(name));
    return startProxy({
      service: "app",
      applicationPort: upstream.port,
      control: control.url,
      cwd: folder.file(name),
      accessLog: folder.file(`${name}.log`),
      concurrency,
    });
  };
  proxies = [await start("alone", 1), await start("workers", 2)];
});

afterAll(async () => {
  for (const proxy of proxies ?? []) await proxy[Symbol.asyncDispose]();
  await control?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

const bundleOf = (name: Name): string => bundles.get(name) ?? "";

/** Begins with version `one` live and nothing on trial. */
async function begin(): Promise<void> {
  const spec = { bundle: bundleOf("one"), selector: { services: ["app"] } };
  const path = "/v1/resources/Filter/default/mark";
  if ((await control.request("GET", path)).ok) {
    await control.rollOut(async () => void (await control.request("DELETE", path)));
  }
  await control.rollOut(() =>
    control.apply(JSON.stringify({ apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name: "mark" }, spec })),
  );
}

async function ask(proxy: RunningProxy, path = "/", headers: Record<string, string> = {}) {
  const reply = await fetch(`http://127.0.0.1:${proxy.inboundPort}${path}`, { headers });
  await reply.arrayBuffer();
  return `${reply.status} ${reply.headers.get("x-version")}`;
}

const Versions = z.looseObject({
  cause: z.string().optional(),
  live: z.object({ version: z.string() }),
  candidate: z.object({ version: z.string() }).optional(),
  trial: z
    .looseObject({
      live: z.looseObject({ runs: z.number() }),
      candidate: z.looseObject({ runs: z.number(), failed: z.number() }),
      compared: z.number(),
      differed: z.number(),
    })
    .optional(),
  history: z.array(z.object({ version: z.string(), cause: z.string().optional() })),
});

async function versions(): Promise<z.infer<typeof Versions>> {
  return Versions.parse(await (await control.request("GET", "/v1/filters/default/mark/versions")).json());
}

const run = (...args: readonly string[]) => runVespid(control, ["filter", ...args]);

async function vespid(...args: readonly string[]) {
  const ran = await runVespid(control, ["filter", ...args]);
  if (ran.code !== 0) throw new Error(`vespid ${args.join(" ")} ended with ${ran.code}: ${ran.err}`);
  return ran.out;
}

test("a version comes for a share of the callers, is promoted, and is rolled back", async () => {
  await begin();
  for (const proxy of proxies) expect(await ask(proxy)).toBe("200 one");
  await control.rollOut(async () => {
    const out = await vespid(
      "deploy",
      "mark",
      "--bundle",
      bundleOf("two").slice(7, 19),
      "--percent",
      "50",
      "--by",
      "x-user",
    );
    expect(out).toContain("canary, 50% by x-user");
  });
  const users = Array.from({ length: 30 }, (_, index) => `user-${index}`);
  const seen = await Promise.all(
    users.map(async (user) => {
      const answers = proxies.flatMap((proxy) => [1, 2, 3].map(() => ask(proxy, "/", { "x-user": user })));
      return new Set(await Promise.all(answers));
    }),
  );
  // Each caller meets one version, on every proxy and in every worker; some meet this one and some that.
  expect(seen.every((answers) => answers.size === 1)).toBe(true);
  expect(new Set(seen.flatMap((answers) => Array.from(answers)))).toEqual(new Set(["200 one", "200 two"]));
  await until("both versions' calls to be told", async () => {
    const { trial } = await versions();
    return trial !== undefined && trial.live.runs + trial.candidate.runs === 30 * 2 * 3 * 2 ? true : undefined;
  });
  await control.rollOut(async () => void (await vespid("promote", "mark")));
  for (const proxy of proxies) expect(await ask(proxy)).toBe("200 two");
  await control.rollOut(async () => {
    expect(await vespid("rollback", "mark")).toContain("rolled back from sha256:");
  });
  for (const proxy of proxies) expect(await ask(proxy)).toBe("200 one");
  expect((await versions()).history.map(({ version }) => version)).toEqual([
    bundleOf("one"),
    bundleOf("two"),
    bundleOf("one"),
  ]);
});

test("a shadow is compared, and nothing of it is applied", async () => {
  await begin();
  await control.rollOut(async () => void (await vespid("deploy", "mark", "--bundle", bundleOf("two"), "--shadow")));
  for (const proxy of proxies) expect(await ask(proxy, "/shadowed?token=abc")).toBe("200 one");
  await until("the differences to be told", async () => {
    const { trial } = await versions();
    return trial?.differed === 4 ? true : undefined;
  });
  const out = await vespid("diff", "mark");
  expect(out).toContain("GET /shadowed request ");
  expect(out).toContain("  - set x-version: one\n  + set x-version: two\n");
  expect(out).not.toContain("abc");
  const withoutToken = await fetch(`${control.url}/v1/filters/default/mark/differences`);
  expect(withoutToken.status).toBe(401);
});

test("a shadow calls nobody, unless it may", async () => {
  let calls = 0;
  using users = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      calls++;
      return new Response("ada");
    },
  });
  await begin();
  const entry = {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: "users" },
    spec: {
      hosts: ["users"],
      resolution: "STATIC",
      ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: users.port }],
      endpoints: [{ address: "127.0.0.1" }],
    },
  };
  // Before the version that calls it comes: a warning, and no more.
  const spec = { bundle: bundleOf("one"), selector: { services: ["app"] }, upstreams: { users: { host: "users" } } };
  const use = { apiVersion: "vespid.dev/v1", kind: "Filter", metadata: { name: "mark" }, spec };
  // Rolled out by itself: what waits for the next change must not take this one for it.
  await control.rollOut(() => control.apply(`${JSON.stringify(entry)}\n---\n${JSON.stringify(use)}`));
  const shadow = async (...flags: readonly string[]) => {
    await control.rollOut(
      async () =>
        void (await vespid("deploy", "mark", "--bundle", bundleOf("asking"), "--shadow", "--calls", "1000", ...flags)),
    );
    for (const proxy of proxies) expect(await ask(proxy)).toBe("200 one");
    return until("the shadows' runs to be told", async () => {
      const runs = (await versions()).trial?.candidate.runs ?? 0;
      return runs >= 2 ? runs : undefined;
    });
  };
  expect(await shadow()).toBe(2);
  expect(calls).toBe(0);
  expect(await shadow("--fetches")).toBe(2);
  expect(calls).toBe(2);
});

test("a version that fails is rolled back by itself, costs nobody a request, and control says why", async () => {
  await begin();
  await control.rollOut(
    async () => void (await vespid("deploy", "mark", "--bundle", bundleOf("failing"), "--percent", "100")),
  );
  const answers = await until("the candidate to be gone", async () => {
    const seen = await Promise.all(proxies.map((proxy) => ask(proxy)));
    expect(seen).toEqual(["200 one", "200 one"]);
    return (await versions()).candidate === undefined ? seen : undefined;
  });
  expect(answers).toHaveLength(2);
  const { cause, live } = await versions();
  expect(live.version).toBe(bundleOf("one"));
  expect(cause).toMatch(
    /^rolled back sha256:[0-9a-f]+ by itself: app\.default~.* stopped it: 5 calls in a row failed; .*not today/u,
  );
});

test("a rate of failures over all proxies rolls it back, below what one proxy would stop it for", async () => {
  await begin();
  const args = ["--percent", "100", "--calls", "20", "--failure-rate", "0.1"];
  await control.rollOut(async () => void (await vespid("deploy", "mark", "--bundle", bundleOf("failing"), ...args)));
  const paths = ["/fine", "/fine", "/fine", "/bad"];
  await until("the candidate to be gone", async () => {
    for (const path of paths) for (const proxy of proxies) expect(await ask(proxy, path)).toStartWith("200 ");
    return (await versions()).candidate === undefined ? true : undefined;
  });
  expect((await versions()).cause).toMatch(/by itself: \d+ of \d+ calls failed, the bound is a rate of 0\.1$/u);
});

test("a version that cannot be built leaves the live one where it is, and is rolled back", async () => {
  await begin();
  await vespid("deploy", "mark", "--bundle", bundleOf("broken"), "--percent", "10");
  await until("the candidate to be gone", async () => ((await versions()).candidate === undefined ? true : undefined));
  for (const proxy of proxies) expect(await ask(proxy)).toBe("200 one");
  expect((await versions()).cause).toContain("could not be built: config: could not be set up: ");
});

test("what cannot be done is said, and nothing is changed", async () => {
  await begin();
  expect(await run("promote", "mark")).toMatchObject({ code: 1, err: expect.stringContaining("has no candidate") });
  expect(await run("versions", "nothing")).toMatchObject({ code: 1, err: expect.stringContaining("apply one first") });
  expect(await run("deploy", "mark")).toMatchObject({ code: 2, err: expect.stringContaining("--bundle DIGEST|PATH") });
  expect(await run("deploy", "mark", "--bundle", `sha256:${"0".repeat(64)}`, "--shadow")).toMatchObject({
    code: 1,
    err: expect.stringContaining("spec.candidate.bundle: "),
  });
  expect(await run("deploy", "mark", "--bundle", bundleOf("two"), "--percent", "101")).toMatchObject({
    code: 1,
    err: expect.stringContaining("percent"),
  });
  expect(await run("rollback", "mark", "--to", "abcdef")).toMatchObject({
    code: 1,
    err: expect.stringContaining("abcdef"),
  });
  expect((await versions()).candidate).toBeUndefined();
});
