import { expect, test } from "bun:test";
import { parseClientHello } from "./client-hello.ts";

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

function vector(bytes: Buffer): Buffer {
  return Buffer.concat([u16(bytes.length), bytes]);
}

function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([u16(type), vector(body)]);
}

function sni(...names: readonly string[]): Buffer {
  const entries = names.map((name) => Buffer.concat([Buffer.from([0]), vector(Buffer.from(name, "latin1"))]));
  return extension(0, vector(Buffer.concat(entries)));
}

function alpn(...names: readonly string[]): Buffer {
  const entries = names.map((name) => Buffer.from(`${String.fromCodePoint(name.length)}${name}`, "latin1"));
  return extension(16, vector(Buffer.concat(entries)));
}

/** A ClientHello in records of at most `recordBytes`. */
function hello(extensions: Buffer, recordBytes = 16_384): Buffer {
  const body = Buffer.concat([
    Buffer.alloc(34),
    Buffer.from([0]),
    vector(Buffer.from([0x13, 0x01])),
    Buffer.from([1, 0]),
    vector(extensions),
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), u16(body.length), body]);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes) {
    records.push(Buffer.from([22, 3, 1]), vector(message.subarray(at, at + recordBytes)));
  }
  return Buffer.concat(records);
}

test("name and protocols are read", () => {
  const bytes = hello(Buffer.concat([extension(43, Buffer.from([2, 3, 4])), sni("A.Test"), alpn("istio", "h2")]));
  expect(parseClientHello(bytes)).toEqual({ serverName: "a.test", alpn: ["istio", "h2"] });
  expect(parseClientHello(hello(Buffer.alloc(0)))).toEqual({ serverName: "", alpn: [] });
});

test("records may cut it anywhere, and so may chunks", () => {
  const extensions = Buffer.concat([sni("outbound_.80_._.a.test"), alpn("h2")]);
  for (const recordBytes of [1, 2, 3, 7, 60]) {
    const bytes = hello(extensions, recordBytes);
    expect(parseClientHello(bytes)).toEqual({ serverName: "outbound_.80_._.a.test", alpn: ["h2"] });
    for (let length = 0; length < bytes.length; length++) {
      expect(parseClientHello(bytes.subarray(0, length))).toBe("incomplete");
    }
  }
});

test.each([
  ["two names", sni("a.test", "b.test")],
  ["two extensions of one kind", Buffer.concat([sni("a.test"), sni("b.test")])],
  ["a name with a line's end", sni("a\r\nb")],
  ["a name that is empty", sni("")],
  ["a protocol that is empty", alpn("")],
  ["an extension beyond its end", Buffer.from([0, 0, 0, 9, 1])],
])("refused: %s", (_, extensions) => {
  expect(parseClientHello(hello(extensions))).toBe("malformed");
});

test("what announces more than a record holds is refused at once", () => {
  expect(parseClientHello(Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255]))).toBe("malformed");
});
