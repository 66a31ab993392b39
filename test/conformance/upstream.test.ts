// What the sidecar does when upstreams answer in every way they may, and in ways they may not.
import { describe, expect, test } from "bun:test";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream, type ScriptedConnection } from "../harness/scripted-upstream.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

const GET = "GET /a HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";

/** Waits until it holds. */
function when(what: string, holds: () => boolean): Promise<true> {
  return until(what, () => holds() || undefined);
}

function snapshotFor(ports: readonly number[], cluster: object = {}, route: object = {}): unknown {
  return {
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "app" }], ...route }] }],
    },
    clusters: [{ name: "app", endpoints: ports.map((port) => ({ address: "127.0.0.1", port })), ...cluster }],
  };
}

async function ask(proxy: ServingUnderTest, request = GET): Promise<string> {
  return (await exchangeRaw(proxy.port, request)).text;
}

describe("a reply is framed as it said", () => {
  test.each<[string, string, string]>([
    ["a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "\r\n\r\nhello"],
    ["no length and a close", "HTTP/1.1 200 OK\r\n\r\nhello", "5\r\nhello\r\n0\r\n\r\n"],
    ["HTTP/1.0 and a close", "HTTP/1.0 200 OK\r\n\r\nhello", "5\r\nhello\r\n0\r\n\r\n"],
    [
      "chunks and a trailer",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
      "2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
    ],
    [
      "a trailer that would frame",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\nX-Ok: 1\r\n\r\n",
      "0\r\nX-Ok: 1\r\n\r\n",
    ],
    ["204 without a body", "HTTP/1.1 204 No Content\r\n\r\n", "\r\n\r\n"],
    [
      "304 with the length of what it stands for",
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
      "\r\n\r\n",
    ],
    [
      "interim replies first",
      "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      "\r\n\r\nok",
    ],
    ["a reason of its own", "HTTP/1.1 299 Quite Fine\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n"],
  ])("%s", async (_, bytes, end) => {
    using upstream = startScriptedUpstream((connection) => {
      connection.send(bytes);
      connection.end();
    });
    using proxy = await startServing(snapshotFor([upstream.port]));
    const reply = await ask(proxy);
    expect(reply).toStartWith(bytes.includes("299") ? "HTTP/1.1 299 Quite Fine\r\n" : "HTTP/1.1 ");
    expect(reply).toEndWith(end);
    expect(reply).not.toContain("HTTP/1.1 503");
  });

  test("a head and a body in any pieces", async () => {
    const bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for (let cut = 1; cut < bytes.length; cut += 7) {
      using upstream = startScriptedUpstream((connection) => {
        connection.send(bytes.slice(0, cut));
        setTimeout(() => connection.send(bytes.slice(cut)), 1);
      });
      using proxy = await startServing(snapshotFor([upstream.port]));
      expect(await ask(proxy)).toEndWith("5\r\nhello\r\n0\r\n\r\n");
    }
  });

  test("HEAD keeps the length and sends no body", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    );
    using proxy = await startServing(snapshotFor([upstream.port]));
    const head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    const reply = await ask(proxy, `${head}${head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")}`);
    expect(reply.match(/HTTP\/1\.1 200 OK\r\nContent-Length: 5\r\n/gu)).toHaveLength(2);
    expect(upstream.connections).toHaveLength(1);
  });

  test("an HTTP/1.0 client gets a body without chunks, ended by the close", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    );
    using proxy = await startServing(snapshotFor([upstream.port]));
    const reply = await ask(proxy, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    expect(reply).not.toContain("chunked");
    expect(reply).toEndWith("\r\n\r\nhello");
  });
});

