// Clients that other people wrote, through a sidecar: Python's http.client and h2, curl, nghttp, h2load, grpc-js and ws.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { runProgram, startProgram } from "../harness/program.ts";
import { ROOT, startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { GRPC_CLIENT, GRPC_SERVER, PYTHON_H2, PYTHON_HTTP, WS_CLIENT, WS_SERVER } from "./interop-programs.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
/** Inbound ports: before an HTTP/1.1 echo, before a WebSocket server, before a gRPC server. */
const ports = { http: 0, webSocket: 0, grpc: 0 };

beforeAll(async () => {
  const folder = owned.use(await makeTempFolder());
  const echo = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      const body = await request.bytes();
      const facts = { "x-method": request.method, "x-path": pathname + search, "x-bytes": String(body.length) };
      return new Response(body.length > 0 ? body : "nothing", { headers: facts });
    },
  });
  owned.defer(() => echo.stop(true));
  const node = async (source: string): Promise<number> => {
    const program = owned.use(startProgram(["node", "-e", source], { cwd: ROOT }));
    return Number((await program.printed(/LISTENING (\d+)/u))[1]);
  };
  const before = async (service: string, applicationPort: number, protocol: string): Promise<number> => {
    const endpoints = [{ address: "127.0.0.1", port: applicationPort }];
    const proxy = await startProxy({
      service,
      applicationPort,
      cwd: folder.path,
      accessLog: folder.file(`${service}.log`),
      snapshot: ({ inboundPort }) => ({ clusters: [{ name: `inbound|${inboundPort}||`, endpoints, protocol }] }),
    });
    return owned.use(proxy).inboundPort;
  };
  ports.http = await before("http", echo.port ?? 0, "http1");
  ports.webSocket = await before("websocket", await node(WS_SERVER), "http1");
  ports.grpc = await before("grpc", await node(GRPC_SERVER), "http2");
});

afterAll(() => owned.disposeAsync());

/** What a program printed; fails with all of it where it did not end well. */
async function run(...command: readonly string[]): Promise<string> {
  const { status, stdout, output } = await runProgram(command, { cwd: ROOT });
  expect({ status, output: status === 0 ? "" : output }).toEqual({ status: 0, output: "" });
  return stdout;
}

describe("HTTP/1.1", () => {
  test("Python's http.client: several requests on one connection, sized and chunked uploads", async () => {
    const seen: unknown = JSON.parse(await run("python3", "-c", PYTHON_HTTP, String(ports.http)));
    expect(seen).toEqual([
      [200, "GET", "/first?a=1", "nothing".length],
      [200, "POST", "/sized", 200_000],
      [200, "PUT", "/chunked", 300_000],
      [200, "HEAD", "/last", 0],
    ]);
  });

  test("curl: an upload that asks first", async () => {
    const flags = [
      "-sS",
      "--http1.1",
      "-H",
      "Expect: 100-continue",
      "-w",
      "%{http_code} %{size_download}",
      "-o",
      "/dev/null",
    ];
    const url = `http://127.0.0.1:${ports.http}/expect`;
    expect(await run("curl", ...flags, "--data-binary", "x".repeat(5000), url)).toBe("200 5000");
  });

  test("ws: text and binary messages both ways, a large one, ping, and the code of a close", async () => {
    const seen: unknown = JSON.parse(await run("node", "-e", WS_CLIENT, `ws://127.0.0.1:${ports.webSocket}/socket`));
    expect(seen).toEqual({ echoed: [5, 1, 70_000, 1_000_000], pong: "are you there", closed: [4001, "enough"] });
  });
});

describe("HTTP/2", () => {
  test("Python's h2: uploads above the window on several streams at once", async () => {
    const seen: unknown = JSON.parse(await run("python3", "-c", PYTHON_H2, String(ports.http)));
    expect(seen).toEqual([1, 3, 5, 7].map((stream) => [stream, "200", "POST", `/stream/${stream}`, 150_000]));
  });

  test("curl: by prior knowledge", async () => {
    const flags = [
      "-sS",
      "--http2-prior-knowledge",
      "-w",
      "%{http_code} %{http_version} %{size_download}",
      "-o",
      "/dev/null",
    ];
    const url = `http://127.0.0.1:${ports.http}/curl`;
    expect(await run("curl", ...flags, "--data-binary", "x".repeat(5000), url)).toBe("200 2 5000");
  });

  test("nghttp: a request of its own and its trailer", async () => {
    const output = await run(
      "nghttp",
      "-nv",
      "--trailer",
      "x-after: 1",
      "-d",
      "package.json",
      `http://127.0.0.1:${ports.http}/n`,
    );
    expect(output).toContain(":status: 200");
    expect(output).toContain("x-method: POST");
  });

  test("h2load: every request of many connections is answered", async () => {
    const output = await run("h2load", "-n", "2000", "-c", "20", "-m", "10", `http://127.0.0.1:${ports.http}/load`);
    expect(output).toContain("requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored");
    expect(output).toContain("status codes: 2000 2xx");
  });

  test("grpc-js: each kind of call, metadata, a status of the application's", async () => {
    const seen: unknown = JSON.parse(await run("node", "-e", GRPC_CLIENT, `127.0.0.1:${ports.grpc}`));
    expect(seen).toEqual({
      unary: [100_000, "kept"],
      clientStream: "3",
      serverStream: ["a", "a", "a"],
      both: ["one", "two", "three"],
      refused: [9, "not yet: 100%"],
    });
  });
});
