// TLS from downstream and to upstream, with openssl, curl and nginx on the other side.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { connect as connectPlain } from "node:net";
import { makeAuthority, type CertificateFiles, type TestAuthority } from "../harness/authority.ts";
import { freePort } from "../harness/ports.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

let folder: TempFolder;
let mesh: TestAuthority;
let stranger: TestAuthority;
let files: Record<"a" | "b" | "wild" | "server" | "client" | "other" | "expired" | "strange", CertificateFiles>;
const SERVER = "spiffe://cluster.local/ns/default/sa/reviews";
const CLIENT = "spiffe://cluster.local/ns/default/sa/productpage";

beforeAll(async () => {
  folder = await makeTempFolder();
  [mesh, stranger] = await Promise.all([makeAuthority(folder, "mesh"), makeAuthority(folder, "stranger")]);
  const issued = {
    a: await mesh.issue("a", "DNS:a.test"),
    b: await mesh.issue("b", "DNS:b.test"),
    wild: await mesh.issue("wild", "DNS:*.wild.test"),
    server: await mesh.issue("server", `URI:${SERVER}`),
    client: await mesh.issue("client", `URI:${CLIENT}`),
    other: await mesh.issue("other", "URI:spiffe://cluster.local/ns/default/sa/other"),
    expired: await mesh.issue("expired", `URI:${CLIENT}`, -1),
    strange: await stranger.issue("strange", `URI:${CLIENT}`),
  };
  files = issued;
});
afterAll(() => folder[Symbol.asyncDispose]());

function shown({ certificate, privateKey }: CertificateFiles): object {
  return { serverCertificate: certificate, privateKey };
}

function identityOf({ certificate, privateKey }: CertificateFiles): object {
  return { certificateChain: certificate, privateKey, rootCertificates: mesh.root };
}

/** An application that says what reached it. */
function startApplication(): Disposable & { readonly port: number } {
  // Inbound, the application is spoken to as the client spoke.
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    http2: true,
    fetch: (request) =>
      new Response(`${request.headers.get("x-forwarded-proto") ?? "none"} ${new URL(request.url).pathname}`),
  });
  return { port: server.port ?? 0, [Symbol.dispose]: () => void server.stop(true) };
}

function inbound(port: number, snapshot: object): Promise<ServingUnderTest> {
  return startServing(snapshot, { address: "127.0.0.1", applicationPort: port });
}

async function curl(port: number, host: string, ...more: readonly string[]): Promise<string> {
  const args = ["curl", "-sS", "--cacert", mesh.root, "--resolve", `${host}:${port}:127.0.0.1`, ...more];
  return (await runProgram([...args, `https://${host}:${port}/path`])).output;
}

function clientCertificate({ certificate, privateKey }: CertificateFiles): readonly string[] {
  return ["--cert", certificate, "--key", privateKey];
}

function simple(certificate: CertificateFiles): object {
  return { inbound: { tls: { mode: "SIMPLE", certificates: [shown(certificate)] } } };
}

