import { expect, test } from "bun:test";
import { detect, type Detected } from "./detect.ts";

const HELLO = "\u0016\u0003\u0001\u0002\u0000\u0001";

test.each([
  ["GET / HTTP/1.1\r\n", "http1"],
  ["GET /", "http1"],
  ["GET /a path that never ends", "http1"],
  ["get / http/1.0\r\n", "http1"],
  ["\r\n\r\nPOST / HTTP/1.1\r\n", "http1"],
  ["  GET / HTTP/1.1\r\n", "http1"],
  ["GET http://a/ HTTP/1.1\r\n", "http1"],
  ["OPTIONS * HTTP/1.1\r\n", "http1"],
  ["CONNECT a.test:443 HTTP/1.1\r\n", "http1"],
  ["FROB /x HTTP/1.1\n", "http1"],
  ["G[]T / HTTP/1.1\r\n", "http1"],
  ["\u0001GET / HTTP/1.1\r\n", "http1"],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r", undefined],
  ["PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "http1"],
  ["P", undefined],
  ["GE", undefined],
  ["\r\n", undefined],
  [HELLO, "tls"],
  [HELLO.slice(0, 5), undefined],
  ["\u0016\u0003\u0001\u0002\u0000\u0002", "tcp"],
  ["\u0016\u0002", "tcp"],
  ["*1\r\n$4\r\nPING\r\n", "tcp"],
  ["PING\r\n", "tcp"],
  ["EHLO a.test\r\n", "tcp"],
  ["get key\r\n", "tcp"],
  ["\u0000\u0001\u0002", "tcp"],
  [`x${"y".repeat(9000)}`, "http1"],
  ["", undefined],
  // What only some servers take for a request, cut where an attacker likes: it must not reach one of them as TCP.
  ["GET\u000B/adm", "http1"],
  ["GET\u00A0/admin\r\n", "http1"],
  ["\u000BGET /adm", "http1"],
  ["\u001FFROB /adm", undefined],
  ["FROB\u000C/adm", undefined],
  [`GET${"\u000B".repeat(400)}/adm`, undefined],
] as const satisfies readonly (readonly [string, Detected])[])("%j", (text, expected) => {
  expect(detect(Buffer.from(text, "latin1"))).toBe(expected);
});

test("empty lines without end are HTTP, as Node skips them all", () => {
  expect(detect(Buffer.from("\r\n".repeat(4096), "latin1"))).toBeUndefined();
  expect(detect(Buffer.from("\r\n".repeat(4097), "latin1"))).toBe("http1");
});
