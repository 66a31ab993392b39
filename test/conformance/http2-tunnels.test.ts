// Tunnels where HTTP/2 is on one side or on both: extended CONNECT (RFC 8441), CONNECT, and what is no tunnel.
import { describe, expect, test } from "bun:test";
import {
  ENABLE_CONNECT_PROTOCOL,
  END_HEADERS,
  ErrorCode,
  HEADERS,
  SETTINGS,
} from "../../runtime/codec/http2-frames.ts";
import { connectHttp2, startHttp2Upstream } from "../harness/http2-peer.ts";
import { exchangeRaw } from "../harness/raw.ts";
import { startScriptedUpstream } from "../harness/scripted-upstream.ts";
import { startServing } from "../harness/serving.ts";
import { until } from "../harness/until.ts";

type Fields = readonly (readonly [string, string])[];

const WEBSOCKET: Fields = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "http"],
  [":authority", "test"],
  [":path", "/chat"],
];

function snapshotFor(port: number, protocol: string, http: object = {}) {
  return {
    service: "test",
    clusters: [{ name: "c", endpoints: [{ address: "127.0.0.1", port }], protocol }],
    outbound: {
      virtualHosts: [{ name: "all", domains: ["*"], routes: [{ destinations: [{ cluster: "c", weight: 100 }] }] }],
      http,
    },
  };
}

function valueOf(fields: Fields | undefined, name: string): string | undefined {
  return fields?.find(([key]) => key.toLowerCase() === name)?.[1];
}

describe("an extended CONNECT", () => {
  test("is an upgrade to an upstream of HTTP/1.1; its end crosses as END_STREAM", async () => {
    using upstream = startScriptedUpstream((connection) => {
      const key = /sec-websocket-key: (\S+)/iu.exec(connection.received)?.[1] ?? "";
      const accept = new Bun.CryptoHasher("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      connection.send(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\nfirst`,
      );
    });
    using proxy = await startServing(snapshotFor(upstream.port, "http1"));
    using client = await connectHttp2(proxy.port);
    await client.roundTrip();
    const said = client.frames.find(({ type, payload }) => type === SETTINGS && payload.length > 0)?.payload;
    expect(said?.toString("hex")).toContain(`000${ENABLE_CONNECT_PROTOCOL}00000001`);
    client.headers(1, WEBSOCKET, END_HEADERS);
    await until("the upstream's bytes", () => (client.stream(1).body.toString() === "first" ? true : undefined));
    expect(valueOf(client.stream(1).heads[0], ":status")).toBe("200");
    expect(upstream.connections[0]?.received).toStartWith("GET /chat HTTP/1.1\r\n");
    expect(upstream.connections[0]?.received).toContain("Upgrade: websocket\r\n");
    client.data(1, "ping", false);
    await until("the client's bytes", () => upstream.connections[0]?.received.endsWith("ping") || undefined);
    upstream.connections[0]?.send("and back");
    upstream.connections[0]?.end();
    expect((await client.over(1)).body.toString()).toBe("firstand back");
    client.data(1, "", true);
    await until("the exchange to be told", () => proxy.lines[0]);
    expect(proxy.lines[0]).toContain(`"GET /chat HTTP/2" 101 - `);
  });

  test("goes on as one to an upstream of HTTP/2", async () => {
    using upstream = startHttp2Upstream(
      (peer, one) => {
        if (one.type === HEADERS) peer.headers(one.id, [[":status", "200"]], END_HEADERS);
        else if (one.type === 0 && one.payload.length > 0) peer.data(one.id, one.payload, false);
      },
      [[ENABLE_CONNECT_PROTOCOL, 1]],
    );
    using proxy = await startServing(snapshotFor(upstream.port, "http2"));
    using client = await connectHttp2(proxy.port);
    client.headers(1, WEBSOCKET, END_HEADERS);
    client.data(1, "echo", false);
    await until("the echo", () => (client.stream(1).body.toString() === "echo" ? true : undefined));
    const seen = upstream.connections[0]?.stream(1).heads[0];
    expect(valueOf(seen, ":method")).toBe("CONNECT");
    expect(valueOf(seen, ":protocol")).toBe("websocket");
    client.reset(1, ErrorCode.CANCEL);
    await until("the reset to cross", () =>
      upstream.connections[0]?.stream(1).reset === ErrorCode.CANCEL ? true : undefined,
    );
  });

  test("that the upstream answers with a plain 200 opens no tunnel", async () => {
    using upstream = startScriptedUpstream((connection) =>
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"),
    );
    using proxy = await startServing(snapshotFor(upstream.port, "http1"));
    using client = await connectHttp2(proxy.port);
    client.headers(1, WEBSOCKET, END_HEADERS);
    expect(valueOf((await client.over(1)).heads[0], ":status")).toBe("502");
  });

  test("to a protocol that is not allowed is 404", async () => {
    using upstream = startScriptedUpstream(() => undefined);
    using proxy = await startServing(snapshotFor(upstream.port, "http1", { upgrades: [] }));
    using client = await connectHttp2(proxy.port);
    client.headers(1, WEBSOCKET, END_HEADERS);
    expect(valueOf((await client.over(1)).heads[0], ":status")).toBe("404");
    expect(upstream.connections).toHaveLength(0);
  });
});