describe("an upstream that fails is one status, one flag and no inner word", () => {
  test.each<[string, (connection: ScriptedConnection) => void, number, string, string]>([
    ["closes at once", (c) => c.end(), 503, "UC", "upstream_reset_before_response_started{connection_termination}"],
    ["resets", (c) => c.reset(), 503, "UC", "upstream_reset_before_response_started{connection_termination}"],
    [
      "speaks something else",
      (c) => c.send("SSH-2.0-OpenSSH\r\n"),
      502,
      "UPE",
      "upstream_reset_before_response_started{protocol_error}",
    ],
    [
      "says both lengths",
      (c) => c.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
      502,
      "UPE",
      "upstream_reset_before_response_started{protocol_error}",
    ],
    [
      "says two lengths",
      (c) => c.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
      502,
      "UPE",
      "upstream_reset_before_response_started{protocol_error}",
    ],
    [
      "switches protocols unasked",
      (c) => c.send("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
      502,
      "UPE",
      "upstream_reset_before_response_started{protocol_error}",
    ],
    [
      "folds a line",
      (c) => c.send("HTTP/1.1 200 OK\r\nX-A: 1\r\n b\r\n\r\n"),
      502,
      "UPE",
      "upstream_reset_before_response_started{protocol_error}",
    ],
    [
      "never ends its head",
      (c) => c.send(`HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(70_000)}`),
      502,
      "UPE",
      "upstream_reset_before_response_started{protocol_error}",
    ],
  ])("%s", async (_, script, status, flags, details) => {
    using upstream = startScriptedUpstream(script);
    using proxy = await startServing(snapshotFor([upstream.port]));
    const reply = await ask(proxy, GET.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"));
    expect(reply).toStartWith(`HTTP/1.1 ${status} `);
    expect(reply).not.toContain("127.0.0.1");
    expect(proxy.ended.map((one) => [one.status, one.flags, one.details])).toEqual([[status, flags, details]]);
  });

  test("a body that is cut is cut downstream too: nobody takes it for whole", async () => {
    using upstream = startScriptedUpstream((connection) => {
      connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
      connection.end();
    });
    using proxy = await startServing(snapshotFor([upstream.port]));
    const reply = await ask(proxy);
    expect(reply).toStartWith("HTTP/1.1 200 OK");
    expect(reply).not.toContain("\r\n0\r\n");
    expect(proxy.ended[0]?.flags).toBe("UC");
  });

  test("no endpoint is UH, no cluster of that name cannot be applied", async () => {
    using proxy = await startServing(snapshotFor([]));
    expect(await ask(proxy)).toContain("no healthy upstream");
    expect(proxy.ended[0]?.flags).toBe("UH");
    const bad = {
      outbound: { virtualHosts: [{ name: "x", domains: ["x"], routes: [{ destinations: [{ cluster: "gone" }] }] }] },
    };
    expect(await proxy.apply(bad)).toEqual([
      {
        path: "outbound.virtualHosts[0].routes[0].destinations[0].cluster",
        message: '"gone" is not a cluster of this snapshot',
      },
    ]);
    expect(await ask(proxy)).toContain("no healthy upstream");
  });

  test("no route is 404 NR", async () => {
    using proxy = await startServing({});
    expect(await ask(proxy)).toStartWith("HTTP/1.1 404 Not Found\r\n");
    expect(proxy.ended[0]?.flags).toBe("NR");
  });

  test("no reply in time is 504 UT, and the upstream's work is cancelled", async () => {
    let isClosed = false;
    const upstream = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: () => undefined, close: () => void (isClosed = true) },
    });
    using proxy = await startServing(snapshotFor([upstream.port], {}, { timeoutMs: "50ms" }));
    expect(await ask(proxy)).toContain("upstream request timeout");
    expect(proxy.ended[0]?.flags).toBe("UT");
    await when("the upstream sees its connection go", () => isClosed);
    upstream.stop(true);
  });
});