describe("a certificate", () => {
  test("is chosen by name, the first where none fits", async () => {
    using application = startApplication();
    const certificates = [files.a, files.b, files.wild].map(shown);
    using proxy = await inbound(application.port, { inbound: { tls: { mode: "SIMPLE", certificates } } });
    for (const host of ["a.test", "b.test", "x.wild.test"]) {
      expect(await curl(proxy.port, host)).toBe("https /path");
    }
    expect(await curl(proxy.port, "c.test")).toContain("no alternative certificate subject name matches");
    const subject = await runProgram([
      "sh",
      "-c",
      `openssl s_client -connect 127.0.0.1:${proxy.port} -noservername </dev/null`,
    ]);
    expect(subject.output).toContain("subject=CN = a\n");
  });

  test("that is swapped shows in new connections, and old ones go on", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, simple(files.a));
    const old = await secure(proxy.port, { servername: "a.test" });
    const ask = async (): Promise<void> => {
      const before = old.text.length;
      old.socket.write("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n");
      await until("a reply on the old connection", () =>
        old.text.slice(before).includes("https /kept") ? true : undefined,
      );
    };
    await ask();
    expect(await proxy.apply(simple(files.b))).toEqual([]);
    await ask();
    expect(await curl(proxy.port, "b.test")).toBe("https /path");
    expect(await curl(proxy.port, "a.test")).toContain("no alternative certificate subject name matches");
    await ask();
    old.socket.destroy();
  });

  test("is swapped again and again under requests, and none is lost", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, simple(files.a));
    const kept = await Promise.all(Array.from({ length: 8 }, () => secure(proxy.port, { servername: "a.test" })));
    for (let turn = 1; turn <= 10; turn++) {
      for (const { socket } of kept) socket.write("GET /turn HTTP/1.1\r\nHost: a\r\n\r\n");
      const [problems, fresh] = await Promise.all([
        proxy.apply(simple(turn % 2 === 0 ? files.a : files.b)),
        secure(proxy.port, { servername: "a.test" }),
      ]);
      expect(problems).toEqual([]);
      expect(fresh.socket.getPeerCertificate().subject.CN).toMatch(/^[ab]$/u);
      fresh.socket.destroy();
      await until(`every reply of turn ${turn}`, () =>
        kept.every(({ text }) => text.split("https /turn").length === turn + 1) ? true : undefined,
      );
    }
    for (const { socket } of kept) socket.destroy();
  });

  test("on a port declared https is for HTTP", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, simple(files.a));
    const tls = { mode: "SIMPLE", certificates: [shown(files.a)] };
    await proxy.apply({ inbound: { tls, ports: [{ port: proxy.port, protocol: "https" }] } });
    expect(await curl(proxy.port, "a.test")).toBe("https /path");
  });

  test("that cannot be used changes nothing, and its key is not told", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, {
      inbound: { tls: { mode: "SIMPLE", certificates: [shown(files.a)] } },
    });
    const mixed = { serverCertificate: files.a.certificate, privateKey: files.b.privateKey };
    const problems = await proxy.apply({ inbound: { tls: { mode: "SIMPLE", certificates: [mixed] } } });
    const message = "cannot be used: the private key is not that of the certificate";
    expect(problems).toEqual([{ path: "inbound.tls.certificates[0]", message }]);
    const missing = { ...mixed, privateKey: folder.file("nowhere.key") };
    expect(await proxy.apply({ inbound: { tls: { mode: "SIMPLE", certificates: [missing] } } })).toMatchObject([
      { path: "inbound.tls.certificates[0].privateKey" },
    ]);
    expect(await curl(proxy.port, "a.test")).toBe("https /path");
  });
});

/** A TLS client, with what came back. */
async function secure(
  port: number,
  options: object,
): Promise<{ readonly socket: TLSSocket; text: string; isClosed: boolean }> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options });
  const client = { socket, text: "", isClosed: false };
  let isSecure = false;
  socket.on("secureConnect", () => (isSecure = true));
  socket.on("data", (chunk: Buffer) => (client.text += chunk.toString("latin1")));
  socket.on("error", () => undefined);
  socket.on("close", () => (client.isClosed = true));
  await until("a handshake or its failure", () => (isSecure || client.isClosed ? true : undefined));
  return client;
}

