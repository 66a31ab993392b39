// Laws of what reads the first bytes of a connection: any bytes, cut anywhere, end in an answer, and the same one.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseClientHello } from "../../runtime/listener/client-hello.ts";
import { detect } from "../../runtime/listener/detect.ts";
import { parseAltNames } from "../../runtime/listener/peer-certificate.ts";
import { parseProxyHeader, renderProxyHeader } from "../../runtime/listener/proxy-protocol.ts";

const PREFIXES = [
  "",
  "PROXY ",
  "PROXY TCP4 ",
  "\r\n\r\n\0\r\nQUIT\n",
  "\r\n\r\n\0\r\nQUIT\n\u0021\u0011\0\u000C",
  "\u0016\u0003\u0001",
  "\u0016\u0003\u0001\u0001\u0000\u0001\u0000\u0000\u00FC",
  "PRI * HTTP/2.0\r\n",
  "GET ",
];
const bytes = fc
  .tuple(fc.constantFrom(...PREFIXES), fc.uint8Array({ maxLength: 600 }))
  .map(([prefix, rest]) => Buffer.concat([Buffer.from(prefix, "latin1"), rest]));

/** The answer that a prefix gave, once it gave one. */
function firstAnswer<T>(input: Buffer, read: (bytes: Buffer) => T, isOpen: (answer: T) => boolean): T {
  for (let length = 1; length < input.length; length++) {
    const answer = read(input.subarray(0, length));
    if (!isOpen(answer)) return answer;
  }
  return read(input);
}

test("what is detected does not depend on how bytes are cut, unless their end told", () => {
  fc.assert(
    fc.property(bytes, (input) => {
      const early = firstAnswer(input, detect, (answer) => answer === undefined);
      const late = detect(input);
      // HTTP is what a longer text may turn out to be; what was TLS, HTTP/2 or TCP stays that.
      if (early === "tls" || early === "http2") expect(late).toBe(early);
      else expect(["http1", "tcp", undefined]).toContain(late ?? undefined);
    }),
    { numRuns: 2000 },
  );
});

test("a ClientHello that was read or refused stays so, however much follows", () => {
  fc.assert(
    fc.property(bytes, (input) => {
      const early = firstAnswer(input, parseClientHello, (answer) => answer === "incomplete");
      expect(parseClientHello(input)).toEqual(early);
    }),
    { numRuns: 2000 },
  );
});

test("a PROXY header that was read or refused stays so, however much follows", () => {
  fc.assert(
    fc.property(bytes, (input) => {
      const early = firstAnswer(input, parseProxyHeader, (answer) => answer === "incomplete");
      expect(parseProxyHeader(input)).toEqual(early);
    }),
    { numRuns: 2000 },
  );
});

test("a PROXY header is read as it was written", () => {
  const ip = fc.oneof(fc.ipV4(), fc.ipV6());
  const port = fc.integer({ min: 0, max: 65_535 });
  fc.assert(
    fc.property(ip, ip, port, port, (sourceIp, destinationIp, sourcePort, destinationPort) => {
      const given = { sourceIp, destinationIp, sourcePort, destinationPort };
      const first = parseProxyHeader(renderProxyHeader("V2", given));
      if (typeof first === "string" || first.proxied === undefined) throw new Error("not read");
      expect(first.proxied).toMatchObject({ sourcePort, destinationPort });
      // The text of an address may change once, to its canonical form.
      for (const version of ["V1", "V2"] as const) {
        expect(parseProxyHeader(renderProxyHeader(version, first.proxied))).toMatchObject({ proxied: first.proxied });
      }
    }),
    { numRuns: 1000 },
  );
});

test("names of a certificate are read from any text", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      for (const { kind } of parseAltNames(text)) expect(kind).not.toBe("");
    }),
    { numRuns: 2000 },
  );
});
