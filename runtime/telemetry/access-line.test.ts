import { expect, test } from "bun:test";
import fc from "fast-check";
import { EMPTY_BODY } from "../exchange/body.ts";
import { Exchange } from "../exchange/exchange.ts";
import { HeaderMap, type ParsedFields } from "../exchange/headers.ts";
import { renderAccessLine, writeAccessLine } from "./access-line.ts";
import { LineBuffer } from "./line-buffer.ts";

const downstream = {
  direction: "inbound" as const,
  remoteIp: "127.0.0.1",
  remoteAddress: "127.0.0.1:40112",
  localAddress: "127.0.0.1:8080",
  localPort: 8080,
  originalDestination: undefined,
  tls: undefined,
};
const clock = { now: () => Date.UTC(2026, 10, 23, 12, 0, 0, 7), monotonic: () => 100 };

test("a proxied exchange is Istio's default line", () => {
  const headers = HeaderMap.from([
    ["User-Agent", "curl/8"],
    ["X-Forwarded-For", "203.0.113.7"],
  ]);
  const exchange = new Exchange(downstream, "GET", "/new", "reviews:9080", "HTTP/1.1", headers, EMPTY_BODY, clock);
  Object.assign(exchange, {
    originalPath: "/old?x=1",
    status: 200,
    details: "via_upstream",
    bytesReceived: 3,
    bytesSent: 100,
    requestId: "id-1",
    upstreamHost: "127.0.0.1:9080",
    upstreamLocalAddress: "127.0.0.1:50000",
    sentMonoMs: 101,
    repliedMonoMs: 104.4,
    decision: {
      routeName: "default",
      cluster: "inbound|8080||",
      timeoutMs: 0,
      prepare: undefined,
      editReply: undefined,
    },
  });
  expect(renderAccessLine(exchange, 105.6)).toBe(
    '[2026-11-23T12:00:00.007Z] "GET /old?x=1 HTTP/1.1" 200 - via_upstream - "-" 3 100 6 3 "203.0.113.7" "curl/8" "id-1" ' +
      '"reviews:9080" "127.0.0.1:9080" inbound|8080|| 127.0.0.1:50000 127.0.0.1:8080 127.0.0.1:40112 - default\n',
  );
});

test("what filters add stands behind, and the next line is none of it", () => {
  const plain = new Exchange(downstream, "GET", "/", "reviews", "HTTP/1.1", new HeaderMap(), EMPTY_BODY, clock);
  const filtered = new Exchange(downstream, "GET", "/", "reviews", "HTTP/1.1", new HeaderMap(), EMPTY_BODY, clock);
  filtered.filterCosts = [{ filter: "default/jwt", fuel: 1520, tookMs: 0.0124 }];
  filtered.metadata = new Map([["user", "ada"]]);
  const line = new LineBuffer(4096);
  for (const exchange of [plain, filtered, plain, plain]) writeAccessLine(line, exchange, 105);
  const [first = "", second = "", ...others] = line.bytes.latin1Slice(0, line.at).split("\n");
  expect(second).toBe(`${first} {"filters":{"default/jwt":{"us":12,"fuel":1520}},"metadata":{"user":"ada"}}`);
  expect(others).toEqual([first, first, ""]);
});

test("what is not known is a dash", () => {
  const exchange = new Exchange(downstream, "-", "-", "-", "HTTP/1.1", new HeaderMap(), EMPTY_BODY, clock);
  Object.assign(exchange, { status: 400, flags: "DPE", details: "http1.codec_error" });
  expect(renderAccessLine(exchange, 100)).toBe(
    '[2026-11-23T12:00:00.007Z] "- - HTTP/1.1" 400 DPE http1.codec_error - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 127.0.0.1:8080 127.0.0.1:40112 - -\n',
  );
});

/** Fields that a decoder brought once and all of those exchanges share. */
function shared(agent: string, id: number): ParsedFields {
  const bytes = Buffer.from(`user-agent: ${agent}\r\n`);
  const offsets = new Int32Array([0, 10, 12, bytes.length - 2]);
  return { bytes, offsets, marks: new Uint8Array(1), count: 1, id, notesAt: 0, table: 0, names: 0 };
}

