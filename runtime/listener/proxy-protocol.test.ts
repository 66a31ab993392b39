import { describe, expect, test } from "bun:test";
import { parseProxyHeader, renderProxyHeader } from "./proxy-protocol.ts";

const V4 = { sourceIp: "192.0.2.1", sourcePort: 56_324, destinationIp: "192.0.2.2", destinationPort: 443 };
const V6 = { sourceIp: "2001:db8::1", sourcePort: 1, destinationIp: "fe80::1:2", destinationPort: 65_535 };

function parse(text: string) {
  return parseProxyHeader(Buffer.from(text, "latin1"));
}

function v2(command: number, family: number, rest: Buffer, length = rest.length): Buffer {
  const head = Buffer.from([13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, command, family, length >> 8, length & 255]);
  return Buffer.concat([head, rest]);
}

describe.each(["V1", "V2"] as const)("%s", (version) => {
  test.each([V4, V6])("what is written is read: %j", (proxied) => {
    const bytes = renderProxyHeader(version, proxied);
    expect(parseProxyHeader(Buffer.concat([bytes, Buffer.from("GET /")]))).toEqual({ bytes: bytes.length, proxied });
    for (let length = 0; length < bytes.length; length++) {
      expect(parseProxyHeader(bytes.subarray(0, length))).toBe("incomplete");
    }
  });

  test("addresses of two families are both written as IPv6", () => {
    const mixed = parseProxyHeader(renderProxyHeader(version, { ...V4, sourceIp: "::1" }));
    expect(mixed).toMatchObject({ proxied: { sourceIp: "::1" } });
    expect(mixed).toMatchObject({ proxied: { destinationIp: expect.stringMatching(/^::ffff:/u) } });
  });
});

test("nobody in particular", () => {
  expect(parse("PROXY UNKNOWN\r\nGET")).toEqual({ bytes: 15, proxied: undefined });
  expect(parse("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n")).toEqual({ bytes: 35, proxied: undefined });
  expect(parseProxyHeader(v2(0x20, 0, Buffer.alloc(0)))).toEqual({ bytes: 16, proxied: undefined });
  // A UNIX socket, and a health check that brings addresses and TLVs.
  expect(parseProxyHeader(v2(0x21, 0x31, Buffer.alloc(216)))).toEqual({ bytes: 232, proxied: undefined });
  expect(parseProxyHeader(v2(0x20, 0x11, Buffer.alloc(40)))).toEqual({ bytes: 56, proxied: undefined });
});

test("TLVs are skipped", () => {
  const bytes = renderProxyHeader("V2", V4);
  const longer = Buffer.concat([bytes, Buffer.from([4, 0, 1, 0])]);
  longer.writeUInt16BE(16, 14);
  expect(parseProxyHeader(longer)).toEqual({ bytes: longer.length, proxied: V4 });
});

test("something else", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "PROXX", "\r\n\r\nGET", "proxy TCP4 "]) expect(parse(text)).toBe("absent");
});

test.each([
  "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
  "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
  "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
  "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
  "PROXY TCP4 ::1 ::1 1 2\r\n",
  "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
  "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
  "PROXY \r\n",
  `PROXY TCP4 ${"1".repeat(101)}`,
])("malformed: %j", (text) => {
  expect(parse(text)).toBe("malformed");
});

test("malformed of version 2", () => {
  expect(parseProxyHeader(v2(0x11, 0x11, Buffer.alloc(12)))).toBe("malformed");
  expect(parseProxyHeader(v2(0x22, 0x11, Buffer.alloc(12)))).toBe("malformed");
  expect(parseProxyHeader(v2(0x21, 0x11, Buffer.alloc(11)))).toBe("malformed");
  expect(parseProxyHeader(v2(0x21, 0x11, Buffer.alloc(0), 65_535))).toBe("malformed");
});
