import { expect, test } from "bun:test";
import { EMPTY_BODY } from "../exchange/body.ts";
import { Exchange } from "../exchange/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { renderAccessLine } from "./access-line.ts";

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

test("what is not known is a dash", () => {
  const exchange = new Exchange(downstream, "-", "-", "-", "HTTP/1.1", new HeaderMap(), EMPTY_BODY, clock);
  Object.assign(exchange, { status: 400, flags: "DPE", details: "http1.codec_error" });
  expect(renderAccessLine(exchange, 100)).toBe(
    '[2026-11-23T12:00:00.007Z] "- - HTTP/1.1" 400 DPE http1.codec_error - "-" 0 0 0 - "-" "-" "-" "-" "-" - - 127.0.0.1:8080 127.0.0.1:40112 - -\n',
  );
});
