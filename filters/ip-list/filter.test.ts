// Who may call, by address.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { describeLibraryFilter } from "../../test/contract/library.ts";
import { compileAddresses, parseAddress } from "./addresses.ts";
import filter from "./filter.ts";

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test.each([
    ["10.1.2.3", 200],
    ["10.9.9.9", 403],
    ["192.0.2.7", 200],
    ["192.0.2.8", 403],
    ["::ffff:10.1.2.3", 200],
    ["2001:db8::1", 200],
    ["2001:db9::1", 403],
    ["fe80::1%eth0", 403],
  ])("%p is answered %d", async (sourceIp, status) => {
    const list = await start({
      config: { allow: ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"], deny: ["10.9.0.0/16"] },
    });
    const sent = await list.send({ sourceIp });
    expect(sent.status).toBe(status);
    expect(sent.forwarded === undefined).toBe(status === 403);
  });

  test("without allow, everybody calls who is not denied", async () => {
    const list = await start({ config: { deny: ["10.0.0.7"], status: 404 } });
    expect((await list.send({ sourceIp: "10.0.0.8" })).status).toBe(200);
    expect((await list.send({ sourceIp: "10.0.0.7" })).status).toBe(404);
  });

  test("the client is as many hops from the right as are trusted, and what it wrote itself is worth nothing", async () => {
    const list = await start({ config: { allow: ["192.0.2.0/24"], trustedHops: 2 } });
    const from = async (field: string) =>
      (await list.send({ sourceIp: "10.0.0.1", headers: { "x-forwarded-for": field } })).status;
    expect(await from("203.0.113.9, 192.0.2.7, 10.0.0.9")).toBe(200);
    expect(await from("192.0.2.7, 203.0.113.9, 10.0.0.9")).toBe(403);
    expect(await from("192.0.2.7")).toBe(403);
  });

  test("in shadow it refuses nobody", async () => {
    const list = await start({ config: { deny: ["0.0.0.0/0"], shadow: true } });
    expect(await list.send()).toMatchObject({ status: 200, runs: ["request proceed"] });
  });

  test.each([
    [{}, "must have allow or deny"],
    [{ allow: ["10.0.0.0/33"] }, 'allow[0]: "10.0.0.0/33" has a prefix of 33 bits'],
    [{ deny: ["10.0.0.1", "10.0.0.1/8"] }, 'deny[1]: "10.0.0.1/8" has bits behind its prefix of 8'],
    [{ deny: ["localhost"] }, "is not an address or a block"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config }).catch(String)).toContain(message);
  });
});

describe("addresses", () => {
  test.each([
    "",
    "1.2.3",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4.5",
    ":::",
    "1::2::3",
    "12345::",
    "::1.2.3",
    "g::",
    "1:2:3:4:5:6:7",
  ])("%p is none", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test("are the numbers that they mean", () => {
    expect(parseAddress("255.255.255.255")).toEqual({ version: 4, value: 0xffffffff });
    expect(parseAddress("2001:DB8::1:0")).toEqual({ version: 6, value: 0x20010db8000000000000000000010000n });
    expect(parseAddress("::")).toEqual({ version: 6, value: 0n });
    expect(parseAddress("64:ff9b::192.0.2.33")).toEqual({ version: 6, value: 0x64ff9b0000000000000000c0000221n });
  });

  test("a set holds what one of its blocks holds, however they overlap", () => {
    const block = fc
      .tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 32 }))
      .map(([value, length]) => {
        const size = 2 ** (32 - length);
        return { text: `${render(value - (value % size))}/${length}`, first: value - (value % size), size };
      });
    fc.assert(
      fc.property(fc.array(block, { maxLength: 8 }), fc.nat(), (blocks, seed) => {
        const compiled = compileAddresses(blocks.map(({ text }) => text));
        if (!compiled.ok) throw new Error(compiled.problems[0]?.message);
        const edges = blocks.flatMap(({ first, size }) => [first - 1, first, first + size - 1, first + size]);
        for (const value of [...edges, seed].filter((edge) => edge >= 0 && edge <= 0xffffffff)) {
          const isIn = blocks.some(({ first, size }) => value >= first && value < first + size);
          expect(compiled.set({ version: 4, value })).toBe(isIn);
        }
      }),
    );
  });
});

function render(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}
