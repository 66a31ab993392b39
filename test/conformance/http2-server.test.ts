// HTTP/2 from a client, HTTP/1.1 to the upstream: what each side sees, over real sockets.
import { describe, expect, test } from "bun:test";
import { END_HEADERS, ErrorCode, INITIAL_WINDOW_SIZE, PING } from "../../runtime/codec/http2-frames.ts";
import { connectHttp2, frame, request, uint32 } from "../harness/http2-peer.ts";
import { startScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

function snapshotFor(port: number, cluster: object = {}, limits: object = {}) {
  return {
    service: "test",
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port }], ...cluster }],
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c", weight: 100 }] }] }],
      limits,
    },
  };
}

function valueOf(fields: readonly (readonly [string, string])[] | undefined, name: string): string | undefined {
  return fields?.find(([key]) => key.toLowerCase() === name)?.[1];
}

describe("a request over HTTP/2 reaches an upstream of HTTP/1.1", () => {
  test("its head is one of HTTP/1.1, and the reply's is one of HTTP/2", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send("HTTP/1.1 200 OK\r\nX-Mixed: Ab\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/a?b=c", [["x-one", "1"]]));
    const { heads, body } = await client.over(1);
    expect(valueOf(heads[0], ":status")).toBe("200");
    expect(valueOf(heads[0], "x-mixed")).toBe("Ab");
    expect(valueOf(heads[0], "connection")).toBeUndefined();
    expect(body.toString()).toBe("hello");
    expect(upstream.connections[0]?.received).toStartWith("GET /a?b=c HTTP/1.1\r\nHost: test\r\n");
    expect(upstream.connections[0]?.received).toContain("x-one: 1\r\n");
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(`"GET /a?b=c HTTP/2" 200 - via_upstream`);
  });

  test("a body without a length is chunked, and its trailers follow it both ways", async () => {
    using upstream = startScriptedUpstream((connection) => {
      if (connection.received.includes("x-sum: 7"))
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-End: 9\r\n\r\n");
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/", [], "POST"), END_HEADERS);
    client.data(1, "some", false);
    client.headers(1, [["x-sum", "7"]]);
    const { heads, body } = await client.over(1);
    expect(body.toString()).toBe("hi");
    expect(heads[1]).toEqual([["x-end", "9"]]);
    expect(upstream.connections[0]?.received).toContain("4\r\nsome\r\n0\r\nx-sum: 7\r\n\r\n");
  });

  test("many streams at once, each with its own reply", async () => {
    using upstream = startScriptedUpstream((connection) => {
      const path = /GET \/(\d+) /u.exec(connection.received.slice(connection.received.lastIndexOf("GET ")))?.[1] ?? "";
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    const ids = Array.from({ length: 50 }, (_, index) => index * 2 + 1);
    for (const id of ids) client.headers(id, request(`/${id}`));
    for (const id of ids) expect((await client.over(id)).body.toString()).toBe(String(id));
  });

  test("a stream whose window is closed waits, and the others do not", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n${"x".repeat(100)}`),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port, [[INITIAL_WINDOW_SIZE, 10]]);
    client.credits = false;
    client.headers(1, request());
    await until("what the window takes", () => (client.stream(1).body.length === 10 ? true : undefined));
    client.headers(3, request());
    client.send(frame(8, 0, 3, uint32(1000)));
    expect((await client.over(3)).body).toHaveLength(100);
    expect(client.stream(1).body).toHaveLength(10);
    client.send(frame(8, 0, 1, uint32(90)));
    expect((await client.over(1)).body).toHaveLength(100);
  });

  test("a reply before its request is over ends with RST_STREAM NO_ERROR", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"),
    );
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/", [], "POST"), END_HEADERS);
    client.data(1, "part", false);
    const record = await until("the reset", () =>
      client.stream(1).reset === undefined ? undefined : client.stream(1),
    );
    expect(record).toMatchObject({ isEnded: true, reset: ErrorCode.NO_ERROR });
    expect(record.body.toString()).toBe("no");
    await client.roundTrip();
  });

  test("a reply that is cut resets its stream and no other", async () => {
    using upstream = startScriptedUpstream((connection) => {
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart");
      connection.end();
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    expect(await client.over(1)).toMatchObject({ isEnded: false, reset: ErrorCode.INTERNAL_ERROR });
    await client.roundTrip();
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(" 200 UC upstream_reset_after_response_started{connection_termination}");
  });

  test("a client that resets its stream cancels the upstream's work", async () => {
    using upstream = startScriptedUpstream(() => undefined);
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await until("the request to arrive", () => upstream.connections[0]?.received.includes("\r\n\r\n") || undefined);
    client.reset(1, ErrorCode.CANCEL);
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(" 0 DR http2.remote_reset");
    expect(proxy.serving.generation?.targets.get("c")?.cluster.activeRequests).toBe(0);
    await client.roundTrip();
  });

  test("a client that is silent is asked by PING: one that answers stays, one that does not is let go", async () => {
    using upstream = startScriptedUpstream(() => undefined);
    const http2 = { connectionKeepaliveIntervalMs: 50, connectionKeepaliveTimeoutMs: 300 };
    using proxy = await startServing(snapshotFor(upstream.port, {}, { http2 }));
    using alive = await connectHttp2(proxy.port);
    using dead = await connectHttp2(proxy.port);
    dead.acknowledges = false;
    dead.headers(1, request("/", [], "POST"));
    await dead.ended();
    await until("the next PING", () =>
      alive.frames.filter(({ type }) => type === PING).length > 1 ? true : undefined,
    );
    expect(alive.isClosed).toBeFalse();
  });

  test("a body that drips has requestTimeoutMs, and its neighbours go on", async () => {
    using upstream = startScriptedUpstream((c) => {
      if (c.received.includes("GET /")) c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    using proxy = await startServing(snapshotFor(upstream.port, {}, { requestTimeoutMs: 200 }));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/slow", [], "POST"), END_HEADERS);
    client.data(1, "a", false);
    expect(valueOf((await client.over(1)).heads[0], ":status")).toBe("408");
    client.headers(3, request("/"));
    expect(valueOf((await client.over(3)).heads[0], ":status")).toBe("200");
  });

  test("a head beyond its limits is 431, and the connection goes on", async () => {
    using upstream = startScriptedUpstream((connection) => connection.send("HTTP/1.1 204 No\r\n\r\n"));
    using proxy = await startServing(snapshotFor(upstream.port, {}, { headersMax: 10 }));
    using client = await connectHttp2(proxy.port);
    client.headers(
      1,
      request(
        "/",
        Array.from({ length: 11 }, (_, index) => [`x-${index}`, "1"] as const),
      ),
    );
    expect(valueOf((await client.over(1)).heads[0], ":status")).toBe("431");
    client.headers(3, request());
    expect(valueOf((await client.over(3)).heads[0], ":status")).toBe("204");
  });

  test("draining says so, serves what is open, and closes", async () => {
    using upstream = startScriptedUpstream(() => undefined);
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await until("the request to arrive", () => upstream.connections[0]?.received.includes("\r\n\r\n") || undefined);
    proxy.serving.startDraining();
    await until("both GOAWAYs", () => (client.goAway?.last === 1 ? true : undefined));
    upstream.connections[0]?.send("HTTP/1.1 204 No\r\n\r\n");
    expect((await client.over(1)).isEnded).toBe(true);
    expect(await client.ended()).toEqual({ last: 1, code: ErrorCode.NO_ERROR, debug: "" });
  });
});
