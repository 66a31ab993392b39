// Rules that ask adapters before a request goes on, through a real proxy.
import { expect, test } from "bun:test";
import { startAdapted } from "../harness/adapters.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

test("deny refuses what its rule matches, and nothing else", async () => {
  await using folder = await makeTempFolder();
  await using sidecar = await startAdapted({
    folder,
    adapters: [{ name: "no", backend: { kind: "deny", status: 451, message: "not here" } }],
    rules: [
      {
        name: "admin",
        match: `match(request.path, "/admin*") && request.method != "OPTIONS"`,
        actions: [{ adapter: "no" }],
      },
    ],
  });
  const refused = await sidecar.get("/admin/users");
  expect([refused.status, await refused.text()]).toEqual([451, "not here"]);
  expect((await sidecar.get("/users")).status).toBe(200);
  expect(sidecar.seen).toEqual(["/users"]);
  expect(await sidecar.metric("vespid_adapter_dispatches_total", `outcome="refused"`)).toBe(1);
});

test("a list in the configuration lets in what it names, by address and by header", async () => {
  await using folder = await makeTempFolder();
  await using sidecar = await startAdapted({
    folder,
    adapters: [
      { name: "near", backend: { kind: "list", entryType: "ip_addresses", entries: ["127.0.0.0/8"] } },
      {
        name: "bots",
        backend: { kind: "list", entryType: "regex", mode: "deny", entries: ["(?i)bot", "^curl/"], status: 429 },
      },
      { name: "tenants", backend: { kind: "list", entryType: "case_insensitive", entries: ["Blue", "Red"] } },
    ],
    rules: [
      { name: "near", actions: [{ adapter: "near", value: "source.ip" }] },
      { name: "bots", actions: [{ adapter: "bots", value: `request.useragent | "none"` }] },
      {
        name: "tenants",
        match: `match(request.path, "/t*")`,
        actions: [{ adapter: "tenants", value: `request.headers["x-tenant"]` }],
      },
    ],
  });
  const statuses = await Promise.all([
    sidecar.get("/", { "user-agent": "test" }),
    sidecar.get("/", { "user-agent": "GoogleBot" }),
    sidecar.get("/t", { "user-agent": "test", "x-tenant": "BLUE" }),
    sidecar.get("/t", { "user-agent": "test", "x-tenant": "green" }),
    sidecar.get("/t", { "user-agent": "test" }),
  ]);
  expect(statuses.map(({ status }) => status)).toEqual([200, 429, 200, 403, 403]);
});

test("a list in a file and one of a service are read again, and outlive their source for a while", async () => {
  await using folder = await makeTempFolder();
  const file = folder.file("allowed.txt");
  await Bun.write(file, "ada # the first\n\nbob\n");
  let served: string | undefined = "eve\n";
  using source = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => (served === undefined ? new Response("", { status: 503 }) : new Response(served)),
  });
  await using sidecar = await startAdapted({
    folder,
    clusters: { lists: source.port ?? 0 },
    adapters: [
      { name: "file", backend: { kind: "list", file, refreshMs: "100ms", staleForMs: "1h" } },
      {
        name: "url",
        backend: {
          kind: "list",
          mode: "deny",
          url: { upstream: { cluster: "lists" }, path: "/denied" },
          refreshMs: "100ms",
          staleForMs: "400ms",
        },
      },
    ],
    rules: [
      {
        name: "file",
        match: `match(request.path, "/file*")`,
        actions: [{ adapter: "file", value: `request.headers["x-user"]` }],
      },
      {
        name: "url",
        match: `match(request.path, "/url*")`,
        actions: [{ adapter: "url", value: `request.headers["x-user"]` }],
      },
    ],
  });
  const ask = async (path: string, user: string): Promise<number> =>
    (await sidecar.get(path, { "x-user": user })).status;
  expect([await ask("/file", "bob"), await ask("/file", "eve")]).toEqual([200, 403]);
  await until("the service's list to be read", async () => ((await ask("/url", "eve")) === 403 ? true : undefined));
  expect(await ask("/url", "ada")).toBe(200);

  await Bun.write(file, "eve\n");
  served = "ada\n";
  await until("both lists to be read again", async () =>
    (await ask("/file", "eve")) === 200 && (await ask("/url", "ada")) === 403 ? true : undefined,
  );
  served = undefined;
  // Its last list serves until it is stale; then the adapter fails, and its policy is closed.
  expect(await ask("/url", "ada")).toBe(403);
  await until("the list to be stale", async () => ((await ask("/url", "nobody")) === 503 ? true : undefined));
});

test("checks come before quotas, in their order, and the first refusal ends it", async () => {
  await using folder = await makeTempFolder();
  await using sidecar = await startAdapted({
    folder,
    adapters: [
      { name: "first", backend: { kind: "deny", status: 401 } },
      { name: "second", backend: { kind: "deny", status: 403 } },
    ],
    rules: [{ name: "both", actions: [{ adapter: "first" }, { adapter: "second" }] }],
  });
  expect((await sidecar.get("/")).status).toBe(401);
  expect(await sidecar.metric("vespid_adapter_dispatches_total", `adapter="second"`)).toBe(0);
  expect(await sidecar.metric("vespid_adapter_dispatches_total", `adapter="first"`)).toBe(1);
});
