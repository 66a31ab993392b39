// Interim replies, expectations, slow uploads, and the fields of one hop.
import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream, type ScriptedConnection } from "../harness/scripted-upstream.ts";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const HINTS =
  "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 3\r\n\r\n";
const GET = "GET /a HTTP/1.1\r\nHost: app\r\n\r\n";
const EXPECT = "POST /a HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
const isOk = (text: string): boolean => text.endsWith("ok");

function snapshotFor(port: number, listener: object = {}): unknown {
  return {
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "app" }] }] }],
      ...listener,
    },
    clusters: [{ name: "app", endpoints: [{ address: "127.0.0.1", port }] }],
  };
}

function when(what: string, holds: () => boolean): Promise<true> {
  return until(what, () => holds() || undefined);
}

describe("interim replies", () => {
  test("pass on their way, without what belongs to one hop, before the reply", async () => {
    using upstream = startScriptedUpstream((c) => c.send(`${HINTS}HTTP/1.1 102 Processing\r\n\r\n${OK}`));
    using proxy = await startServing(snapshotFor(upstream.port));
    const { text } = await exchangeRaw(proxy.port, GET, isOk);
    expect(text).toStartWith(
      "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n",
    );
  });

  test("reach a client before the upstream has answered", async () => {
    const held: ScriptedConnection[] = [];
    using upstream = startScriptedUpstream((c) => {
      held.push(c);
      c.send(HINTS);
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    const { text } = await exchangeRaw(proxy.port, GET, (soFar) => soFar.includes("Early Hints"));
    expect(text).not.toContain("200 OK");
    expect(held).toHaveLength(1);
  });

  test("are kept from an HTTP/1.0 client, and a 100 that nobody asked for from every one", async () => {
    using upstream = startScriptedUpstream((c) => c.send(`${HINTS}HTTP/1.1 100 Continue\r\n\r\n${OK}`));
    using proxy = await startServing(snapshotFor(upstream.port));
    const old = await exchangeRaw(proxy.port, GET.replace("HTTP/1.1", "HTTP/1.0"));
    expect(old.text.match(/HTTP\/1\.1 \d+/gu)).toEqual(["HTTP/1.1 200"]);
    const { text } = await exchangeRaw(proxy.port, GET, isOk);
    expect(text.match(/HTTP\/1\.1 \d+/gu)).toEqual(["HTTP/1.1 103", "HTTP/1.1 200"]);
  });

  test("more than a hundred are an upstream that never answers: 502", async () => {
    using upstream = startScriptedUpstream((c) => c.send("HTTP/1.1 102 Processing\r\n\r\n".repeat(101)));
    using proxy = await startServing(snapshotFor(upstream.port));
    const { text } = await exchangeRaw(proxy.port, GET, (soFar) => soFar.includes("502"));
    expect(text).toContain("HTTP/1.1 502 Bad Gateway");
  });
});

describe("Expect: 100-continue", () => {
  test("is answered by the proxy, once somebody reads, and does not go on", async () => {
    const held: ScriptedConnection[] = [];
    using upstream = startScriptedUpstream((c) => void held.push(c));
    using proxy = await startServing(snapshotFor(upstream.port));
    const socket = connect({ host: "127.0.0.1", port: proxy.port });
    let text = "";
    socket.on("data", (chunk) => {
      if (text === "") socket.write("body");
      text += chunk.toString();
    });
    socket.write(EXPECT);
    await when("the body arrived", () => held[0]?.received.endsWith("body") ?? false);
    held[0]?.send(OK);
    await when("the reply", () => isOk(text));
    socket.destroy();
    expect(text).toStartWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
    expect(upstream.connections[0]?.received).toEndWith("body");
    expect(upstream.connections[0]?.received).not.toContain("Expect");
  });

  const policy = { http: { expectContinue: "upstream" } };

  test("goes on by policy: the body waits for the upstream's 100, which is passed on", async () => {
    const held: ScriptedConnection[] = [];
    using upstream = startScriptedUpstream((c) => void held.push(c));
    using proxy = await startServing(snapshotFor(upstream.port, policy));
    const socket = connect({ host: "127.0.0.1", port: proxy.port });
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    // A client need not wait.
    socket.write(`${EXPECT}body`);
    await when("the head is with the upstream", () => held.length === 1);
    expect(held[0]?.received).toContain("\r\nExpect: 100-continue\r\n");
    expect(held[0]?.received).toEndWith("\r\n\r\n");
    expect(text).toBe("");
    held[0]?.send("HTTP/1.1 100 Continue\r\n\r\n");
    await when("the body follows", () => held[0]?.received.endsWith("\r\n\r\nbody") ?? false);
    held[0]?.send(OK);
    await when("the reply", () => isOk(text));
    socket.destroy();
    expect(text).toStartWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
  });

  test("an upstream that refuses gets no body, and what follows is not guessed at", async () => {
    using upstream = startScriptedUpstream((c) =>
      c.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"),
    );
    using proxy = await startServing(snapshotFor(upstream.port, policy));
    const { text, isClosed } = await exchangeRaw(proxy.port, EXPECT);
    expect(text).toStartWith("HTTP/1.1 417 ");
    expect(text).toContain("\r\nConnection: close\r\n");
    expect(isClosed).toBe(true);
    expect(upstream.connections[0]?.received).toEndWith("\r\n\r\n");
  });

  test("an upstream that knows no Expect gets the body after a second, and the client its 100", async () => {
    using upstream = startScriptedUpstream((c) => void c);
    using proxy = await startServing(snapshotFor(upstream.port, policy));
    const socket = connect({ host: "127.0.0.1", port: proxy.port });
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString();
      if (text.includes("100 Continue")) socket.write("body");
    });
    socket.write(EXPECT);
    await when("the body arrived", () => upstream.connections[0]?.received.endsWith("body") ?? false);
    expect(text).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    socket.destroy();
  });

  test.each([
    ["100-continue where policy refuses it", "100-continue", { http: { expectContinue: "refuse" } }],
    ["another expectation", "200-ok", {}],
    ["one among others", "100-continue, 200-ok", {}],
  ])("%s is 417", async (_, value, listener) => {
    using upstream = startScriptedUpstream((c) => c.send(OK));
    using proxy = await startServing(snapshotFor(upstream.port, listener));
    const reply = await exchangeRaw(proxy.port, EXPECT.replace("100-continue", value));
    expect(reply.text).toStartWith("HTTP/1.1 417 Expectation Failed\r\n");
    expect(reply.isClosed).toBe(true);
    expect(upstream.connections).toHaveLength(0);
  });

  test("curl, which waits, uploads in one second and not two", async () => {
    using upstream = startScriptedUpstream((c) => c.send(OK));
    using proxy = await startServing(snapshotFor(upstream.port));
    const startedAtMs = performance.now();
    const child = Bun.spawn(
      [
        "curl",
        "-s",
        "-H",
        "Expect: 100-continue",
        "--expect100-timeout",
        "9",
        "-d",
        "body",
        `127.0.0.1:${proxy.port}/`,
      ],
      { stdout: "pipe" },
    );
    expect(await new Response(child.stdout).text()).toBe("ok");
    expect(performance.now() - startedAtMs).toBeLessThan(9000);
    expect(await child.exited).toBe(0);
  });
});

