// Each flood that HTTP/2 knows, from crafted frames over a real socket: the one who floods loses its connection, and a
// client beside it is served as before.
import { describe, expect, test } from "bun:test";
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  ErrorCode,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  PING,
  PRIORITY,
  RST_STREAM,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../runtime/codec/http2-frames.ts";
import {
  block,
  connectHttp2,
  frame,
  request,
  settings,
  startHttp2Upstream,
  uint32,
  type Http2Peer,
  type StreamRecord,
} from "../harness/http2-peer.ts";
import { startScriptedUpstream, type ScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing, type ServingUnderTest } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

const BIG = 100_000;

interface Floor extends Disposable {
  readonly upstream: ScriptedUpstream;
  readonly proxy: ServingUnderTest;
}

/** An upstream that answers `/` at once and `/big` with much, and a proxy before it. */
async function lay(limits: object = {}): Promise<Floor> {
  const upstream = startScriptedUpstream((connection) => {
    const path = connection.received.split(" HTTP/1.1").at(-2)?.split(" ").at(-1);
    const body = "x".repeat(path === "/big" ? BIG : 2);
    if (path !== "/wait") connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  const proxy = await startServing({
    service: "test",
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port: upstream.port }] }],
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c", weight: 100 }] }] }],
      limits,
    },
  });
  return {
    upstream,
    proxy,
    [Symbol.dispose]: () => {
      proxy[Symbol.dispose]();
      upstream[Symbol.dispose]();
    },
  };
}

