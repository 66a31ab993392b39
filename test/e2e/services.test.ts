// Istio's resources, compiled as control does, under a client that knows nothing of the mesh: iptables leads its connections
// through a sidecar, which tells services apart by address, port, host and SNI. The services' addresses belong to no machine.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { makeCertificates } from "../harness/certificates.ts";
import { makeNamespaces, type Namespace } from "../harness/namespace.ts";
import type { Program } from "../harness/program.ts";
import { ROOT } from "../harness/proxy.ts";
import { snapshotOf } from "../harness/snapshot-of.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

/** The proxy's user, which the rules leave out. It may read the repository wherever it lies. */
const AS_PROXY =
  "setpriv --reuid 1337 --regid 1337 --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search".split(
    " ",
  );

const owned = new AsyncDisposableStack();
let folder: TempFolder;
let client: Namespace;
let server: Namespace;
let sidecar: Program;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  const wire = owned.use(await makeNamespaces(2));
  const [one, two] = wire.namespaces;
  if (one === undefined || two === undefined) throw new Error("no namespaces");
  [client, server] = [one, two];
  // Where a service's own address would lead; packets to it must never leave.
  await client.run(["ip", "route", "add", "default", "via", server.ipv4]);
  await startServers();
  const config = folder.file("snapshot.json");
  await Bun.write(config, JSON.stringify(snapshotOf(renderMesh(server.ipv4, folder.file("authority.pem")))));
  await Bun.$`chmod -R a+rX ${folder.path}`.quiet();
  await client.run([process.execPath, join(ROOT, "control/cli/main.ts"), "intercept", "--apply"]);
  const command = [process.execPath, join(ROOT, "runtime/main.ts"), "--service", "client", "--config", config];
  sidecar = owned.use(
    client.start([...AS_PROXY, ...command, "--interception", "redirect"], { cwd: "/", env: { HOME: "/" } }),
  );
  await sidecar.printed(/"ready"/u);
});
afterAll(() => owned.disposeAsync());

/** Plain servers without sidecars: two of Redis, one that speaks first, two of HTTP, one of HTTPS. */
async function startServers(): Promise<void> {
  for (const port of ["6379", "6380"]) {
    const redis = ["redis-server", "--port", port, "--protected-mode", "no", "--save", "", "--dir", folder.path];
    await owned.use(server.start(redis)).printed(/Ready to accept/u);
    await server.run(["redis-cli", "-p", port, "set", "port", port]);
  }
  owned.use(server.start(["socat", "TCP-LISTEN:3306,fork,reuseaddr", "SYSTEM:echo I speak first"]));
  for (const port of ["8080", "8081"]) {
    await Bun.write(folder.file(`${port}/page.txt`), `page of ${port}`);
    const python = ["python3", "-u", "-m", "http.server", port, "-d", folder.file(port)];
    await owned.use(server.start(python)).printed(/Serving HTTP/u);
  }
  const { server: shown } = await makeCertificates(folder);
  const tls = ["openssl", "s_server", "-accept", "8443", "-www", "-cert", shown.certificate, "-key", shown.key];
  await owned.use(server.start(tls)).printed(/ACCEPT/u);
}

