// Peers that leave, stall or say too much at the worst moment: what it costs is theirs, and nothing is left behind.
import { expect, test } from "bun:test";
import { connect as connectRaw } from "node:net";
import { connect } from "../../runtime/upstream/connect.ts";
import type { Layer } from "../../runtime/exchange/exchange.ts";
import { promised } from "../../runtime/exchange/later.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

const GET = "GET / HTTP/1.1\r\nHost: app\r\n\r\n";

function snapshotFor(port: number, route: object = {}): unknown {
  return {
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "app" }], ...route }] }],
    },
    clusters: [{ name: "app", endpoints: [{ address: "127.0.0.1", port }] }],
  };
}

function when(what: string, holds: () => boolean): Promise<true> {
  return until(what, () => holds() || undefined);
}

function restOf(proxy: ServingUnderTest): unknown {
  const target = proxy.serving.generation?.targets.get("app");
  return {
    exchanges: proxy.serving.generation?.exchanges(),
    requests: target?.cluster.activeRequests,
    endpoint: target?.cluster.endpoints[0]?.activeRequests,
    waiting: target?.pool.waitingRequests,
  };
}

const AT_REST = { exchanges: 0, requests: 0, endpoint: 0, waiting: 0 };

/** A layer that holds requests or replies until the test lets go. */
function gate(phase: "request" | "reply"): { readonly layer: Layer; readonly open: () => void; isReached: boolean } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const held = {
    isReached: false,
    open: resolve,
    layer: ((next) =>
      async function hold(exchange) {
        const outcome = phase === "reply" ? await promised(next(exchange)) : undefined;
        held.isReached = true;
        await promise;
        return outcome ?? promised(next(exchange));
      }) satisfies Layer,
  };
  return held;
}

/** Promises much and sends as long as anyone takes it: more than the kernel holds for a client that reads nothing. */
function startEndlessUpstream(): Disposable & { readonly port: number; readonly requests: () => number } {
  const chunk = Buffer.alloc(1024 * 1024, "a");
  let requests = 0;
  const pump = (socket: Bun.Socket): void => {
    while (socket.write(chunk) > 0);
  };
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket) {
        requests++;
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n");
        pump(socket);
      },
      drain: pump,
    },
  });
  return { port: server.port, requests: () => requests, [Symbol.dispose]: () => server.stop(true) };
}

test("after a reply that was cut, nothing on that connection is answered", async () => {
  using upstream = startEndlessUpstream();
  using proxy = await startServing(snapshotFor(upstream.port, { timeoutMs: "200ms" }));
  const client = connectRaw({ host: "127.0.0.1", port: proxy.port });
  let tail = "";
  let length = 0;
  client.pause();
  client.on("data", (chunk) => {
    length += chunk.length;
    tail = (tail + chunk.toString("latin1")).slice(-1000);
  });
  client.on("error", () => undefined);
  const closed = Promise.withResolvers<void>();
  client.on("close", () => closed.resolve());
  client.write(GET);
  await when("the first reply is cut", () => proxy.ended.length === 1);
  client.write(GET);
  // The proxy has read the second request before the first one's rest leaves.
  await exchangeRaw(proxy.port, "GARBAGE\r\n\r\n");
  client.resume();
  await closed.promise;
  expect(length).toBeGreaterThan(100_000);
  expect(tail).not.toContain("HTTP/1.1");
  expect(upstream.requests()).toBe(1);
  expect(restOf(proxy)).toEqual(AT_REST);
});

