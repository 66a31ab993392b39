// HTTP/2 to the upstream, from clients of both versions: what each side sees, over real sockets.
import { describe, expect, test } from "bun:test";
import {
  END_HEADERS,
  END_STREAM,
  ErrorCode,
  GOAWAY,
  HEADERS,
  MAX_CONCURRENT_STREAMS,
  RST_STREAM,
  WINDOW_UPDATE,
} from "../../runtime/codec/http2-frames.ts";
import {
  connectHttp2,
  frame,
  request,
  startHttp2Upstream,
  uint32,
  type Frame,
  type Http2Peer,
} from "../harness/http2-peer.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

function snapshotFor(port: number, cluster: object = {}, limits: object = {}) {
  return {
    service: "test",
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port }], protocol: "http2", ...cluster }],
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c", weight: 100 }] }] }],
      limits,
    },
  };
}

function valueOf(fields: readonly (readonly [string, string])[] | undefined, name: string): string | undefined {
  return fields?.find(([key]) => key.toLowerCase() === name)?.[1];
}

/** The request is whole. */
function isWhole(one: Frame): boolean {
  return one.type <= HEADERS && (one.flags & END_STREAM) !== 0;
}

function answer(peer: Http2Peer, id: number, body: string): void {
  peer.headers(
    id,
    [
      [":status", "200"],
      ["content-length", String(body.length)],
    ],
    END_HEADERS,
  );
  peer.data(id, body);
}

describe("a request reaches an upstream of HTTP/2", () => {
  test("from HTTP/1.1, names in lower case and nothing of its hop", async () => {
    using upstream = startHttp2Upstream((peer, one) => isWhole(one) && answer(peer, one.id, "hello"));
    using proxy = await startServing(snapshotFor(upstream.port));
    const head = "GET /a HTTP/1.1\r\nHost: x.example\r\nX-Mixed: 1\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n\r\n";
    const { text } = await exchangeRaw(proxy.port, head);
    expect(text).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(text).toEndWith("\r\n\r\nhello");
    const seen = upstream.connections[0]?.stream(1).heads[0] ?? [];
    expect(seen.slice(0, 3)).toEqual([
      [":method", "GET"],
      [":path", "/a"],
      [":authority", "x.example"],
    ]);
    expect(valueOf(seen, "x-mixed")).toBe("1");
    expect(valueOf(seen, "x-hop")).toBeUndefined();
  });

  test("with its body and trailers, both ways", async () => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      peer.headers(
        one.id,
        [
          [":status", "103"],
          ["link", "</a>"],
        ],
        END_HEADERS,
      );
      peer.headers(one.id, [[":status", "200"]], END_HEADERS);
      peer.data(one.id, peer.stream(one.id).body, false);
      peer.headers(one.id, [["grpc-status", "0"]]);
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/", [["te", "trailers"]], "POST"), END_HEADERS);
    client.data(1, "ab", false);
    client.data(1, "cd", false);
    client.headers(1, [["x-sum", "7"]]);
    const { heads, body } = await client.over(1);
    expect(heads[0]).toEqual([
      [":status", "103"],
      ["link", "</a>"],
    ]);
    expect(valueOf(heads[1], ":status")).toBe("200");
    expect(heads[2]).toEqual([["grpc-status", "0"]]);
    expect(body.toString()).toBe("abcd");
    const seen = upstream.connections[0]?.stream(1).heads ?? [];
    expect(valueOf(seen[0], "te")).toBe("trailers");
    expect(seen[1]).toEqual([["x-sum", "7"]]);
  });

  test("all on one connection, and HEAD has a length and no body", async () => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      const method = valueOf(peer.stream(one.id).heads[0], ":method");
      if (method === "HEAD")
        peer.headers(one.id, [
          [":status", "200"],
          ["content-length", "9"],
        ]);
      else answer(peer, one.id, valueOf(peer.stream(one.id).heads[0], ":path") ?? "");
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    const ids = Array.from({ length: 60 }, (_, index) => index * 2 + 1);
    for (const id of ids) client.headers(id, request(`/${id}`, [], id === 1 ? "HEAD" : "GET"));
    for (const id of ids.slice(1)) expect((await client.over(id)).body.toString()).toBe(`/${id}`);
    expect(valueOf((await client.over(1)).heads[0], "content-length")).toBe("9");
    expect(upstream.connections).toHaveLength(1);
  });

  test("an inbound application is spoken to as its client speaks", async () => {
    using upstream = startHttp2Upstream((peer, one) => isWhole(one) && answer(peer, one.id, "h2"));
    using proxy = await startServing({ service: "test" }, { address: "127.0.0.1", applicationPort: upstream.port });
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    expect((await client.over(1)).body.toString()).toBe("h2");
  });
});

