// A snapshot from a file, over real sockets: who gets which request, and what it looks like when it arrives.
import { afterAll, beforeAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import { join } from "node:path";
import { z } from "zod";
import { runProgram } from "../harness/program.ts";
import { ROOT, startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
let folder: TempFolder;
let proxy: RunningProxy;

const cluster = (name: string, port: number) => ({ name, endpoints: [{ address: "127.0.0.1", port }] });
const to = (name: string) => ({ destinations: [{ cluster: name }] });
const Echo = z.object({ name: z.string(), path: z.string(), fields: z.record(z.string(), z.string()) });

/** Starts an upstream that answers what it was asked, and by whom it was answered. */
function startEcho(name: string): number {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { pathname, search } = new URL(request.url);
      const fields = Object.fromEntries(request.headers);
      return Response.json({ name, path: pathname + search, fields }, { headers: { "x-by": name } });
    },
  });
  owned.defer(() => server.stop(true));
  return server.port ?? 0;
}

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  const snapshot = {
    outbound: {
      virtualHosts: [
        {
          name: "reviews",
          domains: ["reviews", "reviews.default"],
          routes: [
            { name: "jason", matches: [{ headers: { "end-user": { kind: "exact", value: "jason" } } }], ...to("red") },
            {
              matches: [{ path: { kind: "path_separated_prefix", value: "/api" } }],
              prefixRewrite: "/v2/api",
              ...to("red"),
            },
            { matches: [{ path: { kind: "regex", value: "/books/[0-9]+" } }], ...to("red") },
            {
              matches: [{ path: { kind: "exact", value: "/write" }, method: { kind: "exact", value: "POST" } }],
              ...to("red"),
            },
            {
              matches: [{ path: { kind: "exact", value: "/edited" } }],
              requestHeaders: { set: { "x-set": "new" }, add: { "x-added": "1" }, remove: ["x-secret"] },
              responseHeaders: { set: { "x-by": "the mesh" } },
              authorityRewrite: "rewritten.example",
              ...to("black"),
            },
            {
              matches: [{ path: { kind: "exact", value: "/split" } }],
              destinations: [
                { cluster: "red", weight: 10 },
                { cluster: "black", weight: 90 },
              ],
            },
            to("black"),
          ],
        },
        { name: "wild", domains: ["*.example.com"], routes: [to("red")] },
        { name: "exact", domains: ["black.example.com"], routes: [to("black")] },
      ],
    },
    clusters: [cluster("red", startEcho("red")), cluster("black", startEcho("black"))],
  };
  await Bun.write(folder.file("snapshot.json"), JSON.stringify(snapshot));
  proxy = owned.use(
    await startProxy({
      service: "router",
      hasOutbound: true,
      config: folder.file("snapshot.json"),
      accessLog: folder.file("access.log"),
      cwd: folder.path,
    }),
  );
});
afterAll(() => owned.disposeAsync());

