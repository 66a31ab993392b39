import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { canonicalAddress, isInNetwork, parseAddress, parseNetwork } from "./address.ts";

describe("an address has one spelling", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["::ffff:10.0.0.1", "10.0.0.1"],
    ["::FFFF:a00:1", "10.0.0.1"],
    ["2001:DB8:0:0::1", "2001:db8::1"],
    ["::", "::"],
    ["1::", "1::"],
    ["64:ff9b::10.0.0.1", "64:ff9b::a00:1"],
    ["fe80::1%eth0", undefined],
    ["10.0.0", undefined],
    ["10.0.0.256", undefined],
    ["", undefined],
  ])("%s is %s", (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
  });
});

describe("a network holds the addresses that begin as it does", () => {
  test.each([
    ["10.1.0.0/16", "10.1.255.255", true],
    ["10.1.0.0/16", "10.2.0.0", false],
    ["10.0.0.0/9", "10.127.0.1", true],
    ["10.0.0.0/9", "10.128.0.1", false],
    ["10.0.0.1", "10.0.0.1", true],
    ["10.0.0.1", "::ffff:10.0.0.1", true],
    ["0.0.0.0/0", "192.0.2.1", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "192.0.2.1", true],
    ["fd00::/8", "fdff::1", true],
    ["fd00::/8", "fe00::1", false],
  ])("%s and %s: %p", (network, address, expected) => {
    const net = parseNetwork(network);
    const bytes = parseAddress(address);
    if (net === undefined || bytes === undefined) throw new Error("is not an address");
    expect(isInNetwork(bytes, net)).toBe(expected);
  });

  test.each(["10.0.0.0/33", "10.0.0.0/", "fd00::/129", "/8", "a/8", "10.0.0.0/-1"])("%s is none", (text) => {
    expect(parseNetwork(text)).toBeUndefined();
  });
});

test("an address is in its own network of every length, and in none where a bit of the prefix differs", () => {
  fc.assert(
    fc.property(fc.ipV6(), fc.integer({ min: 1, max: 128 }), fc.nat(127), (text, bits, flip) => {
      const bytes = parseAddress(text);
      if (bytes === undefined) throw new Error(`${text} is not read`);
      const network = { bytes, bits };
      const other = bytes.slice();
      other[flip >> 3] = (other[flip >> 3] ?? 0) ^ (0x80 >> (flip & 7));
      return isInNetwork(bytes, network) && isInNetwork(other, network) === flip >= bits;
    }),
  );
});