const AGENTS = [shared("curl/8", 1), shared("wget/1", 2)] as const;

const FIRST = {
  agent: 0,
  isDropped: false,
  forwardedFor: "",
  method: "GET",
  path: "/a",
  status: 200,
  bytesReceived: 0,
  bytesSent: 0,
  requestId: "id-1",
  upstreamHost: "",
  remoteAddress: "10.1.1.1:1",
  startedAtMs: 1000,
  repliedMonoMs: 0,
  fuel: 0,
};

/** One part of the line after the other changes, or none. */
const change: fc.Arbitrary<Partial<typeof FIRST>> = fc.oneof(
  fc.constant({}),
  fc.record({ path: fc.constantFrom("/a", "/b", "/long"), requestId: fc.constantFrom("id-1", "id-2", "") }),
  fc.record({ agent: fc.constantFrom(0, 1) }),
  fc.record({ isDropped: fc.boolean() }),
  fc.record({ forwardedFor: fc.constantFrom("", "10.0.0.7", "10.0.0.8") }),
  fc.record({ method: fc.constantFrom("GET", "PUT") }),
  fc.record({ status: fc.constantFrom(200, 404) }),
  fc.record({ bytesReceived: fc.constantFrom(0, 12) }),
  fc.record({ bytesSent: fc.constantFrom(0, 7, 42, 100, 999, 1000) }),
  fc.record({ upstreamHost: fc.constantFrom("", "up:1") }),
  fc.record({ remoteAddress: fc.constantFrom("10.1.1.1:1", "10.1.1.2:2") }),
  fc.record({ startedAtMs: fc.constantFrom(1000, 1001) }),
  fc.record({ repliedMonoMs: fc.constantFrom(0, 104) }),
  fc.record({ fuel: fc.oneof(fc.constant(0), fc.nat(), fc.maxSafeNat()) }),
);

test("each line is what it would be alone, whatever was written before it and where buffers begin anew", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), fc.integer({ min: 300, max: 2000 }), (changes, sizeBytes) => {
      const line = new LineBuffer(sizeBytes);
      const one = { ...FIRST };
      for (const changed of changes) {
        Object.assign(one, changed);
        const { agent, isDropped, forwardedFor, method, path, status, remoteAddress, startedAtMs, fuel, ...rest } = one;
        const headers = new HeaderMap();
        headers.loadShared(agent === 0 ? AGENTS[0] : AGENTS[1]);
        if (isDropped) headers.delete("user-agent");
        if (forwardedFor !== "") headers.append("x-forwarded-for", forwardedFor);
        const at = { now: () => startedAtMs, monotonic: () => 100 };
        const from = { ...downstream, remoteAddress };
        const exchange = new Exchange(from, method, path, "a", "HTTP/2", headers, EMPTY_BODY, at);
        Object.assign(exchange, { status, details: "via_upstream", sentMonoMs: 101, ...rest });
        if (fuel > 0) exchange.filterCosts = [{ filter: "é☕", fuel, tookMs: 0.0314 }];
        const expected =
          `[1970-01-01T00:00:01.${startedAtMs === 1000 ? "000" : "001"}Z] "${method} ${path} HTTP/2" ${status} - via_upstream - "-" ` +
          `${rest.bytesReceived} ${rest.bytesSent} 6 ${rest.repliedMonoMs === 0 ? "-" : "3"} "${forwardedFor === "" ? "-" : forwardedFor}" ` +
          `"${isDropped ? "-" : ["curl/8", "wget/1"][agent]}" "${rest.requestId === "" ? "-" : rest.requestId}" ` +
          `"a" "${rest.upstreamHost === "" ? "-" : rest.upstreamHost}" - - 127.0.0.1:8080 ${remoteAddress} - -` +
          `${fuel === 0 ? "" : ` {"filters":{"é\\u2615":{"us":31,"fuel":${fuel}}}}`}\n`;
        if (!writeAccessLine(line, exchange, 106)) {
          line.clear();
          expect(writeAccessLine(line, exchange, 106)).toBe(true);
        }
        expect(line.bytes.latin1Slice(line.at - expected.length, line.at)).toBe(expected);
      }
    }),
  );
});
