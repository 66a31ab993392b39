// gRPC-Web through a sidecar to a gRPC server that knows nothing of it, and what the proxy itself says to gRPC's clients.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { runProgram, startProgram } from "../harness/program.ts";
import { ROOT, startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { GRPC_SERVER } from "./interop-programs.ts";

setDefaultTimeout(60_000);

const owned = new AsyncDisposableStack();
/** Inbound ports: before the gRPC server, before a port where nobody listens, before a server that never answers. */
const ports = { web: 0, dead: 0, silent: 0 };

beforeAll(async () => {
  const folder = owned.use(await makeTempFolder());
  const server = owned.use(startProgram(["node", "-e", GRPC_SERVER], { cwd: ROOT }));
  const applicationPort = Number((await server.printed(/LISTENING (\d+)/u))[1]);
  const before = async (service: string, port: number): Promise<number> => {
    const proxy = await startProxy({
      service,
      applicationPort: port,
      cwd: folder.path,
      accessLog: folder.file(`${service}.log`),
      snapshot: ({ inboundPort }) => ({ inbound: { ports: [{ port: inboundPort, protocol: "grpc-web" }] } }),
    });
    return owned.use(proxy).inboundPort;
  };
  ports.web = await before("web", applicationPort);
  ports.dead = await before("dead", 1);
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  owned.defer(() => silent.stop(true));
  ports.silent = await before("silent", silent.port);
});

afterAll(() => owned.disposeAsync());

/** A message as gRPC frames it. */
function framed(text: string): Buffer {
  const frame = Buffer.alloc(5 + text.length);
  frame.writeUInt32BE(text.length, 1);
  frame.write(text, 5, "latin1");
  return frame;
}

/** The frames of a reply: flag and text of each. */
function readFrames(bytes: Buffer): readonly (readonly [number, string])[] {
  const frames: (readonly [number, string])[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    frames.push([bytes[at] ?? -1, bytes.toString("latin1", at + 5, end)]);
    at = end;
  }
  return frames;
}

function call(
  method: string,
  body: Uint8Array<ArrayBuffer> | string,
  type: string,
  port = ports.web,
): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/echo.Echo/${method}`, {
    method: "POST",
    body,
    headers: { "content-type": type, "x-grpc-web": "1" },
  });
}

describe("gRPC-Web over HTTP/1.1", () => {
  test("a call and its trailers, binary", async () => {
    const reply = await call("Unary", new Uint8Array(framed("hello")), "application/grpc-web+proto");
    expect(reply.headers.get("content-type")).toBe("application/grpc-web+proto");
    const [message, trailers, ...rest] = readFrames(Buffer.from(await reply.arrayBuffer()));
    expect(message).toEqual([0, "hello"]);
    expect(trailers?.[0]).toBe(0x80);
    expect(trailers?.[1]).toContain("grpc-status: 0\r\n");
    expect(rest).toEqual([]);
  });

  test("a stream of messages, as text", async () => {
    const reply = await call("Repeat", framed("again").toString("base64"), "application/grpc-web-text");
    expect(reply.headers.get("content-type")).toBe("application/grpc-web-text+proto");
    const frames = readFrames(Buffer.from(await reply.text(), "base64"));
    expect(frames.map(([flag, text]) => (flag === 0 ? text : flag))).toEqual(["again", "again", "again", 0x80]);
  });

  test("a status of the application's, which has no body", async () => {
    const reply = await call("Refuse", new Uint8Array(framed("x")), "application/grpc-web");
    const frames = readFrames(Buffer.from(await reply.arrayBuffer()));
    const status = reply.headers.get("grpc-status") ?? /grpc-status: (\d+)/u.exec(frames.at(-1)?.[1] ?? "")?.[1];
    expect(status).toBe("9");
  });

  test("an upstream that is not there", async () => {
    const reply = await call("Unary", new Uint8Array(framed("x")), "application/grpc-web", ports.dead);
    expect([reply.status, reply.headers.get("grpc-status"), await reply.text()]).toEqual([503, "14", ""]);
  });
});

/** What grpc-js makes of a unary call that fails: code and details. */
async function failure(port: number, deadlineMs: number): Promise<unknown> {
  const source = `
const grpc = require("@grpc/grpc-js");
const pass = (x) => x;
const client = new grpc.Client("127.0.0.1:${port}", grpc.credentials.createInsecure());
const options = { deadline: Date.now() + ${deadlineMs} };
client.makeUnaryRequest("/echo.Echo/Unary", pass, pass, Buffer.from("x"), new grpc.Metadata(), options, (error) => {
  console.log(JSON.stringify([error?.code, error?.details]));
  client.close();
});`;
  const { status, stdout } = await runProgram(["node", "-e", source], { cwd: ROOT });
  expect(status).toBe(0);
  return JSON.parse(stdout);
}

describe("to a gRPC client the proxy says", () => {
  test("UNAVAILABLE where the upstream cannot be reached", async () => {
    expect(await failure(ports.dead, 20_000)).toEqual([
      14,
      "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
    ]);
  });

  test("that time is up, when grpc-timeout is, and cuts the upstream's work", async () => {
    const reply = await runProgram(
      [
        "curl",
        "-s",
        "-i",
        "--http2-prior-knowledge",
        "--max-time",
        "10",
        "-X",
        "POST",
        "-H",
        "grpc-timeout: 100m",
      ].concat("-H", "content-type: application/grpc", `http://127.0.0.1:${ports.silent}/echo.Echo/Unary`),
      { cwd: ROOT },
    );
    expect(reply.stdout).toContain("grpc-status: 14");
    expect(reply.stdout).toContain("grpc-message: upstream request timeout");
  });
});
