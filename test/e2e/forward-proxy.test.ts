// The explicit way, without rules and without privilege: programs that are told of the sidecar by `HTTP_PROXY` alone.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startNginxUpstream, type Peer } from "../harness/peers.ts";
import { runProgram } from "../harness/program.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
let folder: TempFolder;
let upstream: Peer;
let open: RunningProxy;
let closed: RunningProxy;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  upstream = owned.use(await startNginxUpstream({ folder, body: "hello" }));
  open = await startWith("ALLOW_ANY");
  closed = await startWith("REGISTRY_ONLY");
});
afterAll(() => owned.disposeAsync());

async function startWith(mode: string): Promise<RunningProxy> {
  const config = folder.file(`${mode}.json`);
  const route = {
    name: "to-shop",
    matches: [{ path: { kind: "prefix", value: "/shop" } }],
    destinations: [{ cluster: "shop" }],
  };
  const snapshot = {
    outbound: { virtualHosts: [{ name: "shop", domains: ["shop.test"], routes: [route] }], outboundPolicy: mode },
    clusters: [{ name: "shop", endpoints: [{ address: "127.0.0.1", port: upstream.port }] }],
  };
  await Bun.write(config, JSON.stringify(snapshot));
  return owned.use(await startProxy({ service: "client", hasOutbound: true, config, cwd: folder.path }));
}

/** The last words of the access-log line of that path: cluster, upstream's and own address, and route. */
async function lineOf(proxy: RunningProxy, path: string): Promise<string> {
  return until(`${path} in the access log`, () =>
    proxy.program
      .stdout()
      .split("\n")
      .find((line) => line.includes(` ${path} `)),
  );
}

async function curl(proxy: RunningProxy, ...args: readonly string[]): Promise<string> {
  const via = ["-x", `http://127.0.0.1:${proxy.outboundPort}`];
  const run = await runProgram(["curl", "-sS", "--max-time", "10", "-w", "%{http_code}", ...via, ...args]);
  return run.stdout;
}

test("curl -x: a host that no route knows is called where the request says", async () => {
  expect(await curl(open, `http://127.0.0.1:${upstream.port}/by-address?1`)).toBe("hello200");
  const line = await lineOf(open, "/by-address?1");
  expect(line).toContain(`"127.0.0.1:${upstream.port}" "127.0.0.1:${upstream.port}" PassthroughCluster `);
  expect(line).toEndWith(" allow_any");
  // A name is looked up by the system, whatever its case.
  expect(await curl(open, `http://LocalHost:${upstream.port}/by-name`)).toBe("hello200");
});

test("Python's urllib finds the sidecar by HTTP_PROXY", async () => {
  const code = `import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:${upstream.port}/urllib").read().decode())`;
  const env = { http_proxy: `http://127.0.0.1:${open.outboundPort}`, no_proxy: "" };
  const run = await runProgram(["python3", "-c", code], { env });
  expect(run.stdout).toBe("hello\n");
  expect(await lineOf(open, "/urllib")).toContain(" PassthroughCluster ");
});

describe("hosts of the registry go by their routes, and only by them", () => {
  test.each(["ALLOW_ANY", "REGISTRY_ONLY"])("%s", async (mode) => {
    const proxy = mode === "ALLOW_ANY" ? open : closed;
    expect(await curl(proxy, "http://shop.test/shop/1")).toBe("hello200");
    expect(await lineOf(proxy, "/shop/1")).toMatch(/" shop .* to-shop$/u);
    // It is known, so nobody else answers for it.
    expect(await curl(proxy, "http://shop.test/other")).toBe("404");
    expect(await lineOf(proxy, "/other")).toContain(" 404 NR route_not_found ");
  });
});

test("where only the registry may be called, other hosts are 502", async () => {
  expect(await curl(closed, `http://127.0.0.1:${upstream.port}/elsewhere`)).toBe("502");
  const line = await lineOf(closed, "/elsewhere");
  expect(line).toContain(" 502 - direct_response ");
  expect(line).toMatch(/ BlackHoleCluster .* block_all$/u);
});

test("a request to the outbound port itself says no destination: an unknown host is 404, and nothing loops", async () => {
  const url = `http://127.0.0.1:${open.outboundPort}`;
  const direct = await runProgram(["curl", "-sS", "-w", "%{http_code}", `${url}/direct`]);
  expect(direct.stdout).toBe("404");
  // The sidecar as a proxy to itself.
  expect(await curl(open, `${url}/self`)).toBe("404");
  const seen = await until("both lines", () => {
    const lines = open.program.stdout().split("\n");
    const own = lines.filter((line) => line.includes(" /self "));
    return own.length >= 2 ? own : undefined;
  });
  expect(seen).toHaveLength(2);
});

test("what cannot be reached is 503, told with its address", async () => {
  expect(await curl(open, "http://127.0.0.1:1/nobody")).toEndWith("503");
  expect(await lineOf(open, "/nobody")).toContain('"127.0.0.1:1" PassthroughCluster ');
});