describe("what an upstream never looked at goes out again", () => {
  test("GOAWAY: streams above its last one, on another connection; the others finish", async () => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      if (peer !== upstream.connections[0]) answer(peer, one.id, "second");
      else if (one.id === 5) {
        peer.send(frame(GOAWAY, 0, 0, Buffer.concat([uint32(1), uint32(0)])));
        answer(peer, 1, "first");
      }
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    for (const id of [1, 3, 5]) client.headers(id, request());
    expect((await client.over(1)).body.toString()).toBe("first");
    expect((await client.over(3)).body.toString()).toBe("second");
    expect((await client.over(5)).body.toString()).toBe("second");
    await until("the first connection to close", () => upstream.connections[0]?.isClosed || undefined);
    expect(proxy.lines.every((line) => line.includes(" 200 - "))).toBe(true);
  });

  test.each([
    ["that said GOAWAY", []],
    ["that takes no more at once", [[MAX_CONCURRENT_STREAMS, 1]]],
  ] as const)("not to an upstream %s and takes no connections: 503, at once", async (_what, pairs) => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      peer.headers(one.id, [[":status", "200"]], END_HEADERS);
      if (pairs.length === 0) peer.send(frame(GOAWAY, 0, 0, Buffer.concat([uint32(1), uint32(0)])));
    }, pairs);
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await until("a stream that stays open", () => client.stream(1).heads[0]);
    upstream.stopAccepting();
    client.headers(3, request());
    expect((await client.over(3)).heads[0]).toContainEqual([":status", "503"]);
    expect(client.stream(1).reset).toBeUndefined();
  });

  test("REFUSED_STREAM", async () => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      if (one.id === 1) peer.reset(1, ErrorCode.REFUSED_STREAM);
      else answer(peer, one.id, "again");
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/", [], "DELETE"));
    expect((await client.over(1)).body.toString()).toBe("again");
  });

  test.each([
    ["small, and its body with it", 1000, "200"],
    ["larger than what is kept, once only", 200_000, "503"],
  ])("a POST that is %s", async (_what, bytes, status) => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (peer === upstream.connections[0]) {
        if (isWhole(one)) peer.send(frame(GOAWAY, 0, 0, Buffer.concat([uint32(0), uint32(0)])));
      } else if (isWhole(one)) {
        answer(peer, one.id, String(peer.stream(one.id).body.length));
      }
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/", [], "POST"), END_HEADERS);
    for (let left = bytes; left > 0; left -= 1000) client.data(1, "x".repeat(1000), left === 1000);
    const { heads, body } = await client.over(1);
    expect(valueOf(heads[0], ":status")).toBe(status);
    if (status === "200") expect(body.toString()).toBe(String(bytes));
  });

  test("a reused connection that closes before it answers, where the method is safe to repeat", async () => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      if (peer === upstream.connections[0] && one.id === 3) peer[Symbol.dispose]();
      else answer(peer, one.id, "ok");
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await client.over(1);
    client.headers(3, request());
    expect((await client.over(3)).body.toString()).toBe("ok");
    expect(upstream.connections).toHaveLength(2);
  });
});

describe("a reset crosses", () => {
  test("before the reply's head it is 503 UR", async () => {
    using upstream = startHttp2Upstream((peer, one) => isWhole(one) && peer.reset(one.id, ErrorCode.INTERNAL_ERROR));
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    const { heads, body } = await client.over(1);
    expect(valueOf(heads[0], ":status")).toBe("503");
    expect(body.toString()).toEndWith("reset reason: remote reset");
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(" 503 UR upstream_reset_before_response_started{remote_reset}");
  });

  test("after it the stream is reset downstream, and a client of HTTP/1.1 sees a cut", async () => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      peer.headers(one.id, [[":status", "200"]], END_HEADERS);
      peer.data(one.id, "part", false);
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await until("a part of the body", () => (client.stream(1).body.length > 0 ? true : undefined));
    upstream.connections[0]?.reset(1, ErrorCode.CANCEL);
    expect(await client.over(1)).toMatchObject({ isEnded: false, reset: ErrorCode.INTERNAL_ERROR });
    await client.roundTrip();
    const cut = await exchangeRaw(proxy.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", (text) => {
      if (text.includes("part")) upstream.connections[0]?.reset(3, ErrorCode.CANCEL);
      return false;
    });
    expect(cut.isClosed).toBe(true);
    expect(cut.text).toEndWith("4\r\npart\r\n");
  });

  test("a client that gives up resets the upstream's stream with CANCEL", async () => {
    using upstream = startHttp2Upstream(() => undefined);
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await until("the request to arrive", () => upstream.connections[0]?.streams.get(1));
    client.reset(1, ErrorCode.CANCEL);
    const record = await until("the reset", () =>
      upstream.connections[0]?.stream(1).reset === undefined ? undefined : upstream.connections[0].stream(1),
    );
    expect(record.reset).toBe(ErrorCode.CANCEL);
    expect(upstream.connections[0]?.isClosed).toBe(false);
  });

  test.each([
    ["more DATA than content-length", "3", "four"],
    ["less DATA than content-length", "5", "four"],
  ])("%s is cut", async (_what, length, body) => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      peer.headers(
        one.id,
        [
          [":status", "200"],
          ["content-length", length],
        ],
        END_HEADERS,
      );
      peer.data(one.id, body);
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    expect((await client.over(1)).reset).toBe(ErrorCode.INTERNAL_ERROR);
    await until("the upstream's stream to be reset", () =>
      upstream.connections[0]?.frames.find(({ type }) => type === RST_STREAM),
    );
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(" 200 UPE ");
  });
});

