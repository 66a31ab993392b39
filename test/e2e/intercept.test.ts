// Programs that know nothing of the mesh, on machines (network namespaces) whose connections iptables leads through sidecars:
// curl and Python's http.server talk as they do without one, and the access logs show the way that each request took.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { makeNamespaces, type Namespace } from "../harness/namespace.ts";
import type { Program } from "../harness/program.ts";
import { ROOT } from "../harness/proxy.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

/** The proxy's user, which the rules leave out. It may read the repository wherever it lies. */
const AS_PROXY =
  "setpriv --reuid 1337 --regid 1337 --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search".split(
    " ",
  );
/** An address that a service has and no machine. */
const SERVICE_IP = "192.0.2.10";

const owned = new AsyncDisposableStack();
let folder: TempFolder;
let client: Machine;
let server: Machine;

/** A machine with its sidecar. */
interface Machine extends Namespace {
  readonly sidecar: Program;
}

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  await Bun.write(folder.file("files/page.txt"), "hello from python\n");
  const wire = owned.use(await makeNamespaces(2));
  const [one, two] = wire.namespaces;
  if (one === undefined || two === undefined) throw new Error("no namespaces");
  // Where a service's own address would lead; packets to it must never leave.
  await one.run(["ip", "route", "add", "default", "via", two.ipv4]);
  await two.run(["ip", "route", "add", "default", "via", one.ipv4]);
  for (const port of ["8080", "8081", "8082"]) {
    const command = ["python3", "-u", "-m", "http.server", port, "--bind", "::", "-d", folder.file("files")];
    const python = owned.use(two.start(command));
    await python.printed(/Serving HTTP/u);
  }
  client = await startMachine(one, "client", two.ipv4, ["--exclude-outbound-ports", "8081"]);
  server = await startMachine(two, "shop", two.ipv4, ["--exclude-inbound-ports", "8082"]);
});
afterAll(() => owned.disposeAsync());

async function startMachine(
  namespace: Namespace,
  service: string,
  shopIp: string,
  rules: readonly string[],
): Promise<Machine> {
  const config = folder.file(`${service}.json`);
  const route = { name: "to-shop", destinations: [{ cluster: "outbound|8080||shop" }] };
  await Bun.write(
    config,
    JSON.stringify({
      outbound: { virtualHosts: [{ name: "shop", domains: ["shop"], routes: [route] }] },
      clusters: [{ name: "outbound|8080||shop", service: "shop", endpoints: [{ address: shopIp, port: 8080 }] }],
    }),
  );
  await namespace.run([process.execPath, join(ROOT, "control/cli/main.ts"), "intercept", "--apply", ...rules]);
  const command = [process.execPath, join(ROOT, "runtime/main.ts"), "--service", service, "--config", config];
  await Bun.$`chmod 755 ${folder.path}`.quiet();
  const sidecar = owned.use(
    namespace.start([...AS_PROXY, ...command, "--interception", "redirect"], { cwd: "/", env: { HOME: "/" } }),
  );
  await sidecar.printed(/"ready"/u);
  return { ...namespace, sidecar };
}

/** What curl prints there; its status where the reply is no page. */
async function curl(from: Namespace, ...args: readonly string[]): Promise<string> {
  return from.run(["curl", "-sS", "-g", "--max-time", "10", "-w", "%{http_code}", ...args]);
}

let asked = 0;

/** A path that no other request of this file has; Python does not look at the query. */
function ask(): string {
  return `/page.txt?${++asked}`;
}

/** The line of the request with that path in a sidecar's access log. */
async function lineOf(
  machine: Machine,
  path: string,
  direction: "inbound" | "outbound" | "any" = "any",
): Promise<string> {
  return until(`${path} in the log of ${machine.name}`, () => linesOf(machine, path, direction)[0]);
}

function linesOf(machine: Machine, path: string, direction: "inbound" | "outbound" | "any" = "any"): readonly string[] {
  return machine.sidecar
    .stdout()
    .split("\n")
    .filter(
      (line) =>
        line.includes(` ${path} `) && (direction === "any" || line.includes("inbound|") === (direction === "inbound")),
    );
}

/** Asks for a path that passes both sidecars; once its lines are there, those of all requests before are. */
async function settle(): Promise<void> {
  const path = ask();
  await curl(client, `http://${server.ipv4}:8080${path}`);
  await Promise.all([lineOf(client, path), lineOf(server, path)]);
}