describe("fields of one hop", () => {
  test("end here, and what Connection names too", async () => {
    using upstream = startScriptedUpstream((c) =>
      c.send(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, x-up\r\nX-Up: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nContent-Length: 2\r\n\r\nok",
      ),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const request =
      "GET / HTTP/1.1\r\nHost: app\r\nConnection: keep-alive, x-down, te\r\nX-Down: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nHTTP2-Settings: AAMAAABk\r\nX-Kept: 1\r\n\r\n";
    const { text } = await exchangeRaw(proxy.port, request, isOk);
    const [connection] = upstream.connections;
    expect(connection?.received).not.toMatch(/x-down|keep-alive|proxy-connection|http2-settings/iu);
    expect(connection?.received).toContain("\r\nTE: trailers\r\nX-Kept: 1\r\n");
    expect(text).not.toMatch(/x-up:|keep-alive|proxy-connection/iu);
    await exchangeRaw(proxy.port, request.replace("trailers", "trailers, gzip"), isOk);
    expect(connection?.received.match(/\r\nTE:/gu)).toHaveLength(1);
  });

  test("a reply without a date is given one, a date that is there stays", async () => {
    const date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
    using upstream = startScriptedUpstream((c) =>
      c.send(c.requests === 1 ? OK : OK.replace("\r\n\r\n", `\r\n${date}\r\n\r\n`)),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    const { text } = await exchangeRaw(proxy.port, GET, isOk);
    expect(Date.parse(/\r\nDate: ([^\r]+ GMT)\r\n/u.exec(text)?.[1] ?? "")).toBeGreaterThan(Date.now() - 60_000);
    const second = await exchangeRaw(proxy.port, GET, isOk);
    expect(second.text.match(/\r\nDate: /gu)).toHaveLength(1);
    expect(second.text).toContain(date);
  });
});

describe("targets", () => {
  test.each([
    [
      "absolute",
      "GET http://other:81/x?y HTTP/1.1\r\nHost: app\r\n\r\n",
      "GET /x?y HTTP/1.1\r\n",
      "Host: other:81\r\n",
    ],
    [
      "absolute without a path",
      "GET http://other HTTP/1.1\r\nHost: app\r\n\r\n",
      "GET / HTTP/1.1\r\n",
      "Host: other\r\n",
    ],
    [
      "absolute, for the whole server",
      "OPTIONS http://other HTTP/1.1\r\nHost: app\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\n",
      "Host: other\r\n",
    ],
    [
      "absolute in HTTP/1.0 without Host",
      "GET http://other/x HTTP/1.0\r\n\r\n",
      "GET /x HTTP/1.1\r\n",
      "Host: other\r\n",
    ],
    ["an asterisk", "OPTIONS * HTTP/1.1\r\nHost: app\r\n\r\n", "OPTIONS * HTTP/1.1\r\n", "Host: app\r\n"],
    [
      "a path that climbs",
      "GET /a/../b/%2e%2e/c?/../ HTTP/1.1\r\nHost: app\r\n\r\n",
      "GET /c?/../ HTTP/1.1\r\n",
      "Host: app\r\n",
    ],
    ["HTTP/1.0 with a Host", "GET /x HTTP/1.0\r\nHost: app\r\n\r\n", "GET /x HTTP/1.1\r\n", "Host: app\r\n"],
  ])("%s", async (_, request, line, host) => {
    using upstream = startScriptedUpstream((c) => c.send(OK));
    using proxy = await startServing(snapshotFor(upstream.port));
    await exchangeRaw(proxy.port, request, isOk);
    expect(upstream.connections[0]?.received).toStartWith(line);
    expect(upstream.connections[0]?.received).toContain(host);
    expect(upstream.connections[0]?.received.match(/^host:/gimu)).toHaveLength(1);
  });

  test("HTTP/1.0 without Host is 400, or gets the Host that policy names", async () => {
    using upstream = startScriptedUpstream((c) => c.send(OK));
    using proxy = await startServing(snapshotFor(upstream.port));
    const request = "GET /x HTTP/1.0\r\n\r\n";
    expect((await exchangeRaw(proxy.port, request)).text).toStartWith("HTTP/1.1 400 ");
    expect(upstream.connections).toHaveLength(0);
    await proxy.apply(snapshotFor(upstream.port, { http: { hostForHttp10: "app.test" } }));
    expect((await exchangeRaw(proxy.port, request)).text).toStartWith("HTTP/1.1 200 ");
    expect(upstream.connections[0]?.received).toContain("\r\nHost: app.test\r\n");
  });
});

describe("a slow client", () => {
  test("has headTimeoutMs for its head, however it drips", async () => {
    using proxy = await startServing({ outbound: { limits: { headTimeoutMs: 150 } } });
    const socket = connect({ host: "127.0.0.1", port: proxy.port });
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("error", () => undefined);
    socket.write("GET / HTTP/1.1\r\nX-A: ");
    const drip = setInterval(() => socket.write("x"), 5);
    await when("it is told", () => text.includes("\r\n\r\n"));
    clearInterval(drip);
    socket.destroy();
    expect(text).toStartWith("HTTP/1.1 408 Request Timeout\r\n");
  });

  test("has requestTimeoutMs for its whole request, however it drips", async () => {
    using upstream = startScriptedUpstream(() => undefined);
    using proxy = await startServing(snapshotFor(upstream.port, { limits: { requestTimeoutMs: 150 } }));
    const socket = connect({ host: "127.0.0.1", port: proxy.port });
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("error", () => undefined);
    socket.write("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 1000\r\n\r\n");
    const drip = setInterval(() => socket.write("x"), 10);
    await when("it is told", () => text.includes("\r\n\r\n"));
    clearInterval(drip);
    socket.destroy();
    expect(text).toStartWith("HTTP/1.1 408 Request Timeout\r\n");
    expect(text).toContain("\r\nConnection: close\r\n");
    await when("it is logged", () => proxy.ended.length === 1);
  });
});

test("a body that only the end of its connection delimits is cut, not ended, where that is a reset", async () => {
  using upstream = startScriptedUpstream((c) => {
    c.send("HTTP/1.1 200 OK\r\n\r\nhalf of it");
    setTimeout(() => c.reset(), 20);
  });
  using proxy = await startServing(snapshotFor(upstream.port));
  const { text, isClosed } = await exchangeRaw(proxy.port, GET);
  expect(isClosed).toBe(true);
  expect(text).toContain("half of it");
  expect(text).not.toContain("0\r\n\r\n");
  expect(proxy.ended[0]?.flags).toBe("UC");
});