describe("a pool of HTTP/2", () => {
  test("a full connection is joined by another, up to the bound; then requests wait", async () => {
    const open: [Http2Peer, number][] = [];
    using upstream = startHttp2Upstream(
      (peer, one) => {
        if (isWhole(one)) open.push([peer, one.id]);
      },
      [[MAX_CONCURRENT_STREAMS, 1]],
    );
    using proxy = await startServing(snapshotFor(upstream.port, { limits: { maxConnections: 2 } }));
    using client = await connectHttp2(proxy.port);
    // The first tells what the upstream takes.
    client.headers(1, request());
    await until("the first request", () => open[0]);
    for (const id of [3, 5]) client.headers(id, request());
    await until("the second request", () => open[1]);
    expect(upstream.connections).toHaveLength(2);
    await client.roundTrip();
    expect(open).toHaveLength(2);
    for (const [peer, id] of open.splice(0)) answer(peer, id, "x");
    await until("the one that waited", () => open[0]);
    for (const [peer, id] of open) answer(peer, id, "x");
    for (const id of [1, 3, 5]) expect((await client.over(id)).body.toString()).toBe("x");
  });

  test("one that waits beyond the bound is 503 UO", async () => {
    using upstream = startHttp2Upstream(() => undefined, [[MAX_CONCURRENT_STREAMS, 1]]);
    using proxy = await startServing(
      snapshotFor(upstream.port, { limits: { maxConnections: 1, maxPendingRequests: 1 } }),
    );
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await until("the first request", () => upstream.connections[0]?.streams.get(1));
    await client.roundTrip();
    for (const id of [3, 5]) client.headers(id, request());
    expect(valueOf((await client.over(5)).heads[0], ":status")).toBe("503");
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(" 503 UO ");
  });

  test("a connection that nobody used for its time closes with GOAWAY", async () => {
    using upstream = startHttp2Upstream((peer, one) => isWhole(one) && answer(peer, one.id, "x"));
    using proxy = await startServing(snapshotFor(upstream.port, { idleTimeoutMs: 50 }));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await client.over(1);
    expect(await upstream.connections[0]?.ended()).toMatchObject({ code: ErrorCode.NO_ERROR });
  });

  test("one of a cluster that is no more ends, though the upstream does not end its side", async () => {
    using upstream = startHttp2Upstream((peer, one) => isWhole(one) && answer(peer, one.id, "x"), [], true);
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request());
    await client.over(1);
    await proxy.apply({ service: "test" });
    await until("GOAWAY", () => upstream.connections[0]?.goAway);
    expect(upstream.connections[0]?.isClosed).toBe(false);
    await upstream.connections[0]?.ended();
  }, 15_000);

  test("a connection that answers no PING is given up", async () => {
    using upstream = startHttp2Upstream(() => undefined);
    const http2 = { connectionKeepaliveIntervalMs: 50, connectionKeepaliveTimeoutMs: 50 };
    using proxy = await startServing(snapshotFor(upstream.port, { http2 }));
    using client = await connectHttp2(proxy.port);
    client.headers(1, request("/", [], "POST"));
    const peer = await until("the connection", () => upstream.connections[0]);
    peer.acknowledges = false;
    expect(valueOf((await client.over(1)).heads[0], ":status")).toBe("503");
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(" 503 UC ");
  });

  test("a reader that stalls holds one stream's window, and its neighbours none", async () => {
    const big = Buffer.alloc(16_384, 120);
    function push(peer: Http2Peer, id: number): void {
      for (let left = 65_535; left > 0; left -= big.length) peer.data(id, big.subarray(0, left), false);
    }
    using upstream = startHttp2Upstream((peer, one) => {
      if (!isWhole(one)) return;
      peer.headers(one.id, [[":status", "200"]], END_HEADERS);
      if (valueOf(peer.stream(one.id).heads[0], ":path") === "/big") push(peer, one.id);
      else peer.data(one.id, "small");
    });
    using proxy = await startServing(snapshotFor(upstream.port));
    using client = await connectHttp2(proxy.port);
    client.credits = false;
    // These stalled readers would hold twice the connection's window, were it theirs to hold.
    for (let id = 1; id < 65; id += 2) client.headers(id, request("/big"));
    await until("what the client's windows take", () =>
      [...client.streams.values()].reduce((sum, { body }) => sum + body.length, 0) === 65_535 ? true : undefined,
    );
    using other = await connectHttp2(proxy.port);
    other.headers(1, request("/small"));
    expect((await other.over(1)).body.toString()).toBe("small");
    const updates = upstream.connections[0]?.frames.filter(({ type, id }) => type === WINDOW_UPDATE && id > 0) ?? [];
    expect(updates.length).toBeLessThanOrEqual(1);
  });
});