test.each(["ipv4", "ipv6"] as const)("a call by address passes both sidecars: %s", async (family) => {
  const address = family === "ipv4" ? server.ipv4 : `[${server.ipv6}]`;
  const caller = family === "ipv4" ? client.ipv4 : `[${client.ipv6}]`;
  const source = family === "ipv4" ? "127.0.0.6" : "::6";
  const path = ask();
  expect(await curl(client, `http://${address}:8080${path}`)).toBe("hello from python\n200");
  // It goes where it was going, and nobody knows more of it: Istio's PassthroughCluster.
  const out = await lineOf(client, path);
  expect(out).toContain(`"${address}:8080" PassthroughCluster `);
  expect(out).toContain(` ${address}:8080 ${caller}:`);
  expect(out).toEndWith(" allow_any");
  const into = await lineOf(server, path);
  // Without a flag for its port, at the address that the application listens on, from the address that the rules know.
  expect(into).toContain(`"${address}:8080" inbound|8080|| `);
  expect(into).toMatch(new RegExp(`\\|\\| \\[?${source.replaceAll(".", "\\.")}\\]?:\\d+ `, "u"));
  expect(into).toContain(` ${address}:8080 ${caller}:`);
  await settle();
  expect([linesOf(client, path).length, linesOf(server, path).length]).toEqual([1, 1]);
});

test("a call to a service goes by its route, although nobody has the service's address", async () => {
  const path = ask();
  const url = `http://shop:8080${path}`;
  expect(await curl(client, "--resolve", `shop:8080:${SERVICE_IP}`, url)).toBe("hello from python\n200");
  const out = await lineOf(client, path);
  expect(out).toContain(`"${server.ipv4}:8080" outbound|8080||shop `);
  expect(out).toContain(` ${SERVICE_IP}:8080 `);
  expect(out).toEndWith(" to-shop");
  expect(await lineOf(server, path)).toContain("inbound|8080||");
});

test("a call to one's own service leaves by the outbound and comes in by the inbound listener", async () => {
  const path = ask();
  const url = `http://shop:8080${path}`;
  expect(await curl(server, "--resolve", `shop:8080:${SERVICE_IP}`, url)).toBe("hello from python\n200");
  expect(await lineOf(server, path, "outbound")).toContain(" outbound|8080||shop ");
  expect(await lineOf(server, path, "inbound")).toContain(`"${server.ipv4}:8080" inbound|8080|| 127.0.0.6:`);
  await settle();
  expect(linesOf(server, path)).toHaveLength(2);
});

test("calls to oneself by address, and ports that are left out, pass no sidecar of that side", async () => {
  const [self, loopback, noClient, noServer] = [ask(), ask(), ask(), ask()];
  expect(await curl(server, `http://${server.ipv4}:8080${self}`)).toEndWith("200");
  expect(await curl(server, `http://127.0.0.1:8080${loopback}`)).toEndWith("200");
  expect(await curl(client, `http://${server.ipv4}:8081${noClient}`)).toEndWith("200");
  expect(await curl(client, `http://[${server.ipv6}]:8082${noServer}`)).toEndWith("200");
  await settle();
  expect(linesOf(server, self)).toEqual([]);
  expect(linesOf(server, loopback)).toEqual([]);
  expect([linesOf(client, noClient).length, linesOf(server, noClient).length]).toEqual([0, 1]);
  expect([linesOf(client, noServer).length, linesOf(server, noServer).length]).toEqual([1, 0]);
});

test.each(["ipv4", "ipv6"] as const)("what is not HTTP passes both sidecars as bytes: %s", async (family) => {
  const address = family === "ipv4" ? server.ipv4 : server.ipv6;
  const code = `
import socket
listener = socket.create_server(("", 9100), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(connection.recv(100).upper())
    connection.close()`;
  await using echo = server.start(["python3", "-c", code]);
  await echo.printed(/listening/u);
  const ask9100 = `
import socket
connection = socket.create_connection(("${address}", 9100), timeout=10)
connection.sendall(b"\\x01hello\\n")
print(connection.recv(100))`;
  expect(await client.run(["python3", "-c", ask9100])).toBe("b'\\x01HELLO\\n'\n");
  const host = family === "ipv4" ? address : `[${address}]`;
  const source = family === "ipv4" ? "127.0.0.6:" : "[::6]:";
  const own = (machine: Machine, cluster: string): readonly string[] =>
    machine.sidecar
      .stdout()
      .split("\n")
      .filter((line) => line.includes(`"${host}:9100" ${cluster} `));
  await until("the client's line", () => own(client, "PassthroughCluster")[0]);
  const into = await until("the server's line", () => own(server, "InboundPassthroughCluster")[0]);
  expect(into).toContain(` ${source}`);
  await settle();
  expect([...own(client, "PassthroughCluster"), ...own(server, "InboundPassthroughCluster")]).toHaveLength(2);
});

