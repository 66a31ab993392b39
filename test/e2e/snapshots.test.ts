// The examples of docs/snapshots.md do what is said there: each runs in a sidecar, with its ports and files put in.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { GRPC_SERVER } from "../conformance/interop-programs.ts";
import { makeAuthority, type CertificateFiles } from "../harness/authority.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { ROOT, startProxy, type ProxyPorts, type RunningProxy } from "../harness/proxy.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const document = await Bun.file(join(ROOT, "docs/snapshots.md")).text();
const examples = new Map(
  [...document.matchAll(/^```yaml\n# (\S+)\n([\s\S]*?)^```$/gmu)].map(([, name = "", text = ""]) => [name, text]),
);
const owned = new AsyncDisposableStack();
let folder: TempFolder;
let client: CertificateFiles;
/** Ports of the applications, by the ports that the examples give them. */
let applications: Readonly<Record<"9080" | "9443" | "6379", number>>;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  const authority = await makeAuthority(folder);
  const names = "DNS:localhost,DNS:reviews.example.com,URI:spiffe://cluster.local/ns/default/sa/reviews";
  const server = await authority.issue("server", names);
  client = await authority.issue("client", "URI:spiffe://cluster.local/ns/default/sa/productpage");
  const files = { server, client };
  for (const [name, { certificate, privateKey }] of Object.entries(files)) {
    await Bun.write(folder.file(`${name}.pem`), Bun.file(certificate));
    await Bun.write(folder.file(`${name}.key`), Bun.file(privateKey));
  }
  const listen = { hostname: "127.0.0.1", port: 0 };
  const plain = Bun.serve({ ...listen, http2: true, fetch: answer });
  const tls = { cert: Bun.file(server.certificate), key: Bun.file(server.privateKey) };
  const secure = Bun.serve({ ...listen, tls, fetch: answer });
  const echo = Bun.listen({ ...listen, socket: { data: (socket, bytes) => void socket.write(bytes) } });
  owned.defer(async () => {
    await Promise.all([plain.stop(true), secure.stop(true)]);
    echo.stop(true);
  });
  applications = { "9080": plain.port ?? 0, "9443": secure.port ?? 0, "6379": echo.port };
});
afterAll(() => owned.disposeAsync());

function answer(request: Request): Response {
  return new Response(`application ${new URL(request.url).pathname}`);
}

/** Flags of curl that show a certificate. */
function as({ certificate, privateKey }: CertificateFiles): readonly string[] {
  return ["--cert", certificate, "--key", privateKey];
}

/** A sidecar with an example. */
async function run(name: string, direction: "inbound" | "outbound", applicationPort?: number): Promise<RunningProxy> {
  const text = examples.get(name);
  if (text === undefined) throw new Error(`docs/snapshots.md has no ${name}`);
  const given = ({ inboundPort, outboundPort }: Required<ProxyPorts>): unknown => {
    const ports: Readonly<Record<string, number>> = { ...applications, "8080": inboundPort, "15001": outboundPort };
    const numbered = text.replaceAll(/\b(?:9080|9443|6379|8080|15001)\b/gu, (port) => String(ports[port]));
    return Bun.YAML.parse(numbered.replaceAll("/etc/vespid/", `${folder.path}/`).replaceAll("10.0.0.7", "127.0.0.1"));
  };
  return startProxy({
    service: "reviews",
    cwd: folder.path,
    accessLog: folder.file(`${name}.log`),
    flags: ["--state", folder.file(`${name}-state`)],
    snapshot: given,
    ...(direction === "inbound" ? { applicationPort: applicationPort ?? applications["9080"] } : { hasOutbound: true }),
  });
}

async function curl(...args: readonly string[]): Promise<string> {
  return (await runProgram(["curl", "-s", "--cacert", folder.file("ca.pem"), ...args])).stdout;
}

const VERSION = ["-w", " %{http_version} %{http_code}"];

