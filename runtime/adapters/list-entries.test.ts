import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isInNetwork, parseAddress, parseNetwork } from "../expression/address.ts";
import { compileEntries, readEntries } from "./list-entries.ts";
import { compileNetworks } from "./network-set.ts";

describe("a value is listed", () => {
  test.each([
    ["strings", ["a", "B"], "a", true],
    ["strings", ["a", "B"], "b", false],
    ["case_insensitive", ["a", "B"], "b", true],
    ["ip_addresses", ["10.0.0.0/8"], "10.1.2.3", true],
    ["ip_addresses", ["10.0.0.0/8"], "not an address", false],
    ["regex", ["^a+$"], "aaa", true],
    ["regex", ["b"], "abc", true],
    ["regex", ["^b"], "abc", false],
  ] as const)("%s %p has %s: %p", (type, entries, value, expected) => {
    const compiled = compileEntries(type, entries);
    expect(compiled.ok && compiled.value(value)).toBe(expected);
  });
});

test("entries that are none are told", () => {
  const errors = [
    compileEntries("ip_addresses", ["10.0.0.1", "10.0.0.0/40"]),
    compileEntries("regex", ["a", "(?=b)"]),
    compileEntries(
      "regex",
      Array.from({ length: 1001 }, () => "a"),
    ),
  ].map((compiled) => (compiled.ok ? "" : compiled.error));
  expect(errors[0]).toBe(`"10.0.0.0/40" is neither an address nor a network`);
  expect(errors[1]).toStartWith(`"(?=b)" is not a pattern: `);
  expect(errors[2]).toBe("has 1001 patterns, limit is 1000");
});

test("a pattern that others would never finish is tried in a moment", () => {
  const compiled = compileEntries("regex", ["^(a+)+$"]);
  if (!compiled.ok) throw new Error(compiled.error);
  const startedMs = performance.now();
  expect(compiled.value(`${"a".repeat(30_000)}b`)).toBe(false);
  expect(performance.now() - startedMs).toBeLessThan(2000);
});

test("lines hold entries, without comments and space", () => {
  expect(readEntries("a\r\n  b # the second\n# none\n\nc")).toEqual(["a", "b", "c"]);
});

test("a set of networks has the addresses that one of them has", () => {
  const network = fc.oneof(
    fc.tuple(fc.ipV4(), fc.nat(32)).map(([ip, bits]) => `${ip}/${bits}`),
    fc.tuple(fc.ipV6(), fc.nat(128)).map(([ip, bits]) => `${ip}/${bits}`),
  );
  // Few bits, so that many are in.
  const near = fc.tuple(fc.constantFrom("10.0.0.", "10.0.1."), fc.nat(255)).map(([net, host]) => `${net}${host}`);
  fc.assert(
    fc.property(
      fc.array(fc.oneof(network, near), { maxLength: 8 }),
      fc.oneof(fc.ipV4(), fc.ipV6(), near),
      (all, ip) => {
        const compiled = compileNetworks(all);
        if (!compiled.ok) throw new Error(compiled.wrong);
        const address = parseAddress(ip) ?? new Uint8Array(16);
        const expected = all.some((text) => {
          const one = parseNetwork(text);
          return one !== undefined && isInNetwork(address, one);
        });
        return compiled.value(ip) === expected;
      },
    ),
    { numRuns: 500 },
  );
});
