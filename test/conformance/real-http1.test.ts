// Programs that people run, before and behind the proxy: what scripts cannot show is what these really do.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { exchangeRaw } from "../harness/raw.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

function snapshotFor(port: number): unknown {
  return {
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "app" }] }] }],
    },
    clusters: [{ name: "app", endpoints: [{ address: "127.0.0.1", port }] }],
  };
}

/** Node: says what became of each request; `/early` answers before the body came, `/slow` not at all. */
const NODE = `
const server = require("node:http").createServer((request, reply) => {
  const say = (what) => console.log(what + " " + request.url);
  request.on("aborted", () => say("aborted"));
  if (request.url === "/slow") { request.resume(); return say("began"); }
  if (request.url === "/early") { reply.writeHead(403, { "content-length": 2 }); return reply.end("no"); }
  if (request.url === "/hints") reply.writeEarlyHints({ link: "</a.css>; rel=preload" });
  let bytes = 0;
  request.on("data", (chunk) => { bytes += chunk.length; });
  request.on("end", () => reply.end(request.method + " " + request.httpVersion + " " + bytes + " " + request.headers.host));
});
server.keepAliveTimeout = 1;
server.listen(0, "127.0.0.1", () => console.log("listening on " + server.address().port));`;

/** The same in Python, which reads no body that nobody asks it for. */
const PYTHON = `
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.send_response(403); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"no")
    def log_message(self, *rest): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("listening on %d" % server.server_port, flush=True)
server.serve_forever()`;

async function curl(proxy: ServingUnderTest, path: string, ...options: readonly string[]): Promise<string> {
  const { status, stdout, output } = await runProgram([
    "curl",
    "--silent",
    "--show-error",
    "--max-time",
    "20",
    ...options,
    `http://127.0.0.1:${proxy.port}${path}`,
  ]);
  return status === 0 ? stdout : `curl ended with ${status}: ${output}`;
}

test("curl, in its ways, through the proxy to Node", async () => {
  await using folder = await makeTempFolder();
  await using upstream = startProgram(["node", "-e", NODE]);
  const [, port = "0"] = await upstream.printed(/listening on (\d+)/u);
  using proxy = await startServing(snapshotFor(Number(port)));
  const host = `127.0.0.1:${proxy.port}`;
  await Bun.write(folder.file("large"), Buffer.alloc(3_000_000, "x"));
  expect(await curl(proxy, "/a")).toBe(`GET 1.1 0 ${host}`);
  expect(await curl(proxy, "/a", "--http1.0")).toBe(`GET 1.1 0 ${host}`);
  expect(await curl(proxy, "/a", "--http0.9", "--http1.0", "-d", "body")).toBe(`POST 1.1 4 ${host}`);
  expect(await curl(proxy, "/a", "-T", folder.file("large"))).toBe(`PUT 1.1 3000000 ${host}`);
  expect(await curl(proxy, "/a", "-T", folder.file("large"), "-H", "Transfer-Encoding: chunked")).toBe(
    `PUT 1.1 3000000 ${host}`,
  );
  expect(await curl(proxy, "/a", "-T", folder.file("large"), "-H", "Expect: 100-continue")).toBe(
    `PUT 1.1 3000000 ${host}`,
  );
  expect(await curl(proxy, "/hints", "-i")).toMatch(
    /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a\.css>; rel=preload\r\n/iu,
  );
  expect(await curl(proxy, "/early", "-T", folder.file("large"), "-i")).toMatch(/HTTP\/1\.1 403 Forbidden\r\n[^]*no$/u);
  expect(await curl(proxy, "/a", "-X", "OPTIONS", "--request-target", "*")).toBe(`OPTIONS 1.1 0 ${host}`);
});

test("a client that leaves ends the work of Node", async () => {
  await using upstream = startProgram(["node", "-e", NODE]);
  const [, port = "0"] = await upstream.printed(/listening on (\d+)/u);
  using proxy = await startServing(snapshotFor(Number(port)));
  const socket = connect({ host: "127.0.0.1", port: proxy.port });
  socket.write("POST /slow HTTP/1.1\r\nHost: app\r\nContent-Length: 100\r\n\r\nhalf");
  await upstream.printed(/began \/slow/u);
  socket.destroy();
  await upstream.printed(/aborted \/slow/u);
  expect(proxy.ended.map(({ flags }) => flags)).toEqual(["DC"]);
});

test.each([
  ["Python", () => startProgram(["python3", "-c", PYTHON])],
  ["Node", () => startProgram(["node", "-e", NODE])],
])("%s answers before an upload is over, and its reply arrives", async (_, start) => {
  await using upstream = start();
  const [, port = "0"] = await upstream.printed(/listening on (\d+)/u);
  using proxy = await startServing(snapshotFor(Number(port)));
  const head = "POST /early HTTP/1.1\r\nHost: app\r\nContent-Length: 20000000\r\n\r\n";
  const { text } = await exchangeRaw(proxy.port, [head, "x".repeat(100_000)], (soFar) => soFar.endsWith("no"));
  expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/u);
});

test("nginx answers before an upload is over, and its reply arrives", async () => {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "fine", locations: "client_max_body_size 10;" });
  using proxy = await startServing(snapshotFor(upstream.port));
  const head = "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 20000000\r\n\r\n";
  const { text } = await exchangeRaw(proxy.port, [head, "x".repeat(100_000)], (soFar) => soFar.includes("</html>"));
  expect(text).toStartWith("HTTP/1.1 413 ");
});

test("Node closes idle connections after a millisecond, and no request pays for it", async () => {
  await using upstream = startProgram(["node", "-e", NODE]);
  const [, port = "0"] = await upstream.printed(/listening on (\d+)/u);
  using proxy = await startServing(snapshotFor(Number(port)));
  const PUT = "PUT /a HTTP/1.1\r\nHost: app\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
  for (let turn = 0; turn < 200; turn++) {
    const { text } = await exchangeRaw(proxy.port, PUT);
    expect(text).toStartWith("HTTP/1.1 200 OK");
  }
  await until("all are told", () => proxy.ended.length === 200 || undefined);
  expect(new Set(proxy.ended.map(({ flags }) => flags))).toEqual(new Set(["-"]));
});

test("Python's http.client keeps one connection for requests of every kind", async () => {
  await using upstream = startProgram(["node", "-e", NODE]);
  const [, port = "0"] = await upstream.printed(/listening on (\d+)/u);
  using proxy = await startServing(snapshotFor(Number(port)));
  const script = `
import http.client
c = http.client.HTTPConnection("127.0.0.1", ${proxy.port})
for i in range(5):
    for method, body in (("GET", None), ("POST", b"x" * 100000), ("PUT", iter([b"a", b"b" * 5000])), ("HEAD", None)):
        c.request(method, "/a", body, encode_chunked=True)
        reply = c.getresponse()
        print(reply.status, reply.read().decode().split(" 127")[0])
`;
  const { stdout } = await runProgram(["python3", "-c", script]);
  expect(stdout).toBe("200 GET 1.1 0\n200 POST 1.1 100000\n200 PUT 1.1 5001\n200 \n".repeat(5));
  expect(new Set(proxy.ended.map(({ downstream }) => downstream.remoteAddress)).size).toBe(1);
});
