// Upgrades and CONNECT: what follows is bytes both ways, each direction with its own end, and nothing of it is ever read
// as a request.
import { describe, expect, test } from "bun:test";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { WebSocket, WebSocketServer, type RawData } from "ws";
import { builtPeer } from "../harness/built-peers.ts";
import { ready } from "../harness/peers.ts";
import { freePort } from "../harness/ports.ts";
import { startProgram } from "../harness/program.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

const UPGRADE = "GET /chat HTTP/1.1\r\nHost: app\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Id: 7\r\n\r\n";

function snapshotFor(port: number, listener: object = {}, protocol = "http1"): unknown {
  return {
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "app" }] }] }],
      ...listener,
    },
    clusters: [{ name: "app", endpoints: [{ address: "127.0.0.1", port }], protocol }],
  };
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error(`no port: ${String(address)}`);
  return address.port;
}

/** What a WebSocket message holds. */
function textOf(data: RawData): string {
  return (Array.isArray(data) ? Buffer.concat(data) : Buffer.from(new Uint8Array(data))).toString("latin1");
}

function when(what: string, holds: () => boolean): Promise<true> {
  return until(what, () => holds() || undefined);
}

/** An upstream whose connections a test drives by hand, half-open. */
async function startHalfOpen(onConnection: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: portOf(server.address()),
    sockets,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** A client's end of a tunnel through the proxy, and what came on it. */
function openClient(port: number, first: string) {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
  const state = { text: "", isEnded: false, isClosed: false, error: "" };
  socket.on("data", (chunk) => (state.text += chunk.toString("latin1")));
  socket.on("end", () => (state.isEnded = true));
  socket.on("close", () => (state.isClosed = true));
  socket.on("error", (error) => (state.error = error.message));
  socket.write(first);
  return { socket, state };
}

async function atRest(proxy: ServingUnderTest): Promise<void> {
  await when("nothing is under way", () => {
    const target = proxy.serving.generation?.targets.get("app");
    return (
      proxy.serving.generation?.exchanges() === 0 &&
      target?.cluster.activeRequests === 0 &&
      target.pool.openConnections === 0 &&
      proxy.serving.listeners[0]?.connections.size === 0
    );
  });
}

/** Answers the first head with 101 and then with what `after` does. */
function switching(after: (socket: Socket, first: string) => void): (socket: Socket) => void {
  return (socket) =>
    socket.once("data", (chunk) => {
      socket.write(SWITCH);
      after(socket, chunk.toString("latin1"));
    });
}

test("a WebSocket carries messages, pings and a close code both ways", async () => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket, request) => {
    socket.on("message", (data, isBinary) => socket.send(isBinary ? data : `${request.url} ${textOf(data)}`));
    socket.on("close", (code) => closes.push(code));
  });
  const closes: number[] = [];
  using proxy = await startServing(snapshotFor(portOf(server.address())));
  const client = new WebSocket(`ws://127.0.0.1:${proxy.port}/a/../chat?x=1`, ["v1"]);
  const got: string[] = [];
  client.on("message", (data, isBinary) => got.push(isBinary ? `${textOf(data).length} bytes` : textOf(data)));
  client.on("pong", () => got.push("pong"));
  await when("it is open", () => client.readyState === WebSocket.OPEN);
  expect(client.protocol).toBe("v1");
  client.send("hello");
  client.ping();
  client.send(Buffer.alloc(3_000_000, 7));
  await when("the echoes are back", () => got.length === 3);
  expect(got.toSorted()).toEqual(["/chat?x=1 hello", "3000000 bytes", "pong"]);
  client.close(4001, "enough");
  await when("the close code arrived", () => closes.length === 1);
  expect(closes).toEqual([4001]);
  server.close();
  await atRest(proxy);
  expect(proxy.ended.map(({ status, flags, upgrade }) => ({ status, flags, upgrade }))).toEqual([
    { status: 101, flags: "-", upgrade: "websocket" },
  ]);
  expect(proxy.lines[0]).toContain('"GET /chat?x=1 HTTP/1.1" 101 - via_upstream');
});

test("websocat talks to websocat", async () => {
  const port = freePort();
  const websocat = builtPeer("websocat");
  const command = [websocat, "--text", "--exit-on-eof", `ws-listen:127.0.0.1:${port}`, "mirror:"];
  await using _ = await ready("websocat", port, startProgram(command));
  using proxy = await startServing(snapshotFor(port));
  const long = "x".repeat(40_000);
  const client = Bun.spawn([websocat, "--text", `ws://127.0.0.1:${proxy.port}/chat`], {
    stdin: Buffer.from(`hello\n${long}\nbye\n`),
    stdout: "pipe",
  });
  expect(await new Response(client.stdout).text()).toBe(`hello\n${long}\nbye\n`);
  expect(await client.exited).toBe(0);
  await atRest(proxy);
  expect(proxy.ended.map(({ status, flags, upgrade }) => ({ status, flags, upgrade }))).toEqual([
    { status: 101, flags: "-", upgrade: "websocket" },
  ]);
});