test("a client that reads late and says too much loses nothing of its last reply", async () => {
  const length = 1_000_000;
  using upstream = startScriptedUpstream((connection) =>
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${"a".repeat(length)}`),
  );
  using proxy = await startServing(snapshotFor(upstream.port));
  const client = connectRaw({ host: "127.0.0.1", port: proxy.port, allowHalfOpen: true });
  let text = 0;
  client.pause();
  client.on("data", (chunk) => (text += chunk.length));
  const ended = Promise.withResolvers<void>();
  client.on("end", () => ended.resolve());
  client.on("error", (error) => ended.reject(error));
  client.write(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
  // Bytes after the last request: a socket that was closed would answer them with RST, which eats what is under way.
  const talk = setInterval(() => client.write("more of it"), 1);
  await when("the reply left the proxy", () => proxy.ended.length === 1);
  client.resume();
  await ended.promise;
  expect(text).toBeGreaterThan(length);
  expect(proxy.serving.listeners[0]?.connections.size).toBe(1);
  clearInterval(talk);
  client.end();
  await when("it is closed", () => proxy.serving.listeners[0]?.connections.size === 0);
});

test("a request whose client left while a filter waited is not sent", async () => {
  using upstream = startScriptedUpstream((connection) =>
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
  );
  const held = gate("request");
  using proxy = await startServing(snapshotFor(upstream.port), undefined, held.layer);
  const client = connectRaw({ host: "127.0.0.1", port: proxy.port });
  client.write("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\n12345");
  await when("the filter waits", () => held.isReached);
  client.destroy();
  await when("the exchange ended", () => proxy.ended.length === 1);
  held.open();
  await exchangeRaw(proxy.port, GET, (text) => text.includes("200 OK"));
  expect(upstream.connections.map(({ received }) => received.slice(0, 5))).toEqual(["GET /"]);
  expect(proxy.ended.map(({ flags }) => flags)).toEqual(["DC", "-"]);
  await when("all is at rest", () => Bun.deepEquals(restOf(proxy), AT_REST));
});

test("a reply that a filter held until its time was up is cut, and does not hang", async () => {
  using upstream = startScriptedUpstream((connection) =>
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
  );
  const held = gate("reply");
  using proxy = await startServing(snapshotFor(upstream.port, { timeoutMs: "100ms" }), undefined, held.layer);
  const asked = exchangeRaw(proxy.port, GET);
  await when(
    "time is up",
    () => held.isReached && proxy.serving.generation?.targets.get("app")?.pool.openConnections === 0,
  );
  held.open();
  expect(await asked).toMatchObject({ isClosed: true });
  expect(proxy.ended.map(({ flags }) => flags)).toEqual(["UT"]);
  expect(restOf(proxy)).toEqual(AT_REST);
});

test("Connection names a few fields, not thousands", async () => {
  using upstream = startScriptedUpstream((connection) =>
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
  );
  using proxy = await startServing(snapshotFor(upstream.port));
  const ask = async (options: string): Promise<string> =>
    (await exchangeRaw(proxy.port, `GET / HTTP/1.1\r\nHost: app\r\nX-A: 1\r\nConnection: ${options}\r\n\r\n`)).text;
  expect(await ask(`${"x-b, ".repeat(62)}x-a, close`)).toStartWith("HTTP/1.1 200 OK");
  expect(upstream.connections[0]?.received).not.toContain("X-A");
  expect(await ask(`${"x,".repeat(64)}close`)).toStartWith("HTTP/1.1 400 Bad Request");
});

test("a connection that opens after it was given up is not counted out twice", async () => {
  // A queue of one that nobody takes from: the kernel answers a later connection only once there is room.
  const listener = `
    const say = (text) => require("node:fs").writeSync(1, text);
    const server = require("node:net").createServer((socket) => {
      socket.on("error", () => {});
      socket.on("close", () => say("gone\\n"));
    });
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      say(server.address().port + "\\n");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
    });`;
  const child = Bun.spawn(["node", "-e", listener], { stdout: "pipe" });
  const reader = child.stdout.getReader();
  const line = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value).trim();
  const port = Number(await line());
  const fillers = Array.from({ length: 3 }, () => connectRaw({ host: "127.0.0.1", port }).on("error", () => undefined));
  await when("the queue is full", () => fillers.filter(({ connecting }) => !connecting).length >= 2);
  const told: string[] = [];
  connect("127.0.0.1", port, 50, {
    opened: () => told.push("opened"),
    refused: (kind) => told.push(kind),
    data: () => undefined,
    drained: () => undefined,
    ended: () => undefined,
    closed: () => told.push("closed"),
  });
  expect(await line()).toBe("gone");
  expect(told).toEqual(["connect_timeout"]);
  for (const filler of fillers) filler.destroy();
  child.kill();
  await child.exited;
});
