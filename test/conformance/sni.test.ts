// TLS that is not ours to end: routed by the name that the client asks for, and passed on as it came.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { makeAuthority, type CertificateFiles, type TestAuthority } from "../harness/authority.ts";
import { runProgram } from "../harness/program.ts";
import { startServing } from "../harness/serving.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

let folder: TempFolder;
let authority: TestAuthority;
beforeAll(async () => {
  folder = await makeTempFolder();
  authority = await makeAuthority(folder);
});
afterAll(() => folder[Symbol.asyncDispose]());

async function startHttps(name: string, altNames: string): Promise<Disposable & { readonly port: number }> {
  const files: CertificateFiles = await authority.issue(name, altNames);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: await Bun.file(files.certificate).text(), key: await Bun.file(files.privateKey).text() },
    fetch: () => new Response(name),
  });
  return { port: server.port ?? 0, [Symbol.dispose]: () => void server.stop(true) };
}

function cluster(name: string, port: number): object {
  return { name, endpoints: [{ address: "127.0.0.1", port }] };
}

async function curl(port: number, host: string): Promise<string> {
  const args = ["curl", "-sS", "--cacert", authority.root, "--resolve", `${host}:${port}:127.0.0.1`];
  return (await runProgram([...args, `https://${host}:${port}/`])).output;
}

test("goes where its name is routed, exact names before wildcards, others nowhere", async () => {
  using exact = await startHttps("exact", "DNS:a.b.test");
  using wild = await startHttps("wild", "DNS:*.b.test");
  using proxy = await startServing({
    clusters: [cluster("exact", exact.port), cluster("wild", wild.port)],
    outbound: {
      tcpRoutes: [
        { name: "wild", match: { sniHosts: ["*.b.test"] }, destinations: [{ cluster: "wild" }] },
        { name: "exact", match: { sniHosts: ["a.b.test"] }, destinations: [{ cluster: "exact" }] },
      ],
    },
  });
  expect(await curl(proxy.port, "a.b.test")).toBe("exact");
  expect(await curl(proxy.port, "x.b.test")).toBe("wild");
  expect(await curl(proxy.port, "c.test")).toContain("curl: (35)");
  await until("three sessions", () => proxy.sessions[2]);
  expect(proxy.sessions.map(({ serverName, routeName }) => [serverName, routeName])).toEqual([
    ["a.b.test", "exact"],
    ["x.b.test", "wild"],
    ["c.test", ""],
  ]);
  expect(proxy.lines[0]).toContain(" a.b.test exact\n");
  expect(proxy.lines[2]).toContain('"- - -" 0 NR ');
});

test("takes its share of weighted destinations", async () => {
  using one = await startHttps("one", "DNS:a.test");
  using two = await startHttps("two", "DNS:a.test");
  using proxy = await startServing({
    clusters: [cluster("one", one.port), cluster("two", two.port)],
    outbound: {
      tcpRoutes: [
        {
          match: { sniHosts: ["a.test"] },
          destinations: [
            { cluster: "one", weight: 0 },
            { cluster: "two", weight: 1 },
          ],
        },
      ],
    },
  });
  for (const _ of [1, 2, 3]) expect(await curl(proxy.port, "a.test")).toBe("two");
});