describe("half-close", () => {
  test("the client ends first, the upstream answers to the end", async () => {
    let head = "";
    let said = "";
    using upstream = await startHalfOpen(
      switching((socket, first) => {
        head = first;
        socket.on("data", (chunk) => (said += chunk.toString()));
        socket.on("end", () => socket.end(`got ${said}`));
      }),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const { socket, state } = openClient(proxy.port, UPGRADE);
    await when("the switch came", () => state.text.includes("\r\n\r\n"));
    expect(head).toMatch(/\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/u);
    expect(state.text).toContain("X-Id: 7\r\n");
    expect(state.text).toMatch(/\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/u);
    socket.write("one ");
    socket.end("two");
    await when("the answer is whole", () => state.isEnded);
    expect(state.text).toEndWith("\r\n\r\ngot one two");
    await atRest(proxy);
    expect(proxy.ended[0]).toMatchObject({ flags: "-", bytesReceived: 7, bytesSent: 11 });
  });

  test("the upstream ends first, the client goes on", async () => {
    let said = "";
    let isOver = false;
    using upstream = await startHalfOpen(
      switching((socket) => {
        socket.end("bye");
        socket.on("data", (chunk) => (said += chunk.toString()));
        socket.on("end", () => (isOver = true));
      }),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const { socket, state } = openClient(proxy.port, UPGRADE);
    await when("the upstream's end came", () => state.isEnded);
    expect(state.text).toEndWith("\r\n\r\nbye");
    socket.write("still ");
    await when("it arrives after the other direction ended", () => said === "still ");
    socket.end("here");
    await when("the upstream saw the end", () => isOver);
    expect(said).toBe("still here");
    await atRest(proxy);
    expect(proxy.ended[0]).toMatchObject({ flags: "-", bytesReceived: 10, bytesSent: 3 });
  });

  test.each(["client", "upstream"])("a reset by the %s reaches the other side as one", async (who) => {
    let error = "";
    using upstream = await startHalfOpen(
      switching((socket) => socket.on("data", () => undefined).on("error", (cause) => (error = cause.message))),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const { socket, state } = openClient(proxy.port, UPGRADE);
    await when("the switch came", () => state.text.includes("\r\n\r\n"));
    if (who === "client") socket.resetAndDestroy();
    else upstream.sockets[0]?.resetAndDestroy();
    await when("the other side heard", () => (who === "client" ? error : state.error).includes("ECONNRESET"));
    await atRest(proxy);
    expect(proxy.ended[0]?.flags).toBe(who === "client" ? "DC" : "UC");
  });

  test("a reset after the other direction ended is one too", async () => {
    let error = "";
    using upstream = await startHalfOpen(
      switching((socket) =>
        socket
          .end("bye")
          .on("error", (cause) => (error = cause.message))
          .resume(),
      ),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const { socket, state } = openClient(proxy.port, UPGRADE);
    await when("the upstream's end came", () => state.isEnded);
    socket.resetAndDestroy();
    await when("the upstream heard", () => error.includes("ECONNRESET"));
    await atRest(proxy);
    expect(proxy.ended[0]?.flags).toBe("DC");
  });
});

test("a reader that stops stops its writer, both ways", async () => {
  const length = 30_000_000;
  const big = Buffer.alloc(length, "x");
  let got = 0;
  using upstream = await startHalfOpen(
    switching((socket) => {
      socket.on("data", (chunk) => (got += chunk.length)).pause();
      socket.on("end", () => socket.end(big));
    }),
  );
  using proxy = await startServing(snapshotFor(upstream.port));
  const { socket, state } = openClient(proxy.port, UPGRADE);
  await when("the switch came", () => state.text.includes("\r\n\r\n"));
  socket.end(big);
  // As much as kernels hold; the rest stays with its writer, not in the proxy.
  await when("the client is told to wait", () => socket.writableLength > length / 2);
  upstream.sockets[0]?.resume();
  socket.pause();
  await when("the upstream has it all", () => got === length);
  await when("the upstream is told to wait", () => (upstream.sockets[0]?.writableLength ?? 0) > length / 2);
  let received = state.text.length;
  state.text = "";
  socket.removeAllListeners("data");
  socket.on("data", (chunk) => (received += chunk.length)).resume();
  await when("the client has it all", () => state.isEnded);
  expect(received).toBeGreaterThan(length);
  await atRest(proxy);
});

describe("what is no tunnel", () => {
  test("a refused upgrade is an ordinary reply, and the connections go on", async () => {
    using upstream = startScriptedUpstream((c) =>
      c.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const { socket, state } = openClient(proxy.port, UPGRADE);
    await when("the first reply", () => state.text.endsWith("no"));
    socket.write("GET /next HTTP/1.1\r\nHost: app\r\n\r\n");
    await when("the second reply", () => state.text.split("426 Upgrade Required").length === 3);
    socket.destroy();
    expect(upstream.connections.map(({ requests }) => requests)).toEqual([2]);
    expect(upstream.connections[0]?.received).not.toContain(
      "Upgrade: websocket\r\n\r\nGET /next HTTP/1.1\r\nHost: app\r\nUpgrade",
    );
    await when("both are told", () => proxy.ended.length === 2);
  });

  test("what a client sends ahead of the switch waits for it, and is dropped where it does not come", async () => {
    using upstream = startScriptedUpstream((c) => c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    using proxy = await startServing(snapshotFor(upstream.port));
    const reply = await exchangeRaw(proxy.port, `${UPGRADE}GET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n`);
    expect(reply.isClosed).toBe(true);
    expect(reply.text.match(/HTTP\/1\.1 /gu)).toHaveLength(1);
    expect(reply.text).toContain("\r\nConnection: close\r\n");
    expect(upstream.connections.map(({ received }) => received.includes("smuggled"))).toEqual([false]);
    expect(proxy.ended).toHaveLength(1);
  });

  test("what a client sends ahead of the switch goes through once it comes", async () => {
    let said = "";
    using upstream = await startHalfOpen(
      switching((socket, first) => {
        said = first.split("\r\n\r\n")[1] ?? "";
        socket.on("data", (chunk) => (said += chunk.toString())).on("end", () => socket.end());
      }),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const { socket, state } = openClient(proxy.port, `${UPGRADE}early`);
    await when("it arrived", () => said === "early");
    socket.end();
    await when("it is over", () => state.isEnded);
    await atRest(proxy);
  });

  test.each([
    ["a protocol that policy does not name", UPGRADE.replace("WebSocket", "h2c")],
    ["a list of protocols", UPGRADE.replace("WebSocket", "websocket, foo")],
    ["an Upgrade that Connection does not name", UPGRADE.replace(", Upgrade", "")],
    ["an upgrade in HTTP/1.0", UPGRADE.replace("HTTP/1.1", "HTTP/1.0")],
    ["an upgrade with content", UPGRADE.replace("\r\n\r\n", "\r\nContent-Length: 4\r\n\r\nbody")],
  ])("%s is a plain request", async (_, request) => {
    using upstream = startScriptedUpstream((c) => c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    using proxy = await startServing(snapshotFor(upstream.port));
    expect((await exchangeRaw(proxy.port, request, (text) => text.endsWith("ok"))).text).toStartWith("HTTP/1.1 200");
    expect(upstream.connections[0]?.received).not.toMatch(/upgrade/iu);
  });

  test.each([
    ["another protocol than was asked for", SWITCH.replace("websocket", "foo")],
    ["no protocol", SWITCH.replace("Upgrade: websocket\r\n", "")],
  ])("a switch to %s is 502", async (_, reply) => {
    using upstream = startScriptedUpstream((c) => c.send(reply));
    using proxy = await startServing(snapshotFor(upstream.port));
    const { text } = await exchangeRaw(proxy.port, UPGRADE, (soFar) => soFar.includes("\r\n\r\n"));
    expect(text).toStartWith("HTTP/1.1 502");
    await when("it is told", () => proxy.ended.length === 1);
    expect(proxy.ended[0]?.flags).toBe("UPE");
  });

  test("an upgrade to h2c cannot be allowed", async () => {
    const problem = await startServing({ outbound: { http: { upgrades: ["h2c"] } } }).catch(String);
    expect(problem).toContain("h2c");
  });
});

test("a tunnel in which nothing moves is cut after the stream's idle time", async () => {
  using upstream = await startHalfOpen(switching((socket) => socket.resume()));
  using proxy = await startServing(snapshotFor(upstream.port, { limits: { streamIdleTimeoutMs: 100 } }));
  const { state } = openClient(proxy.port, UPGRADE);
  await when("it is cut", () => state.isClosed);
  expect(state.text).toStartWith("HTTP/1.1 101");
  await atRest(proxy);
  expect(proxy.ended[0]?.flags).toBe("SI");
});

describe("CONNECT", () => {
  const CONNECT = "CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n";

  test("is 404 where it is not allowed, and the connection closes", async () => {
    using upstream = startScriptedUpstream(() => undefined);
    using proxy = await startServing(snapshotFor(upstream.port, { http: { upgrades: ["websocket"] } }));
    const reply = await exchangeRaw(proxy.port, `${CONNECT}GET /hidden HTTP/1.1\r\nHost: app\r\n\r\n`);
    expect(reply.text).toStartWith("HTTP/1.1 404 Not Found\r\n");
    expect(reply.text.match(/HTTP\/1\.1 /gu)).toHaveLength(1);
    expect(reply.isClosed).toBe(true);
    expect(upstream.connections).toHaveLength(0);
    expect(proxy.ended[0]?.flags).toBe("NR");
  });

  test("is a tunnel where it is, whatever lengths its reply says", async () => {
    let head = "";
    using upstream = await startHalfOpen((socket) =>
      socket.once("data", (chunk) => {
        head = chunk.toString();
        socket.write("HTTP/1.1 200 Connected\r\nContent-Length: 3\r\n\r\n");
        socket.pipe(socket);
      }),
    );
    using proxy = await startServing(snapshotFor(upstream.port, { http: { upgrades: ["connect"] } }));
    const { socket, state } = openClient(proxy.port, CONNECT);
    await when("it is open", () => state.text.includes("\r\n\r\n"));
    expect(state.text).not.toMatch(/content-length/iu);
    expect(head).toStartWith("CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n");
    socket.end("SELECT 1");
    await when("the echo is whole", () => state.isEnded);
    expect(state.text).toEndWith("\r\n\r\nSELECT 1");
    await atRest(proxy);
  });

  test("ends here before a cluster of TCP, which hears nothing of it", async () => {
    let heard = "";
    using upstream = await startHalfOpen((socket) => {
      // A server that speaks first, as MySQL's does.
      socket.write("greetings ");
      socket.on("data", (chunk) => {
        heard += chunk.toString();
        socket.write(chunk);
      });
      socket.on("end", () => socket.end("!"));
    });
    using proxy = await startServing(snapshotFor(upstream.port, { http: { upgrades: ["connect"] } }, "tcp"));
    const { socket, state } = openClient(proxy.port, `${CONNECT}early `);
    await when("it is open", () => state.text.includes("\r\n\r\ngreetings early "));
    socket.end("SELECT 1");
    await when("the echo is whole", () => state.isEnded);
    expect(state.text).toStartWith("HTTP/1.1 200 ");
    expect(state.text).toEndWith("SELECT 1!");
    expect(heard).toBe("early SELECT 1");
    await atRest(proxy);
    const refused = await exchangeRaw(proxy.port, "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
    expect(refused.text).toStartWith("HTTP/1.1 502 ");
  });

  test("to a host that no route knows goes straight there, as HTTP_PROXY asks", async () => {
    using upstream = await startHalfOpen((socket) => socket.pipe(socket));
    using proxy = await startServing({ outbound: {} });
    const target = `127.0.0.1:${upstream.port}`;
    const { socket, state } = openClient(proxy.port, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    await when("it is open", () => state.text.includes("\r\n\r\n"));
    socket.end("SELECT 1");
    await when("the echo is whole", () => state.isEnded);
    expect(state.text).toEndWith("\r\n\r\nSELECT 1");
    await when("nothing is under way", () => proxy.ended.length === 1 && proxy.serving.generation?.exchanges() === 0);
    expect(proxy.ended[0]?.decision?.cluster).toBe("PassthroughCluster");
    const strict = { outbound: { outboundPolicy: "REGISTRY_ONLY" } };
    expect(await proxy.apply(strict)).toEqual([]);
    const asked = `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nConnection: close\r\n\r\n`;
    const refused = await exchangeRaw(proxy.port, asked);
    expect(refused.text).toStartWith("HTTP/1.1 502 ");
    expect(await proxy.apply({ outbound: { http: { upgrades: [] } } })).toEqual([]);
    expect((await exchangeRaw(proxy.port, asked)).text).toStartWith("HTTP/1.1 404 ");
  });

  test.each([
    ["a path", CONNECT.replace("CONNECT db.test:5432", "CONNECT /x")],
    ["no port", CONNECT.replace("CONNECT db.test:5432", "CONNECT db.test")],
    ["a length", CONNECT.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")],
    ["chunks", CONNECT.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")],
  ])("with %s is 400", async (_, request) => {
    using proxy = await startServing({ outbound: { http: { upgrades: ["connect"] } } });
    expect((await exchangeRaw(proxy.port, request)).text).toStartWith("HTTP/1.1 400 ");
  });
});