describe("HTTP over TLS", () => {
  test("is HTTP/2 where the client offers it, HTTP/1.1 where not, and found by its bytes without ALPN", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, {
      inbound: { tls: { mode: "SIMPLE", certificates: [shown(files.a)] } },
    });
    const version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    expect(await curl(proxy.port, "a.test", "--http2", ...version)).toBe("2 200");
    expect(await curl(proxy.port, "a.test", "--http1.1", ...version)).toBe("1.1 200");
    expect(await curl(proxy.port, "a.test", "--no-alpn", ...version)).toBe("1.1 200");
    expect(proxy.ended.map(({ scheme }) => scheme)).toEqual(["https", "https", "https"]);
    expect(proxy.ended[0]?.downstream.tls).toMatchObject({ serverName: "a.test", version: "TLSv1.3", principal: "" });
    expect(proxy.lines[0]).toContain(" a.test ");
  });

  test("is HTTP/1.1 on a port declared http, where the client would take either", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, {});
    const tls = { mode: "SIMPLE", certificates: [shown(files.a)] };
    await proxy.apply({ inbound: { tls, ports: [{ port: proxy.port, protocol: "http" }] } });
    const version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
    expect(await curl(proxy.port, "a.test", "--http2", ...version)).toBe("1.1 200");
    await proxy.apply({ inbound: { tls } });
    expect(await curl(proxy.port, "a.test", "--http2", ...version)).toBe("2 200");
  });

  test("has the versions that configuration allows", async () => {
    using application = startApplication();
    const tls = { mode: "SIMPLE", certificates: [shown(files.a)], minProtocolVersion: "TLSV1_3" };
    using proxy = await inbound(application.port, { inbound: { tls } });
    expect(await curl(proxy.port, "a.test", "--tls-max", "1.2")).toMatch(/alert|SSL/u);
    expect(await curl(proxy.port, "a.test")).toBe("https /path");
  });

  test("sent byte by byte is served", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, {
      inbound: { tls: { mode: "SIMPLE", certificates: [shown(files.a)] } },
    });
    using slow = startDribble(proxy.port);
    const client = await secure(slow.port, { servername: "a.test" });
    client.socket.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    await until("the reply", () => (client.text.includes("https /slow") ? true : undefined));
    client.socket.destroy();
  });

  test("that is no TLS after all is closed and counted, and so is plaintext", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, {
      inbound: { tls: { mode: "SIMPLE", certificates: [shown(files.a)] } },
    });
    expect(await exchangeRaw(proxy.port, "\u0016\u0003\u0001\u0000\u0005\u0001aaaa")).toMatchObject({
      text: "",
      isClosed: true,
    });
    const hello = Buffer.from("16030100070100000303030303", "hex").toString("latin1");
    expect((await exchangeRaw(proxy.port, hello)).isClosed).toBe(true);
    expect(await exchangeRaw(proxy.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")).toMatchObject({
      text: "",
      isClosed: true,
    });
    const faults = proxy.metrics.connectionFaults.inbound;
    expect(faults.get("plaintext")).toBe(1);
    expect(faults.get("tls_error")).toBe(2);
    expect(await curl(proxy.port, "a.test")).toBe("https /path");
  });

  test("of a client that stops in the handshake is closed in time", async () => {
    using application = startApplication();
    const tls = { mode: "SIMPLE", certificates: [shown(files.a)], handshakeTimeoutMs: "100ms" };
    using proxy = await inbound(application.port, { inbound: { tls } });
    using hold = startFirstFlight(proxy.port);
    const client = connect({ host: "127.0.0.1", port: hold.port, rejectUnauthorized: false });
    client.on("error", () => undefined);
    await until("the count", () => proxy.metrics.connectionFaults.inbound.get("tls_timeout"));
    expect(proxy.serving.listeners[0]?.connections.size).toBe(0);
    client.destroy();
  });
});

/** A relay that passes the client's bytes on one at a time. */
function startDribble(target: number): Disposable & { readonly port: number } {
  return startRelay(target, (chunk, write) => {
    for (const byte of chunk) write(Buffer.from([byte]));
  });
}

/** A relay that passes the client's first flight on and nothing after it. */
function startFirstFlight(target: number): Disposable & { readonly port: number } {
  let flights = 0;
  return startRelay(target, (chunk, write) => {
    if (flights++ === 0) write(chunk);
  });
}

function startRelay(
  target: number,
  pass: (chunk: Buffer, write: (bytes: Buffer) => void) => void,
): Disposable & { readonly port: number } {
  const listener = Bun.listen<{ upstream: ReturnType<typeof connectPlain> }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const upstream = connectPlain({ host: "127.0.0.1", port: target, noDelay: true });
        socket.data = { upstream };
        upstream.on("data", (chunk) => socket.write(chunk));
        upstream.on("error", () => undefined);
        upstream.on("close", () => socket.end());
      },
      data: (socket, chunk) => pass(Buffer.from(chunk), (bytes) => void socket.data.upstream.write(bytes)),
      close: (socket) => void socket.data.upstream.destroy(),
    },
  });
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

async function load({ certificate, privateKey }: CertificateFiles): Promise<object> {
  return { cert: await Bun.file(certificate).text(), key: await Bun.file(privateKey).text() };
}

