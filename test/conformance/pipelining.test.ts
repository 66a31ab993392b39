// A client that asks without reading: its requests wait, and the proxy holds no more than one reply for it.
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

const REQUESTS = 2000;
const BODY = "x".repeat(16_000);

function snapshot(port: number, limits: object = {}) {
  return {
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port }] }],
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c" }] }] }],
      limits,
    },
  };
}

/** Asks again and again, and reads nothing. */
function askWithoutReading(port: number) {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => undefined);
  socket.pause();
  socket.write("GET /big HTTP/1.1\r\nHost: a\r\n\r\n".repeat(REQUESTS));
  return socket;
}

test("requests wait for a client that does not read, and are answered in order once it does", async () => {
  using upstream = startScriptedUpstream((connection) => {
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
  });
  using proxy = await startServing(snapshot(upstream.port));
  const socket = askWithoutReading(proxy.port);
  const beside = (): Promise<unknown> =>
    exchangeRaw(proxy.port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  let asked = -1;
  await until("no more to be asked upstream", async () => {
    const before = asked;
    asked = proxy.ended.filter(({ path }) => path === "/big").length;
    await beside();
    return asked > 0 && asked === before ? true : undefined;
  });
  // What the kernel takes for both ends is some megabytes.
  expect(asked * BODY.length).toBeLessThan(16_000_000);
  let bytes = 0;
  socket.on("data", (chunk) => (bytes += chunk.length));
  socket.resume();
  await until("every reply", () => (bytes > REQUESTS * BODY.length ? true : undefined));
  socket.destroy();
});

test("a client that never reads is let go after the idle time of a stream", async () => {
  using upstream = startScriptedUpstream((connection) => {
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
  });
  using proxy = await startServing(snapshot(upstream.port, { streamIdleTimeoutMs: 200 }));
  const socket = askWithoutReading(proxy.port);
  await until("its requests to be answered", () => (proxy.ended.length > 20 ? true : undefined));
  await until("it to be let go", () => (proxy.serving.listeners[0]?.connections.size === 0 ? true : undefined));
  socket.destroy();
});