test("every example is tried here", () => {
  const tried = ["tls", "mtls", "routes", "sni", "tcp", "proxy-protocol", "grpc-web", "http"];
  expect([...examples.keys()]).toEqual(tried.map((name) => `${name}.yaml`));
});

test("tls.yaml ends TLS, and agrees to HTTP/1.1", async () => {
  await using proxy = await run("tls.yaml", "inbound");
  expect(await curl(...VERSION, `https://localhost:${proxy.inboundPort}/a`)).toBe("application /a 1.1 200");
});

test("mtls.yaml serves who has the name, and nobody else", async () => {
  await using proxy = await run("mtls.yaml", "inbound");
  const url = `https://localhost:${proxy.inboundPort}/a`;
  expect(await curl(...as(client), ...VERSION, url)).toBe("application /a 2 200");
  const server = { certificate: folder.file("server.pem"), privateKey: folder.file("server.key") };
  expect(await curl(...as(server), ...VERSION, url)).toEndWith(" 000");
  expect(await curl(...VERSION, url)).toEndWith(" 000");
});

test("routes.yaml goes by path, in HTTP/2 and over TLS", async () => {
  await using proxy = await run("routes.yaml", "outbound");
  const ask = (path: string): Promise<string> =>
    curl("-H", "Host: reviews", `http://127.0.0.1:${proxy.outboundPort}${path}`);
  expect([await ask("/api/x"), await ask("/apiary")]).toEqual(["application /api/x", "application /apiary"]);
  const lines = [` "127.0.0.1:${applications["9443"]}" secure `, ` "127.0.0.1:${applications["9080"]}" plain `];
  await until("the access log to say where both went", async () => {
    const log = await Bun.file(folder.file("routes.yaml.log")).text();
    return lines.every((line) => log.includes(line)) ? true : undefined;
  });
});

test("sni.yaml passes TLS on by its name", async () => {
  await using proxy = await run("sni.yaml", "outbound");
  const resolved = ["--resolve", `reviews.example.com:${proxy.outboundPort}:127.0.0.1`];
  expect(await curl(...resolved, `https://reviews.example.com:${proxy.outboundPort}/a`)).toBe("application /a");
});

test("tcp.yaml passes bytes on, after a PROXY protocol header", async () => {
  await using proxy = await run("tcp.yaml", "outbound");
  const { text } = await exchangeRaw(proxy.outboundPort, "PING\r\n", (heard) => heard.includes("PING"));
  expect(text).toMatch(/^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\nPING\r\n$/u);
});

test("proxy-protocol.yaml takes the header, and nothing without one", async () => {
  await using proxy = await run("proxy-protocol.yaml", "inbound");
  const url = `http://127.0.0.1:${proxy.inboundPort}/a`;
  expect(await curl("--haproxy-protocol", url)).toBe("application /a");
  expect(await curl(...VERSION, url)).toEndWith(" 000");
});

test("grpc-web.yaml translates a browser's call", async () => {
  await using server = startProgram(["node", "-e", GRPC_SERVER], { cwd: ROOT });
  const [, port] = await server.printed(/LISTENING (\d+)/u);
  await using proxy = await run("grpc-web.yaml", "inbound", Number(port));
  const reply = await fetch(`http://127.0.0.1:${proxy.inboundPort}/echo.Echo/Unary`, {
    method: "POST",
    body: new Uint8Array([0, 0, 0, 0, 2, 104, 105]),
    headers: { "content-type": "application/grpc-web+proto" },
  });
  const text = await reply.text();
  expect(text).toStartWith("\0\0\0\0\u0002hi");
  expect(text).toContain("grpc-status: 0");
});

test("http.yaml spells paths one way and bounds bodies", async () => {
  await using proxy = await run("http.yaml", "inbound");
  const url = `http://127.0.0.1:${proxy.inboundPort}`;
  expect(await curl(`${url}//a%2fb`)).toBe("application /a/b");
  await Bun.write(folder.file("large"), "x".repeat(1_048_577));
  expect(await curl(...VERSION, "--data-binary", `@${folder.file("large")}`, "-o", "/dev/null", url)).toEndWith(" 413");
});