describe("mesh TLS", () => {
  const MESH = ["istio-http/1.1", "istio", "http/1.1"];

  async function ask(port: number, options: object): Promise<{ text: string; isClosed: boolean }> {
    const client = await secure(port, { ALPNProtocols: MESH, ...options });
    client.socket.write("GET /mesh HTTP/1.1\r\nHost: a\r\n\r\n");
    await until("a reply or the end", () => (client.text.includes("/mesh") || client.isClosed ? true : undefined));
    client.socket.destroy();
    return client;
  }

  test("STRICT lets in who shows a certificate of the mesh, and nobody else", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, {
      identity: identityOf(files.server),
      inbound: { tls: { mode: "STRICT" } },
    });
    expect((await ask(proxy.port, await load(files.client))).text).toContain("https /mesh");
    expect(proxy.ended[0]?.downstream.tls?.principal).toBe(CLIENT.slice("spiffe://".length));
    for (const bad of [{}, await load(files.strange), await load(files.expired)]) {
      expect((await ask(proxy.port, bad)).text).toBe("");
    }
    expect((await exchangeRaw(proxy.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")).text).toBe("");
    expect(proxy.ended).toHaveLength(1);
    const [series] = [...proxy.metrics.requests.values()];
    expect(series?.labels).toContain(`source_principal="${CLIENT}"`);
    expect(series?.labels).toContain('connection_security_policy="mutual_tls"');
  });

  test("is who may name its caller to the application; in plaintext nobody may", async () => {
    using application = startScriptedUpstream((connection) => {
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/mesh");
    });
    using proxy = await startServing(
      { identity: identityOf(files.server), inbound: { tls: { mode: "PERMISSIVE" } } },
      { address: "127.0.0.1", applicationPort: application.port },
    );
    const head =
      "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/x/sa/admin\r\n\r\n";
    await exchangeRaw(proxy.port, head, (text) => text.includes("/mesh"));
    const client = await secure(proxy.port, { ALPNProtocols: MESH, ...(await load(files.client)) });
    client.socket.write(head);
    await until("a reply", () => (client.text.includes("/mesh") ? true : undefined));
    client.socket.destroy();
    const heads = application.connections.flatMap(({ received }) => received.split("\r\n\r\n").slice(0, -1));
    const [plain, secured] = heads.map((one) => /\r\nx-forwarded-client-cert: ([^\r]*)/iu.exec(one)?.[1]);
    expect(plain).toBeUndefined();
    const own = SERVER.replaceAll(".", "\\.");
    expect(secured).toMatch(
      new RegExp(
        `^URI=spiffe://cluster.local/ns/x/sa/admin,By=${own};Hash=[0-9a-f]{64};Subject="CN=client";URI=${CLIENT}$`,
        "u",
      ),
    );
  });

  test("STRICT with names lets in these alone", async () => {
    using application = startApplication();
    const tls = { mode: "STRICT", subjectAltNames: [CLIENT] };
    using proxy = await inbound(application.port, { identity: identityOf(files.server), inbound: { tls } });
    expect((await ask(proxy.port, await load(files.client))).text).toContain("https /mesh");
    expect((await ask(proxy.port, await load(files.other))).text).toBe("");
    expect(proxy.metrics.connectionFaults.inbound.get("tls_san")).toBe(1);
  });

  test("PERMISSIVE serves both, and passes an application's own TLS on", async () => {
    // nginx ends its own TLS behind the proxy, and is asked in plaintext for everything else.
    const [plain, port] = [freePort(), freePort()];
    await using nginx = await startTlsNginx(port, plain, files.b);
    using proxy = await startServing(
      { identity: identityOf(files.server), inbound: { tls: { mode: "PERMISSIVE" } } },
      { address: "127.0.0.1", applicationPort: port },
    );
    nginx.assertRunning();
    expect(await curl(proxy.port, "b.test", "--http1.1")).toContain("own tls");
    await until("the session", () => proxy.sessions[0]);
    expect(proxy.sessions[0]).toMatchObject({ serverName: "b.test", flags: "-" });
    expect((await ask(proxy.port, {})).text).toBe("");
  });

  test("PERMISSIVE and plaintext", async () => {
    using application = startApplication();
    using proxy = await inbound(application.port, {
      identity: identityOf(files.server),
      inbound: { tls: { mode: "PERMISSIVE" } },
    });
    const plain = await exchangeRaw(proxy.port, "GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect(plain.text).toContain("http /plain");
    expect((await ask(proxy.port, await load(files.client))).text).toContain("https /mesh");
  });

  test("OPTIONAL_MUTUAL checks what is shown", async () => {
    using application = startApplication();
    const tls = { mode: "OPTIONAL_MUTUAL", certificates: [shown(files.a)], caCertificates: mesh.root };
    using proxy = await inbound(application.port, { inbound: { tls } });
    expect(await curl(proxy.port, "a.test")).toBe("https /path");
    expect(await curl(proxy.port, "a.test", ...clientCertificate(files.client))).toBe("https /path");
    expect(await curl(proxy.port, "a.test", ...clientCertificate(files.strange))).not.toContain("/path");
  });
});

/** nginx with TLS on one port. */
async function startTlsNginx(port: number, plain: number, { certificate, privateKey }: CertificateFiles) {
  const file = folder.file(`nginx-${port}.conf`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder.file(`nginx-${kind}`)};`)
    .join(" ");
  await Bun.write(
    file,
    `user root; daemon off; worker_processes 1; pid ${folder.file(`nginx-${port}.pid`)}; error_log stderr warn;
events {} http { ${temporary} access_log off;
server { listen 127.0.0.1:${port} ssl; listen 127.0.0.1:${plain}; ssl_certificate ${certificate}; ssl_certificate_key ${privateKey};
location / { return 200 "own tls"; } } }`,
  );
  const nginx = startProgram(["nginx", "-e", "stderr", "-c", file]);
  await until("nginx to listen", async () =>
    (await exchangeRaw(plain, "GET / HTTP/1.0\r\n\r\n")).text === "" ? undefined : true,
  );
  return nginx;
}

/** What reached an upstream. */
interface Seen {
  bytes: number;
  principal: string;
  alpn: unknown;
  serverName: unknown;
}

/** An upstream that ends TLS, and counts the bytes of requests that reached it. */
async function startUpstream(
  certificate: CertificateFiles,
  options: object = {},
): Promise<Disposable & { readonly port: number; readonly seen: Seen }> {
  const seen: Seen = { bytes: 0, principal: "", alpn: "", serverName: "" };
  const sockets = new Set<TLSSocket>();
  const server = createServer({ ...(await load(certificate)), ALPNProtocols: ["http/1.1"], ...options }, (socket) => {
    sockets.add(socket);
    seen.principal = socket.getPeerCertificate().subjectaltname ?? "";
    seen.alpn = socket.alpnProtocol;
    seen.serverName = socket.servername;
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      seen.bytes += chunk.length;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    seen,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A snapshot whose outbound side sends every request to one cluster. */
function to(port: number, tls: object, more: object = {}, cluster: object = {}): object {
  return {
    ...more,
    clusters: [{ name: "up", endpoints: [{ address: "127.0.0.1", port }], tls, ...cluster }],
    outbound: { virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "up" }] }] }] },
  };
}

describe("TLS to upstream", () => {
  const GET = "GET / HTTP/1.1\r\nHost: up\r\nConnection: close\r\n\r\n";

  test.each([
    ["SIMPLE, the name of sni", "a", () => ({ mode: "SIMPLE", sni: "a.test", caCertificates: mesh.root })],
    [
      "SIMPLE, a name of subjectAltNames",
      "server",
      () => ({ mode: "SIMPLE", sni: "x", caCertificates: mesh.root, subjectAltNames: [SERVER] }),
    ],
    ["SIMPLE without any check", "strange", () => ({ mode: "SIMPLE", insecureSkipVerify: true })],
  ] as const)("is trusted: %s", async (_, name, tls) => {
    using upstream = await startUpstream(files[name]);
    using proxy = await startServing(to(upstream.port, tls()));
    expect((await exchangeRaw(proxy.port, GET)).text).toEndWith("ok");
    expect(upstream.seen.alpn).toBe("http/1.1");
  });

  test.each([
    ["another authority", "strange", () => ({ mode: "SIMPLE", caCertificates: mesh.root, subjectAltNames: [CLIENT] })],
    ["the system's authorities", "a", () => ({ mode: "SIMPLE", sni: "a.test" })],
    ["another name", "b", () => ({ mode: "SIMPLE", sni: "a.test", caCertificates: mesh.root })],
    ["another identity", "other", () => ({ mode: "SIMPLE", caCertificates: mesh.root, subjectAltNames: [SERVER] })],
    [
      "an expired certificate",
      "expired",
      () => ({ mode: "SIMPLE", caCertificates: mesh.root, subjectAltNames: [CLIENT] }),
    ],
    [
      "an expired certificate of another name",
      "expired",
      () => ({ mode: "SIMPLE", sni: "a.test", caCertificates: mesh.root }),
    ],
  ] as const)("is not: %s", async (_, name, tls) => {
    using upstream = await startUpstream(files[name]);
    using proxy = await startServing(to(upstream.port, tls()));
    const reply = await exchangeRaw(proxy.port, GET);
    expect(reply.text).toStartWith("HTTP/1.1 503 ");
    expect(reply.text).not.toMatch(/CERTIFICATE|OPENSSL/u);
    expect(proxy.lines[0]).toContain(" 503 UF ");
    expect(upstream.seen.bytes).toBe(0);
  });

  test("MUTUAL shows a certificate, ISTIO_MUTUAL the proxy's own", async () => {
    const options = { requestCert: true, rejectUnauthorized: true, ca: await Bun.file(mesh.root).text() };
    using upstream = await startUpstream(files.server, options);
    const { certificate, privateKey } = files.other;
    const mutual = {
      mode: "MUTUAL",
      clientCertificate: certificate,
      privateKey,
      caCertificates: mesh.root,
      subjectAltNames: [SERVER],
    };
    using first = await startServing(to(upstream.port, mutual));
    expect((await exchangeRaw(first.port, GET)).text).toEndWith("ok");
    expect(upstream.seen.principal).toBe("URI:spiffe://cluster.local/ns/default/sa/other");
    const istio = {
      mode: "ISTIO_MUTUAL",
      sni: "outbound_.80_._.reviews.default.svc.cluster.local",
      subjectAltNames: [SERVER],
    };
    using second = await startServing(to(upstream.port, istio, { identity: identityOf(files.client) }));
    expect((await exchangeRaw(second.port, GET)).text).toEndWith("ok");
    expect(upstream.seen).toMatchObject({ principal: `URI:${CLIENT}`, serverName: istio.sni });
    const without = { mode: "SIMPLE", caCertificates: mesh.root, subjectAltNames: [SERVER] };
    using third = await startServing(to(upstream.port, without));
    expect((await exchangeRaw(third.port, GET)).text).toStartWith("HTTP/1.1 503 ");
  });

  test("of a server that does not shake hands is given up, and its socket closed", async () => {
    let isClosed = false;
    using silent = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: () => undefined, close: () => void (isClosed = true) },
    });
    const tls = { mode: "SIMPLE", insecureSkipVerify: true };
    using proxy = await startServing(to(silent.port, tls, {}, { connectTimeoutMs: "100ms" }));
    expect((await exchangeRaw(proxy.port, GET)).text).toStartWith("HTTP/1.1 503 ");
    await until("the socket's end", () => (isClosed ? true : undefined));
  });

  test("between two sidecars: requests and TCP", async () => {
    using application = startApplication();
    using server = await inbound(application.port, {
      identity: identityOf(files.server),
      inbound: { tls: { mode: "STRICT" } },
    });
    const istio = {
      mode: "ISTIO_MUTUAL",
      sni: "outbound_.80_._.reviews.default.svc.cluster.local",
      subjectAltNames: [SERVER],
    };
    for (const protocol of ["http1", "http2", "auto"]) {
      const identity = identityOf(files.client);
      using client = await startServing(to(server.port, istio, { identity }, { protocol }));
      expect((await exchangeRaw(client.port, GET)).text).toEndWith("http /");
    }
    expect(server.ended.map(({ protocol }) => protocol)).toEqual(["HTTP/1.1", "HTTP/2", "HTTP/2"]);
    using echo = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket, chunk) => void socket.write(chunk) },
    });
    using far = await inbound(echo.port, { identity: identityOf(files.server), inbound: { tls: { mode: "STRICT" } } });
    using near = await startServing({
      identity: identityOf(files.client),
      clusters: [{ name: "up", endpoints: [{ address: "127.0.0.1", port: far.port }], tls: istio }],
      outbound: { tcpRoutes: [{ destinations: [{ cluster: "up" }] }] },
    });
    expect((await exchangeRaw(near.port, "\u0001echo", (text) => text.length === 5)).text).toBe("\u0001echo");
  });
});