describe("connections are kept and bounded", () => {
  const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

  test("ten requests use one connection", async () => {
    using upstream = startScriptedUpstream((connection) => connection.send(ok));
    using proxy = await startServing(snapshotFor([upstream.port]));
    for (let turn = 0; turn < 10; turn++) expect(await ask(proxy)).toEndWith("ok");
    expect(upstream.connections.map(({ requests }) => requests)).toEqual([10]);
  });

  test("a connection that the upstream closed while idle costs nobody a reply", async () => {
    using upstream = startScriptedUpstream((connection) => {
      // Serves one request; the second finds the connection dead before any byte of a reply.
      if (connection.requests === 1) connection.send(ok);
      else connection.reset();
    });
    using proxy = await startServing(snapshotFor([upstream.port]));
    for (let turn = 0; turn < 5; turn++) expect(await ask(proxy)).toEndWith("ok");
    expect(proxy.ended.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    // The upstream is told that it sees a second try.
    expect(upstream.connections.at(-1)?.received).toContain("x-envoy-attempt-count: 2\r\n");
  });

  test("a PUT on such a connection is sent again, its body whole, where that is small", async () => {
    using upstream = startScriptedUpstream((connection) => {
      const isFirst = connection.requests === 1 && connection.received.startsWith("GET");
      if (isFirst || connection.index > 0) connection.send(ok);
      else connection.reset();
    });
    using proxy = await startServing(snapshotFor([upstream.port]));
    const put = "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n";
    expect(await ask(proxy)).toEndWith("ok");
    expect(await ask(proxy, put + "x".repeat(5000))).toEndWith("ok");
    expect(upstream.connections).toHaveLength(2);
    expect(upstream.connections[1]?.received).toEndWith(`\r\n\r\n${"x".repeat(5000)}`);
    expect(proxy.ended.map(({ status, flags }) => `${status} ${flags}`)).toEqual(["200 -", "200 -"]);
  });

  test("a PUT whose body is too large to keep is not sent again", async () => {
    using upstream = startScriptedUpstream((connection) => {
      if (connection.requests === 1) connection.send(ok);
      else connection.reset();
    });
    using proxy = await startServing(snapshotFor([upstream.port]));
    expect(await ask(proxy)).toEndWith("ok");
    const head = "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 70000\r\n\r\n";
    expect(await ask(proxy, head + "x".repeat(70_000))).toStartWith("HTTP/1.1 503");
    expect(upstream.connections).toHaveLength(1);
  });

  test("a connection is closed before the upstream, which says when, closes it", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send(ok.replace("\r\n\r\n", "\r\nKeep-Alive: timeout=1\r\n\r\n")),
    );
    using proxy = await startServing(snapshotFor([upstream.port]));
    expect(await ask(proxy)).toEndWith("ok");
    await when("it is closed", () => proxy.serving.generation?.targets.get("app")?.pool.openConnections === 0);
    expect(await ask(proxy)).toEndWith("ok");
    expect(upstream.connections).toHaveLength(2);
  });

  test("a POST on such a connection is not sent twice", async () => {
    using upstream = startScriptedUpstream((connection) => {
      if (connection.requests === 1) connection.send(ok);
      else connection.reset();
    });
    using proxy = await startServing(snapshotFor([upstream.port]));
    const post = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    expect(await ask(proxy, post)).toEndWith("ok");
    expect(await ask(proxy, post)).toStartWith("HTTP/1.1 503");
    expect(upstream.connections.map(({ requests }) => requests)).toEqual([2]);
  });

  test("`Connection: close` is believed", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send(ok.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")),
    );
    using proxy = await startServing(snapshotFor([upstream.port]));
    for (let turn = 0; turn < 3; turn++) expect(await ask(proxy)).toEndWith("ok");
    expect(upstream.connections).toHaveLength(3);
  });

  test("bytes that nobody asked for are never given to the next request", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send(`${ok}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret`),
    );
    using proxy = await startServing(snapshotFor([upstream.port]));
    for (let turn = 0; turn < 3; turn++) expect(await ask(proxy)).not.toContain("secret");
    expect(upstream.connections).toHaveLength(3);
  });

  test("at maxConnections requests wait in turn, beyond maxPendingRequests they are 503 UO", async () => {
    const held: ScriptedConnection[] = [];
    using upstream = startScriptedUpstream((connection) => void held.push(connection));
    using proxy = await startServing(
      snapshotFor([upstream.port], { limits: { maxConnections: 1, maxPendingRequests: 1 } }),
    );
    const first = ask(proxy);
    await when("the first is with the upstream", () => held.length === 1);
    const second = ask(proxy);
    await when("the second waits", () =>
      [...(proxy.serving.generation?.targets.values() ?? [])].some(({ pool }) => pool.waitingRequests === 1),
    );
    const third = await ask(proxy);
    expect(third).toStartWith("HTTP/1.1 503");
    expect(third).toContain("x-envoy-overloaded: true");
    held[0]?.send(ok);
    await when("the second is with the upstream", () => held.length === 2);
    held[1]?.send(ok);
    expect([await first, await second].every((reply) => reply.endsWith("ok"))).toBe(true);
    expect(upstream.connections).toHaveLength(1);
    expect(proxy.ended.map(({ flags }) => flags)).toEqual(["UO", "-", "-"]);
  });

  test("maxRequests bounds what is in flight", async () => {
    const held: ScriptedConnection[] = [];
    using upstream = startScriptedUpstream((connection) => void held.push(connection));
    using proxy = await startServing(snapshotFor([upstream.port], { limits: { maxRequests: 1 } }));
    const first = ask(proxy);
    await when("the first is with the upstream", () => held.length === 1);
    expect(await ask(proxy)).toStartWith("HTTP/1.1 503");
    held[0]?.send(ok);
    expect(await first).toEndWith("ok");
    expect(proxy.ended[0]?.flags).toBe("UO");
  });

  test("an endpoint that refuses is passed over for another", async () => {
    using upstream = startScriptedUpstream((connection) => connection.send(ok));
    const dead = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const deadPort = dead.port;
    dead.stop(true);
    using proxy = await startServing(snapshotFor([deadPort, upstream.port], { balance: "round_robin" }));
    for (let turn = 0; turn < 6; turn++) expect(await ask(proxy)).toEndWith("ok");
  });

  test("an idle connection closes after idleTimeoutMs", async () => {
    using upstream = startScriptedUpstream((connection) => connection.send(ok));
    using proxy = await startServing(snapshotFor([upstream.port], { idleTimeoutMs: 30 }));
    await ask(proxy);
    await when("it is closed", () =>
      [...(proxy.serving.generation?.targets.values() ?? [])].every(({ pool }) => pool.openConnections === 0),
    );
    expect(await ask(proxy)).toEndWith("ok");
    expect(upstream.connections).toHaveLength(2);
  });
});

