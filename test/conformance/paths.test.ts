// Istio's four modes of path normalisation over real sockets: routes see the path as it is spelled anew, and so does the
// upstream, whichever protocol the request came by. What each mode makes of which path: runtime/codec/normalize.test.ts.
import { expect, test } from "bun:test";
import { connectHttp2, request } from "../harness/http2-peer.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

/** One path that each mode spells in its own way; two of them take it for one under `/admin`. */
const PATH = "/x/..//adm%69n%2Fy?a=/../b";

const CASES = [
  ["NONE", PATH, "other"],
  ["BASE", "//admin%2Fy?a=/../b", "other"],
  ["MERGE_SLASHES", "/admin%2Fy?a=/../b", "admin"],
  ["DECODE_AND_MERGE_SLASHES", "/admin/y?a=/../b", "admin"],
] as const;

const CLIENTS = [
  [
    "HTTP/1.1",
    async (port: number, path: string): Promise<string> => {
      const message = `GET ${path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n`;
      return (await exchangeRaw(port, message)).text.split(" ")[1] ?? "";
    },
  ],
  [
    "HTTP/2",
    async (port: number, path: string): Promise<string> => {
      using client = await connectHttp2(port);
      client.headers(1, request(path));
      return (await client.over(1)).heads[0]?.find(([name]) => name === ":status")?.[1] ?? "";
    },
  ],
] as const;

const ROWS = CLIENTS.flatMap(([protocol, ask]) => CASES.map((one) => [protocol, ...one, ask] as const));

function routeTo(name: string, value: string) {
  return { name, matches: [{ path: { kind: "prefix", value } }], destinations: [{ cluster: "c" }] };
}

function snapshotFor(port: number, pathNormalization: string) {
  return {
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port }] }],
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [routeTo("admin", "/admin"), routeTo("other", "/")] }],
      http: { pathNormalization },
    },
  };
}

test.each(ROWS)("%s, %s: the upstream gets %s by the route %s", async (_, mode, forwarded, route, ask) => {
  using upstream = startScriptedUpstream((c) => c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  using proxy = await startServing(snapshotFor(upstream.port, mode));
  expect(await ask(proxy.port, PATH)).toBe("200");
  expect(upstream.connections[0]?.received).toStartWith(`GET ${forwarded} HTTP/1.1\r\n`);
  const line = await until("the exchange to be told", () => proxy.lines[0]);
  expect(line.trimEnd()).toEndWith(` ${route}`);
});

test.each(CLIENTS)("%s: a path that holds %%00 is refused in every mode but NONE", async (_, ask) => {
  using upstream = startScriptedUpstream((c) => c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  using proxy = await startServing(snapshotFor(upstream.port, "NONE"));
  const statuses: string[] = [];
  for (const [mode] of CASES) {
    await proxy.apply(snapshotFor(upstream.port, mode));
    statuses.push(await ask(proxy.port, "/a%00b"));
  }
  expect(statuses).toEqual(["200", "400", "400", "400"]);
});