test("what listens nowhere is 503 from the sidecar before it, and a capture port itself leads nowhere", async () => {
  const path = ask();
  expect(await curl(client, `http://${server.ipv4}:9${path}`)).toEndWith("503");
  expect(await lineOf(server, path)).toContain(` 503 UF upstream_reset_before_response_started`);
  const stray = ask();
  expect(await curl(client, `http://${server.ipv4}:15006${stray}`)).toEndWith("503");
  // Closed at once: before or after the caller's own sidecar has seen it open.
  expect(await lineOf(client, stray)).toMatch(/ 503 U[CF] /u);
  // The outbound listener takes no calls from other machines.
  expect(await curl(client, `http://${server.ipv4}:15001${ask()}`)).toEndWith("503");
  await settle();
  expect(linesOf(server, stray)).toEqual([]);
});

test("only the ranges that are included are led through the sidecar", async () => {
  const command = [process.execPath, join(ROOT, "control/cli/main.ts"), "intercept"];
  const ranges = ["--include-outbound-cidrs", `198.51.100.0/24,${server.ipv6}/128`];
  await client.run([...command, "--apply", ...ranges]);
  const [ipv4, ipv6] = [ask(), ask()];
  expect(await curl(client, `http://${server.ipv4}:8080${ipv4}`)).toEndWith("200");
  expect(await curl(client, `http://[${server.ipv6}]:8080${ipv6}`)).toEndWith("200");
  await lineOf(client, ipv6);
  await lineOf(server, ipv4);
  expect(linesOf(client, ipv4)).toEqual([]);
  // Rules of all addresses again, but for one.
  await client.run([...command, "--apply", "--exclude-outbound-cidrs", `${server.ipv6}/128`]);
  const [first, second] = [ask(), ask()];
  expect(await curl(client, `http://[${server.ipv6}]:8080${first}`)).toEndWith("200");
  expect(await curl(client, `http://${server.ipv4}:8080${second}`)).toEndWith("200");
  await lineOf(client, second);
  expect(linesOf(client, first)).toEqual([]);
});

test("destinations are told by cluster, and forgotten when nothing uses them", async () => {
  await settle();
  const clusters = () => client.run(["curl", "-sS", "http://127.0.0.1:15000/clusters"]);
  expect(await clusters()).toContain(`PassthroughCluster::${server.ipv4}:8080::rq_active::0`);
  const stats = await client.run(["curl", "-sS", "http://127.0.0.1:15000/stats/prometheus"]);
  expect(stats.match(/^envoy_cluster_upstream_cx_active\{cluster_name="PassthroughCluster"\}/gmu)).toHaveLength(1);
  expect(stats).toMatch(/istio_requests_total\{[^}]*destination_service="PassthroughCluster"/u);
  await until(
    "the destination to be forgotten",
    async () => ((await clusters()).includes("PassthroughCluster") ? undefined : true),
    15_000,
  );
});

test("without rules the two talk as if there were no sidecar", async () => {
  for (const machine of [client, server]) {
    await machine.run([process.execPath, join(ROOT, "control/cli/main.ts"), "intercept", "--cleanup"]);
    expect(`${await machine.run(["iptables-save"])}${await machine.run(["ip6tables-save"])}`).not.toMatch(
      /ISTIO|15001|15006/u,
    );
  }
  const path = ask();
  expect(await curl(client, `http://${server.ipv4}:8080${path}`)).toBe("hello from python\n200");
  const seen = ask();
  // The explicit way is still there: it needs no rule.
  expect(await curl(client, "-x", "http://127.0.0.1:15001", `http://${server.ipv4}:8080${seen}`)).toEndWith("200");
  await lineOf(client, seen);
  expect(linesOf(client, path)).toEqual([]);
  expect(linesOf(server, path)).toEqual([]);
});
