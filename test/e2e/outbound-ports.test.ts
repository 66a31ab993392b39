// The explicit way for what is not HTTP: a port for each service, without rules and without privilege.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { ready, startNginxUpstream } from "../harness/peers.ts";
import { freePort, freePorts } from "../harness/ports.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { startProxy, type RunningProxy } from "../harness/proxy.ts";
import { snapshotOf } from "../harness/snapshot-of.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";

setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
const [carts = 0, prices = 0, mail = 0] = freePorts(3);
let proxy: RunningProxy;

beforeAll(async () => {
  const folder = owned.use(await makeTempFolder());
  const nginx = owned.use(await startNginxUpstream({ folder, body: "hello" }));
  const servers = { carts: await startRedis(folder.path), prices: await startRedis(folder.path), mail: freePort() };
  const socat = startProgram(["socat", `TCP-LISTEN:${servers.mail},fork,reuseaddr`, "SYSTEM:echo 220 mail"]);
  owned.use(await ready("socat", servers.mail, socat));
  const snapshot = snapshotOf(
    [
      entry("carts", carts, "redis", servers.carts),
      entry("prices", prices, "redis", servers.prices),
      entry("mail", mail, "tcp", servers.mail),
      entry("shop", 80, "http", nginx.port),
    ].join(""),
  );
  const flags = ["--outbound", String(carts), String(prices), String(mail)];
  proxy = owned.use(
    await startProxy({
      service: "client",
      hasOutbound: true,
      snapshot: () => snapshot,
      cwd: folder.path,
      concurrency: 2,
      flags,
    }),
  );
});
afterAll(() => owned.disposeAsync());

/** A service as an operator enters it. */
function entry(host: string, port: number, name: string, target: number): string {
  return `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: ${host} }
spec:
  hosts: [${host}.test]
  resolution: STATIC
  ports: [{ number: ${port}, name: ${name}, targetPort: ${target} }]
  endpoints: [{ address: 127.0.0.1 }]
`;
}

/** Where it listens; it holds its own port as a value. */
async function startRedis(folder: string): Promise<number> {
  const port = freePort();
  const command = ["redis-server", "--port", String(port), "--save", "", "--dir", folder];
  await owned.use(startProgram(command)).printed(/Ready to accept/u);
  await runProgram(["redis-cli", "-p", String(port), "set", "port", String(port)]);
  return port;
}

async function ask(port: number): Promise<string> {
  const run = await runProgram(["redis-cli", "-p", String(port), "--raw", "get", "port"]);
  return run.stdout.trim();
}

test("two services of one protocol are told apart by the ports that their clients call", async () => {
  const answers = [await ask(carts), await ask(prices)];
  expect(answers).toEqual([expect.stringMatching(/^\d+$/u), expect.stringMatching(/^\d+$/u)]);
  expect(new Set(answers).size).toBe(2);
  // Each request is told under its own service.
  const metrics = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
  expect(metrics).toContain('destination_service="carts.test"');
  expect(metrics).toContain('destination_service="prices.test"');
});

test("a service that speaks first is heard on its port", async () => {
  const run = await runProgram(["socat", "-T2", "-,ignoreeof", `TCP:127.0.0.1:${mail}`]);
  expect(run.stdout).toBe("220 mail\n");
});

test("HTTP beside them goes by its host", async () => {
  const run = await runProgram(["curl", "-sS", "-H", "Host: shop.test", `http://127.0.0.1:${proxy.outboundPort}/`]);
  expect(run.stdout).toBe("hello");
});