function repeat(count: number, make: (index: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
}

/** Opens a stream whose request is not whole, so that frames of it have somewhere to go. */
function openStream(peer: Http2Peer): void {
  peer.headers(1, request("/wait", [], "POST"), END_HEADERS);
}

interface Flood {
  readonly name: string;
  readonly limits?: object;
  readonly act: (peer: Http2Peer) => void;
}

const FLOODS: readonly Flood[] = [
  {
    name: "rapid reset (CVE-2023-44487)",
    act: (peer) =>
      peer.send(
        repeat(600, (index) =>
          Buffer.concat([
            frame(HEADERS, END_HEADERS | END_STREAM, index * 2 + 1, block(request("/wait"))),
            frame(RST_STREAM, 0, index * 2 + 1, uint32(ErrorCode.CANCEL)),
          ]),
        ),
      ),
  },
  {
    name: "streams made to be reset by the proxy (CVE-2025-8671)",
    act: (peer) =>
      peer.send(
        repeat(600, (index) =>
          Buffer.concat([
            frame(HEADERS, END_HEADERS, index * 2 + 1, block(request("/wait", [], "POST"))),
            frame(WINDOW_UPDATE, 0, index * 2 + 1, uint32(0)),
          ]),
        ),
      ),
  },
  {
    name: "CONTINUATION without end (CVE-2024-27316)",
    act: (peer) =>
      peer.send(
        frame(HEADERS, 0, 1, block(request())),
        repeat(200, () => frame(CONTINUATION, 0, 1, block([["x-more", "y".repeat(1000)]]))),
      ),
  },
  {
    name: "small CONTINUATION frames",
    act: (peer) =>
      peer.send(
        frame(HEADERS, 0, 1, block(request())),
        repeat(200, () => frame(CONTINUATION, 0, 1, block([["x", ""]]))),
      ),
  },
  {
    name: "empty CONTINUATION frames (CVE-2019-9518)",
    act: (peer) =>
      peer.send(
        frame(HEADERS, 0, 1, block(request())),
        repeat(10, () => frame(CONTINUATION, 0, 1)),
      ),
  },
  {
    name: "empty DATA frames (CVE-2019-9518)",
    act: (peer) => {
      openStream(peer);
      peer.send(repeat(10, () => frame(DATA, 0, 1)));
    },
  },
  {
    name: "PING (CVE-2019-9512)",
    act: (peer) => peer.send(repeat(2000, () => frame(PING, 0, 0, Buffer.alloc(8)))),
  },
  {
    name: "SETTINGS (CVE-2019-9515)",
    act: (peer) => peer.send(repeat(2000, () => frame(SETTINGS, 0, 0))),
  },
  {
    name: "SETTINGS that give many streams another window, again and again",
    act: (peer) =>
      peer.send(
        repeat(800, (index) => frame(HEADERS, END_HEADERS, index * 2 + 1, block(request("/wait", [], "POST")))),
        repeat(40, (index) => frame(SETTINGS, 0, 0, settings([[INITIAL_WINDOW_SIZE, 1000 + index]]))),
      ),
  },
  {
    name: "PRIORITY (CVE-2019-9513)",
    act: (peer) =>
      peer.send(repeat(500, (index) => frame(PRIORITY, 0, index * 2 + 1, Buffer.concat([uint32(0), Buffer.alloc(1)])))),
  },
  {
    name: "WINDOW_UPDATE",
    act: (peer) => {
      openStream(peer);
      peer.send(repeat(100, () => frame(WINDOW_UPDATE, 0, 1, uint32(1))));
    },
  },
  {
    name: "a part of a head and no more",
    limits: { headTimeoutMs: 50 },
    act: (peer) => peer.send(frame(HEADERS, 0, 1, block(request()))),
  },
  {
    name: "a part of a frame and no more",
    limits: { headTimeoutMs: 50 },
    act: (peer) => peer.send(frame(PING, 0, 0, Buffer.alloc(8)).subarray(0, 12)),
  },
];

describe("a flood ends its connection with ENHANCE_YOUR_CALM", () => {
  test.each(FLOODS.map((flood) => [flood.name, flood] as const))("%s", async (_name, { limits, act }) => {
    using floor = await lay(limits);
    using beside = await connectHttp2(floor.proxy.port);
    beside.headers(1, request("/wait"));
    using peer = await connectHttp2(floor.proxy.port);
    await peer.roundTrip();
    act(peer);
    await until("GOAWAY", () => peer.goAway);
    expect(peer.goAway?.code).toBe(ErrorCode.ENHANCE_YOUR_CALM);
    await peer.ended();
    beside.headers(3, request());
    expect((await beside.over(3)).body).toHaveLength(2);
    expect(beside.stream(1).reset).toBeUndefined();
    beside.reset(1, ErrorCode.CANCEL);
    await until("every exchange to be over", () =>
      floor.proxy.serving.generation?.exchanges() === 0 ? true : undefined,
    );
  });
});

describe("what a client does not read has a bound", () => {
  test.each<readonly [string, (index: number) => Buffer]>([
    ["acknowledgements", () => frame(PING, 0, 0, Buffer.alloc(8))],
    [
      "resets",
      (index) => frame(HEADERS, END_HEADERS | END_STREAM, index * 2 + 1, block([...request(), [":method", "GET"]])),
    ],
  ])("%s", async (_name, make) => {
    using floor = await lay({
      http2: { maxInboundControlFrames: 1_000_000, prematureResetTotalStreamCount: 1_000_000 },
    });
    using beside = await connectHttp2(floor.proxy.port);
    using peer = await connectHttp2(floor.proxy.port, [[INITIAL_WINDOW_SIZE, 0x7fff_ffff]]);
    await peer.roundTrip();
    // Bodies that nobody reads fill the socket; from there on every answer waits.
    peer.send(frame(WINDOW_UPDATE, 0, 0, uint32(0x7000_0000)));
    peer.stopReading();
    for (let id = 1; id < 401; id += 2) peer.headers(id, request("/big"));
    await until("the socket to be full", () => (floor.proxy.ended.length > 20 ? true : undefined));
    let round = 0;
    await until("the connection to be given up", () => {
      if (floor.proxy.serving.listeners[0]?.connections.size === 1) return true;
      peer.send(repeat(100, (index) => make(1000 + round * 100 + index)));
      round++;
      return undefined;
    });
    expect(round * 100).toBeGreaterThan(1000);
    beside.headers(1, request());
    expect((await beside.over(1)).body).toHaveLength(2);
  });
});

describe("games with windows", () => {
  test("a stream that never opens its window is reset after the idle time, and no other", async () => {
    using floor = await lay({ streamIdleTimeoutMs: 100 });
    using peer = await connectHttp2(floor.proxy.port, [[INITIAL_WINDOW_SIZE, 0]]);
    peer.credits = false;
    peer.headers(1, request("/big"));
    peer.headers(3, request());
    peer.send(frame(WINDOW_UPDATE, 0, 3, uint32(10)));
    expect((await peer.over(3)).body).toHaveLength(2);
    expect((await peer.over(1)).reset).toBe(ErrorCode.INTERNAL_ERROR);
    await peer.roundTrip();
  });

  test("a window made smaller than what was sent waits until it is above zero again", async () => {
    using floor = await lay();
    using peer = await connectHttp2(floor.proxy.port, [[INITIAL_WINDOW_SIZE, 100]]);
    peer.credits = false;
    peer.headers(1, request("/big"));
    await until("what the window takes", () => (peer.stream(1).body.length === 100 ? true : undefined));
    peer.send(frame(SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, INITIAL_WINDOW_SIZE]), uint32(40)])));
    peer.send(frame(WINDOW_UPDATE, 0, 1, uint32(60)));
    await peer.roundTrip();
    expect(peer.stream(1).body).toHaveLength(100);
    peer.send(frame(WINDOW_UPDATE, 0, 1, uint32(5)));
    await until("the five bytes", () => (peer.stream(1).body.length === 105 ? true : undefined));
  });

  test("a stream beyond the bound is refused, and one after it is served", async () => {
    using floor = await lay({ http2: { maxConcurrentStreams: 2 } });
    using peer = await connectHttp2(floor.proxy.port);
    for (const id of [1, 3]) peer.headers(id, request("/wait"));
    peer.headers(5, request());
    expect((await peer.over(5)).reset).toBe(ErrorCode.REFUSED_STREAM);
    peer.reset(1, ErrorCode.CANCEL);
    peer.headers(7, request());
    expect((await peer.over(7)).body).toHaveLength(2);
  });
});