/** What an operator applies. */
function renderMesh(ip: string, authority: string): string {
  const entry = (host: string, ports: string, addresses: string) =>
    [
      "ServiceEntry",
      `{ hosts: [${host}], resolution: STATIC, ports: [${ports}], addresses: [${addresses}], endpoints: [{ address: ${ip} }] }`,
    ] as const;
  const resources = [
    entry("cache-a.test", "{ number: 6379, name: redis }", "192.0.2.1"),
    entry("cache-b.test", "{ number: 6379, name: redis, targetPort: 6380 }", "192.0.2.2"),
    entry("db.test", "{ number: 3306, name: sql, protocol: MySQL }", ""),
    entry("shop.test", "{ number: 8080, name: http }, { number: 8081, name: http-b }", "192.0.2.3"),
    entry("secure.test", "{ number: 80, name: http, targetPort: 8443 }", ""),
    entry("tls.test", "{ number: 443, name: tls, targetPort: 8443 }", ""),
    entry("old.test", "{ number: 443, name: https, targetPort: 1 }", ""),
    [
      "DestinationRule",
      `{ host: secure.test, trafficPolicy: { tls: { mode: SIMPLE, sni: localhost, caCertificates: ${authority} } } }`,
    ],
    [
      "VirtualService",
      "{ hosts: [old.test], tls: [{ match: [{ sniHosts: [old.test], port: 443 }], route: [{ destination: { host: tls.test } }] }] }",
    ],
    [
      "VirtualService",
      "{ hosts: [cache-b.test], tcp: [{ match: [{ destinationSubnets: [192.0.2.128/25] }], route: [{ destination: { host: cache-b.test } }] }] }",
    ],
    ["Sidecar", "{ outboundTrafficPolicy: { mode: REGISTRY_ONLY } }"],
  ] as const;
  return resources
    .map(
      ([kind, spec], index) =>
        `---\napiVersion: networking.istio.io/v1\nkind: ${kind}\nmetadata: { name: r${index} }\nspec: ${spec}\n`,
    )
    .join("");
}

/** What the sidecar logged of a connection or request to that address, once it has. */
async function logged(text: string): Promise<string> {
  return until(`${text} in the sidecar's log`, () =>
    sidecar
      .stdout()
      .split("\n")
      .find((line) => line.includes(text)),
  );
}

const redis = (address: string) => client.run(["redis-cli", "-h", address, "--raw", "get", "port"]);
const curl = (...args: readonly string[]) => client.run(["curl", "-sS", "--max-time", "10", ...args]);

test.each([
  ["192.0.2.1", "6379", "cache-a.test"],
  ["192.0.2.2", "6380", "cache-b.test"],
  // By the networks of a VirtualService.
  ["192.0.2.200", "6380", "cache-b.test"],
])("Redis at %s is the one on %s: services of one port are told by their addresses", async (address, port, host) => {
  expect((await redis(address)).trim()).toBe(port);
  expect(await logged(` ${address}:6379 `)).toContain(`outbound|6379||${host}`);
});

test("a server that speaks first is heard", async () => {
  const said = await client.run(["timeout", "10", "socat", "-u", "TCP:192.0.2.77:3306", "-"]);
  expect(said.trim()).toBe("I speak first");
  expect(await logged(" 192.0.2.77:3306 ")).toContain("outbound|3306||db.test");
});

test.each(["8080", "8081"])("a request goes to the port that it called: %s", async (port) => {
  const page = await curl("--resolve", `shop.test:${port}:192.0.2.3`, `http://shop.test:${port}/page.txt`);
  expect(page).toBe(`page of ${port}`);
  // By the service's address too, without its name.
  expect(await curl(`http://192.0.2.3:${port}/page.txt`)).toBe(`page of ${port}`);
  expect(await logged(` 192.0.2.3:${port} `)).toContain(`outbound|${port}||shop.test`);
});

test("plaintext becomes TLS on its way, to a server that is believed", async () => {
  const page = await curl("--resolve", "secure.test:80:192.0.2.4", "http://secure.test/");
  expect(page).toContain("TLSv1.3");
  expect(await logged(" 192.0.2.4:80 ")).toContain("outbound|80||secure.test");
});

test.each(["tls.test", "old.test"])("TLS for %s passes as it came, by its name", async (host) => {
  const address = host === "tls.test" ? "192.0.2.5" : "192.0.2.6";
  expect(await curl("-k", "--resolve", `${host}:443:${address}`, `https://${host}/`)).toContain("TLSv1.3");
  expect(await logged(` ${address}:443 `)).toContain("outbound|443||tls.test");
});

test("nobody else is called where the registry is all", async () => {
  const status = await curl("-o", "/dev/null", "-w", "%{http_code}", `http://${server.ipv4}:8080/page.txt`);
  expect(status).toBe("502");
  expect(await curl(`http://192.0.2.3:8080/page.txt`)).toBe("page of 8080");
});
