import { expect, test } from "bun:test";
import { hasName, matchesHost, parseAltNames, principalOf } from "./peer-certificate.ts";

test("names are read as openssl writes them", () => {
  expect(parseAltNames("DNS:a.test, DNS:*.b.test, IP Address:192.0.2.1, URI:spiffe://a/b")).toEqual([
    { kind: "DNS", value: "a.test" },
    { kind: "DNS", value: "*.b.test" },
    { kind: "IP Address", value: "192.0.2.1" },
    { kind: "URI", value: "spiffe://a/b" },
  ]);
  expect(parseAltNames("")).toEqual([]);
});

test("a value makes up no further names", () => {
  const names = parseAltNames(String.raw`URI:"spiffe://a\u002c URI:spiffe://root", DNS:a.test`);
  expect(names).toEqual([
    { kind: "URI", value: "spiffe://a, URI:spiffe://root" },
    { kind: "DNS", value: "a.test" },
  ]);
  expect(parseAltNames(`URI:spi"ffe://a, URI:spiffe://root`)).toEqual([]);
});

test("a principal is the one URI of SPIFFE", () => {
  expect(principalOf(parseAltNames("DNS:a, URI:spiffe://td/ns/a/sa/b"))).toBe("td/ns/a/sa/b");
  expect(principalOf(parseAltNames("URI:spiffe://td/a, URI:spiffe://td/b"))).toBe("");
  expect(principalOf(parseAltNames("URI:https://td/a"))).toBe("");
});

test.each([
  ["DNS:*.a.test", "x.a.test", true],
  ["DNS:*.a.test", "a.test", false],
  ["DNS:*.a.test", "x.y.a.test", false],
  ["DNS:*.test", "a.test", false],
  ["DNS:A.test", "a.Test", true],
  ["IP Address:192.0.2.1", "192.0.2.1", true],
  ["DNS:192.0.2.1", "192.0.2.1", false],
  ["URI:spiffe://a/b", "spiffe://a/b", true],
  ["URI:spiffe://a/bc", "spiffe://a/b", false],
])("%s has %s: %p", (names, wanted, expected) => {
  expect(hasName(parseAltNames(names), [wanted])).toBe(expected);
});

test("a wildcard is one label", () => {
  expect(matchesHost("*.wild.test", ".wild.test")).toBe(false);
});