describe("replies that a client does not take", () => {
  const BODY = Buffer.alloc(60_000);

  test("are held to a bound; the streams beyond it are reset, and nothing else", async () => {
    using upstream = startHttp2Upstream((peer, one) => {
      if (one.type !== HEADERS) return;
      peer.headers(one.id, [[":status", "200"]], END_HEADERS);
      for (let at = 0; at < BODY.length; at += 15_000) peer.data(one.id, BODY.subarray(0, 15_000), at === 45_000);
    });
    using proxy = await startServing({
      service: "test",
      clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port: upstream.port }], protocol: "http2" }],
      outbound: {
        virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c" }] }] }],
        limits: { http2: { maxHeldReplyBytes: 1_000_000 } },
      },
    });
    using peer = await connectHttp2(proxy.port, [[INITIAL_WINDOW_SIZE, 0]]);
    for (let id = 1; id < 200; id += 2) peer.headers(id, request());
    const streams = (): readonly StreamRecord[] => [...peer.streams.values()];
    const resets = (): readonly StreamRecord[] => streams().filter(({ reset }) => reset !== undefined);
    await until("an answer to each", () => (streams().length === 100 && resets().length >= 84 ? true : undefined));
    await peer.roundTrip();
    expect(resets()).toHaveLength(84);
    expect(resets().every(({ reset }) => reset === ErrorCode.ENHANCE_YOUR_CALM)).toBe(true);
    await until("them to be told", () => (proxy.lines.length === 84 ? true : undefined));
    expect(proxy.lines[0]).toContain(" 200 UO ");
    // Those that are held arrive whole, and make room.
    for (const [id, { reset }] of peer.streams)
      if (reset === undefined) peer.send(frame(WINDOW_UPDATE, 0, id, uint32(BODY.length)));
    await until("what is held", () => (streams().filter(({ isEnded }) => isEnded).length === 16 ? true : undefined));
    expect(streams().every(({ reset, body }) => reset !== undefined || body.length === BODY.length)).toBe(true);
    peer.headers(201, request());
    peer.send(frame(WINDOW_UPDATE, 0, 201, uint32(BODY.length)));
    expect((await peer.over(201)).body).toHaveLength(BODY.length);
  });

  test("are bounded where they are heads alone: the connection is given up", async () => {
    const head = `HTTP/1.1 200 OK\r\nX-Big: ${"y".repeat(30_000)}\r\nContent-Length: 0\r\n\r\n`;
    using upstream = startScriptedUpstream((connection) => connection.send(head));
    using proxy = await startServing({
      service: "test",
      clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port: upstream.port }] }],
      outbound: {
        virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c" }] }] }],
        limits: { http2: { maxHeldReplyBytes: 65_535 } },
      },
    });
    using peer = await connectHttp2(proxy.port);
    await peer.roundTrip();
    peer.stopReading();
    // The kernel takes some megabytes, and 10 000 frames more would be allowed.
    for (let id = 1; id < 2000; id += 2) peer.headers(id, request());
    await until("the connection to be given up", () =>
      proxy.serving.listeners[0]?.connections.size === 0 ? true : undefined,
    );
    expect(proxy.ended.length).toBeGreaterThan(20);
  });
});