describe("the downstream", () => {
  test("that leaves cancels the upstream's work and is logged DC", async () => {
    let isClosed = false;
    const upstream = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: () => undefined, close: () => void (isClosed = true) },
    });
    using proxy = await startServing(snapshotFor([upstream.port]));
    const socket = await Bun.connect({ hostname: "127.0.0.1", port: proxy.port, socket: { data: () => undefined } });
    socket.write(GET);
    await when("the request is under way", () => proxy.serving.generation?.exchanges() === 1);
    socket.end();
    await when("the upstream sees its connection go", () => isClosed);
    await when("the exchange is told", () => proxy.ended.length === 1);
    expect(proxy.ended[0]?.flags).toBe("DC");
    expect(proxy.lines[0]).toContain(" 0 DC downstream_remote_disconnect ");
    upstream.stop(true);
  });

  test("that sends no whole head in time gets 408, and one that is idle is closed", async () => {
    using proxy = await startServing({ outbound: { limits: { headTimeoutMs: 50, idleTimeoutMs: 80 } } });
    expect(await ask(proxy, "GET / HTTP/1.1\r\nHost:")).toStartWith("HTTP/1.1 408 Request Timeout\r\n");
    expect(await ask(proxy, "")).toBe("");
  });

  test("whose body is beyond the limit gets 413, by its length or by its chunks", async () => {
    using upstream = startScriptedUpstream(() => undefined);
    const snapshot = snapshotFor([upstream.port]);
    using proxy = await startServing({
      ...Object(snapshot),
      outbound: { ...Object(snapshot).outbound, limits: { bodyMaxBytes: 10 } },
    });
    expect(await ask(proxy, `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world`)).toStartWith(
      "HTTP/1.1 413 ",
    );
    expect(
      await ask(proxy, `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n`),
    ).toStartWith("HTTP/1.1 413 ");
  });

  test("whose head is beyond its limits gets 431", async () => {
    using proxy = await startServing({ outbound: { limits: { headMaxBytes: 1024, headersMax: 3 } } });
    expect(await ask(proxy, `GET / HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(2000)}\r\n\r\n`)).toStartWith(
      "HTTP/1.1 431 ",
    );
    expect(await ask(proxy, "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n")).toStartWith("HTTP/1.1 431 ");
  });

  test("that asked for 100 and got a refusal instead is not waited for: its connection closes", async () => {
    using proxy = await startServing({});
    const ask100 = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\n";
    // Whether these bytes are the body or the next request, only the client knows.
    const reply = await ask(proxy, `${ask100}GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n`);
    expect(reply.match(/HTTP\/1\.1 /gu)).toHaveLength(1);
    expect(reply).toContain("\r\nConnection: close\r\n");
    expect(proxy.ended.map(({ path }) => path)).toEqual(["/"]);
  });

  test("that goes on after `Connection: close` is not heard", async () => {
    using proxy = await startServing({});
    await ask(proxy, `${GET}${GET}`);
    expect(proxy.ended).toHaveLength(1);
  });

  test("an early reply during an upload is passed on, and the connection still frames", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"),
    );
    using proxy = await startServing(snapshotFor([upstream.port]));
    const rest = "x".repeat(1000);
    const reply = await ask(
      proxy,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${rest.length}\r\n\r\n${rest}GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    );
    expect(reply.match(/HTTP\/1\.1 401/gu)).toHaveLength(2);
  });
});