function ask(host: string, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> {
  return fetch(`http://127.0.0.1:${proxy.outboundPort}${path}`, { method, headers: { host, ...headers } });
}

describe("who answers", () => {
  test.each<[string, string, string, Record<string, string>, string]>([
    ["the last route takes what no other does", "reviews", "/", {}, "black"],
    ["a host without regard to case", "REVIEWS", "/", {}, "black"],
    ["a host with a port", "reviews:9080", "/", {}, "black"],
    ["another name of the same host", "reviews.default", "/", {}, "black"],
    ["a header", "reviews", "/", { "end-user": "jason" }, "red"],
    ["another value of that header", "reviews", "/", { "end-user": "jasons" }, "black"],
    ["a prefix of whole segments", "reviews", "/api/x", {}, "red"],
    ["not a prefix of half a segment", "reviews", "/apiary", {}, "black"],
    ["a regular expression", "reviews", "/books/12", {}, "red"],
    ["a regular expression matches whole paths", "reviews", "/books/12/pages", {}, "black"],
    ["a query is no part of the path", "reviews", "/books/12?page=/x", {}, "red"],
    ["a suffix wildcard", "any.example.com", "/", {}, "red"],
    ["an exact host before a wildcard", "black.example.com", "/", {}, "black"],
  ])("%s", async (_name, host, path, headers, expected) => {
    const reply = await ask(host, path, headers);
    expect(reply.status).toBe(200);
    expect(await reply.json()).toMatchObject({ name: expected });
  });

  test("a method", async () => {
    expect(await (await ask("reviews", "/write", {}, "POST")).json()).toMatchObject({ name: "red" });
    expect(await (await ask("reviews", "/write")).json()).toMatchObject({ name: "black" });
  });

  test("a host that nobody has is 404 with the flag NR", async () => {
    expect((await ask("nobody", "/lost")).status).toBe(404);
    expect((await ask("reviews", "/found")).status).toBe(200);
  });

  test("weights share requests as they say", async () => {
    const names = await Promise.all(
      Array.from({ length: 1000 }, async () => (await ask("reviews", "/split")).headers.get("x-by")),
    );
    const red = names.filter((name) => name === "red").length;
    // Five standard deviations around 100 of 1000.
    expect(red).toBeGreaterThan(52);
    expect(red).toBeLessThan(148);
  });
});

test("a prefix is rewritten, and the query stays", async () => {
  expect(await (await ask("reviews", "/api/books?a=1")).json()).toMatchObject({ path: "/v2/api/books?a=1" });
});

test("fields are set, added and removed on both ways", async () => {
  const reply = await ask("reviews", "/edited", { "x-secret": "s", "x-set": "old" });
  expect(reply.headers.get("x-by")).toBe("the mesh");
  const { fields } = Echo.parse(await reply.json());
  expect(fields).toMatchObject({ "x-set": "new", "x-added": "1", host: "rewritten.example" });
  expect(fields).not.toHaveProperty("x-secret");
});

test("a proxy that cannot start says every reason at once, with its path, and ends with 2", async () => {
  const flags = ["--service", "No Name", "--inbound", "8080", "--admin", "99999", "--control", "ftp://x"];
  const run = await runProgram([process.execPath, join(ROOT, "runtime/main.ts"), ...flags], { cwd: folder.path });
  expect(run.status).toBe(2);
  for (const path of ["service", "inbound", "admin", "control"]) expect(run.output).toContain(path);
});

const MISSING_BUNDLE = {
  digest: `sha256:${"0".repeat(64)}`,
  manifest: {
    name: "missing",
    world: "vespid:filter/filter@2.0.0",
    stage: "transform",
    reads: [],
    writes: [],
    phases: ["request"],
    configSchema: {},
  },
  files: [{ name: "filter.js", digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1 }],
};

function renderFilters(...sources: readonly object[]): string {
  const filters = sources.map((source, index) => ({ name: `filter-${index}`, stage: "transform", source }));
  return JSON.stringify({ inbound: { filters } });
}

describe("a snapshot that cannot run is refused with the path of each problem", () => {
  test.each<[string, string, readonly string[]]>([
    [
      "a bundle that nobody can give it, and a filter that is not built in",
      renderFilters({ kind: "bundle", bundle: MISSING_BUNDLE }, { kind: "builtin", name: "nope" }),
      ["inbound.filters[0].source.bundle", "--control", "inbound.filters[1].source.name", "nope"],
    ],
    ["not YAML", "outbound: [", ["bad.yaml", "line 1"]],
    ["an unknown field", "outbuond: {}", ["outbuond"]],
    [
      "a cluster that is not there",
      JSON.stringify({
        outbound: { virtualHosts: [{ name: "a", domains: ["a"], routes: [{ destinations: [{ cluster: "gone" }] }] }] },
      }),
      ["outbound.virtualHosts[0].routes[0].destinations[0].cluster", "gone"],
    ],
    [
      "two at once",
      JSON.stringify({ clusters: [{ name: "a", endpoints: [{ address: "", port: 0 }] }] }),
      ["clusters[0].endpoints[0].address", "clusters[0].endpoints[0].port"],
    ],
  ])("%s", async (_name, text, expected) => {
    const file = folder.file("bad.yaml");
    await Bun.write(file, text);
    const flags = ["--service", "bad", "--outbound", "0", "--admin", "0", "--config", file];
    const run = await runProgram([process.execPath, join(ROOT, "runtime/main.ts"), ...flags], { cwd: folder.path });
    expect(run.status).toBeGreaterThan(0);
    for (const part of expected) expect(run.output).toContain(part);
  });
});
