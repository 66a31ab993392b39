// The PROXY protocol with the programs that speak it: curl and HAProxy before us, HAProxy and nginx behind.
import { expect, test } from "bun:test";
import { freePort, freePorts } from "../harness/ports.ts";
import { runProgram, startProgram, type Program } from "../harness/program.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

function startApplication(): Disposable & { readonly port: number } {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("served") });
  return { port: server.port ?? 0, [Symbol.dispose]: () => void server.stop(true) };
}

function inbound(port: number, proxyProtocol: string): Promise<ServingUnderTest> {
  return startServing({ inbound: { proxyProtocol } }, { address: "127.0.0.1", applicationPort: port });
}

async function startHaproxy(file: string, config: string, port: number): Promise<Program> {
  const defaults = "defaults\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n";
  await Bun.write(file, `global\n maxconn 100\n${defaults}${config}`);
  const program = startProgram(["haproxy", "-f", file]);
  await until("HAProxy to listen", async () => {
    program.assertRunning();
    return (await listens(port)) ? true : undefined;
  });
  return program;
}

async function listens(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    // Not yet.
    return false;
  }
}

const GET = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

test("from curl, which names itself", async () => {
  using application = startApplication();
  using proxy = await inbound(application.port, "REQUIRED");
  const { stdout } = await runProgram(["curl", "-sS", "--haproxy-protocol", `http://127.0.0.1:${proxy.port}/`]);
  expect(stdout).toBe("served");
});

test.each(["send-proxy", "send-proxy-v2"])("from HAProxy with %s", async (option) => {
  await using folder = await makeTempFolder();
  using application = startApplication();
  using proxy = await inbound(application.port, "REQUIRED");
  const port = freePort();
  const backend = `listen l\n mode tcp\n bind 127.0.0.1:${port}\n server s 127.0.0.1:${proxy.port} ${option}\n`;
  await using haproxy = await startHaproxy(folder.file("haproxy.cfg"), backend, port);
  haproxy.assertRunning();
  const reply = await until("a reply through HAProxy", async () => {
    const { text } = await exchangeRaw(port, GET);
    return text === "" ? undefined : text;
  });
  expect(reply).toEndWith("served");
  const remote = proxy.ended[0]?.downstream.remoteAddress ?? "";
  expect(proxy.ended[0]?.downstream.localAddress).toBe(`127.0.0.1:${port}`);
  expect(remote).toStartWith("127.0.0.1:");
});

test("one that is required and absent, or malformed, closes the connection", async () => {
  using application = startApplication();
  using proxy = await inbound(application.port, "REQUIRED");
  for (const bytes of [GET, "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", `PROXY TCP4 ${"1".repeat(200)}`]) {
    expect(await exchangeRaw(proxy.port, bytes)).toMatchObject({ text: "", isClosed: true });
  }
  expect(proxy.metrics.connectionFaults.inbound.get("proxy_protocol")).toBe(3);
  const header = "PROXY TCP4 198.51.100.7 203.0.113.9 5000 80\r\n";
  // In pieces, the last of which holds the rest of the header and the request.
  expect(
    (await exchangeRaw(proxy.port, [header.slice(0, 3), header.slice(3, 20), `${header.slice(20)}${GET}`])).text,
  ).toEndWith("served");
  expect(proxy.ended[0]?.downstream).toMatchObject({ remoteIp: "198.51.100.7", remoteAddress: "198.51.100.7:5000" });
  expect(proxy.lines[0]).toContain(" 203.0.113.9:80 198.51.100.7:5000 ");
});

test("one that is optional may be absent; where it is off it is no request", async () => {
  using application = startApplication();
  using optional = await inbound(application.port, "OPTIONAL");
  expect((await exchangeRaw(optional.port, GET)).text).toEndWith("served");
  expect((await exchangeRaw(optional.port, `PROXY UNKNOWN\r\n${GET}`)).text).toEndWith("served");
  using off = await startServing({ inbound: {} }, { address: "127.0.0.1", applicationPort: application.port });
  const reply = await exchangeRaw(off.port, `PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n${GET}`);
  expect(reply.text).not.toContain("served");
});

/** HAProxy that takes a header and says whom it names. */
async function behind(folder: { file(name: string): string }, port: number): Promise<Program> {
  const config = `frontend f\n mode http\n bind 127.0.0.1:${port} accept-proxy\n http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port]"\n`;
  return startHaproxy(folder.file("behind.cfg"), config, port);
}

test.each(["V1", "V2"])("to HAProxy, version %s", async (version) => {
  await using folder = await makeTempFolder();
  const [port = 0] = freePorts(1);
  await using haproxy = await behind(folder, port);
  haproxy.assertRunning();
  using proxy = await startServing({
    clusters: [{ name: "up", endpoints: [{ address: "127.0.0.1", port }], proxyProtocol: { version } }],
    outbound: { proxyProtocol: "OPTIONAL", tcpRoutes: [{ destinations: [{ cluster: "up" }] }] },
  });
  // The listener's port is known now: what comes is TCP, although it looks like HTTP.
  await proxy.apply({
    clusters: [{ name: "up", endpoints: [{ address: "127.0.0.1", port }], proxyProtocol: { version } }],
    outbound: {
      ports: [{ port: proxy.port, protocol: "tcp" }],
      proxyProtocol: "OPTIONAL",
      tcpRoutes: [{ destinations: [{ cluster: "up" }] }],
    },
  });
  const reply = await exchangeRaw(proxy.port, `PROXY TCP4 198.51.100.7 203.0.113.9 5000 80\r\n${GET}`);
  expect(reply.text).toEndWith("198.51.100.7:5000");
  const six = await exchangeRaw(proxy.port, `PROXY TCP6 2001:db8::7 2001:db8::9 5000 80\r\n${GET}`);
  expect(six.text).toEndWith("2001:db8::7:5000");
});