describe("a new snapshot", () => {
  test("takes the next request, keeps the connections of clusters that did not change, and lets the last exchange end", async () => {
    const held: ScriptedConnection[] = [];
    using first = startScriptedUpstream((connection) => void held.push(connection));
    using second = startScriptedUpstream((connection) =>
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"),
    );
    using proxy = await startServing(snapshotFor([first.port]));
    const before = ask(proxy);
    await when("it is with the first upstream", () => held.length === 1);
    const old = proxy.serving.generation;
    expect(await proxy.apply(snapshotFor([second.port]))).toEqual([]);
    expect(await ask(proxy)).toEndWith("new");
    expect(old?.exchanges()).toBe(1);
    held[0]?.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold");
    expect(await before).toEndWith("old");
    expect(old?.exchanges()).toBe(0);
    expect(await proxy.apply(snapshotFor([second.port], {}, { timeoutMs: "1s" }))).toEqual([]);
    expect(await ask(proxy)).toEndWith("new");
    expect(second.connections).toHaveLength(1);
  });
});

test.each([
  ["a route", { timeoutMs: "720h" }, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
  [
    "grpc-timeout",
    {},
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nGrpc-Timeout: 99999999H\r\nContent-Length: 0\r\n\r\n",
  ],
])("more time than a timer can wait is not none at all: %s", async (_, route, request) => {
  using upstream = startScriptedUpstream((connection) => {
    // Longer than the event loop takes to come round to a timer.
    setTimeout(() => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), 100);
  });
  using proxy = await startServing(snapshotFor([upstream.port], { connectTimeoutMs: "1000h" }, route));
  const { text } = await exchangeRaw(proxy.port, request, (all) => all.includes("\r\n\r\n"));
  expect(text).toStartWith("HTTP/1.1 200 OK");
  expect(text).not.toContain("grpc-status");
});