test("an upgrade over HTTP/1.1 is an extended CONNECT to an upstream of HTTP/2", async () => {
  using upstream = startHttp2Upstream(
    (peer, one) => {
      if (one.type === HEADERS) peer.headers(one.id, [[":status", "200"]], END_HEADERS);
      else if (one.type === 0 && one.payload.length > 0) peer.data(one.id, one.payload, false);
    },
    [[ENABLE_CONNECT_PROTOCOL, 1]],
  );
  using proxy = await startServing(snapshotFor(upstream.port, "http2"));
  const head =
    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  const { text } = await exchangeRaw(proxy.port, [head, "hello"], (soFar) => soFar.endsWith("hello"));
  expect(text).toStartWith("HTTP/1.1 101 Switching Protocols\r\n");
  expect(text.toLowerCase()).toContain("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n");
  expect(text).toEndWith("\r\n\r\nhello");
  expect(valueOf(upstream.connections[0]?.stream(1).heads[0], ":protocol")).toBe("websocket");
});

test("CONNECT, where it is allowed, has neither scheme nor path on either side", async () => {
  using upstream = startHttp2Upstream((peer, one) => {
    if (one.type === HEADERS) peer.headers(one.id, [[":status", "200"]], END_HEADERS);
    else if (one.type === 0 && one.payload.length > 0) peer.data(one.id, one.payload, false);
  });
  using proxy = await startServing(snapshotFor(upstream.port, "http2", { upgrades: ["connect"] }));
  using client = await connectHttp2(proxy.port);
  client.headers(
    1,
    [
      [":method", "CONNECT"],
      [":authority", "db.example:5432"],
    ],
    END_HEADERS,
  );
  client.data(1, "query", false);
  await until("the echo", () => (client.stream(1).body.toString() === "query" ? true : undefined));
  const seen = upstream.connections[0]?.stream(1).heads[0];
  expect(valueOf(seen, ":authority")).toBe("db.example:5432");
  expect(valueOf(seen, ":path")).toBe("");
});

describe("a CONNECT with a length", () => {
  // Those bytes would be the tunnel's; an upstream that refuses the upgrade would take the next request's first bytes for them.
  test.each([
    ["extended", WEBSOCKET, "http1"],
    ["extended", WEBSOCKET, "http2"],
    [
      "plain",
      [
        [":method", "CONNECT"],
        [":authority", "test:1"],
      ] as Fields,
      "http1",
    ],
  ] as const)("%s %#, is refused, and no upstream hears of it", async (_, fields, protocol) => {
    using upstream = startScriptedUpstream((connection) => {
      connection.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    using proxy = await startServing(snapshotFor(upstream.port, protocol, { upgrades: ["websocket", "connect"] }));
    using client = await connectHttp2(proxy.port);
    client.headers(1, [...fields, ["content-length", "40"]], END_HEADERS);
    await until("the refusal", () => client.stream(1).heads[0]);
    expect(valueOf(client.stream(1).heads[0], ":status")).toBe("400");
    client.headers(3, fields, END_HEADERS);
    if (protocol === "http1") await until("one without", () => client.stream(3).heads[0]);
    expect(upstream.connections.map(({ received }) => received).join("")).not.toContain("content-length");
  });
});
