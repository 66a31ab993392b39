import { expect, test } from "bun:test";
import { isIPv6 } from "node:net";
import { openOriginalDst, renderIpv4, renderIpv6 } from "./original-dst.ts";

test("addresses are written as the system writes them", () => {
  expect(renderIpv4(Buffer.from([10, 0, 200, 1]), 0)).toBe("10.0.200.1");
  for (const [groups, text] of [
    ["0 0 0 0 0 0 0 0", "::"],
    ["0 0 0 0 0 0 0 1", "::1"],
    ["fd99 0 0 0 0 0 0 2", "fd99::2"],
    ["2001 db8 0 1 0 0 0 1", "2001:db8:0:1::1"],
    ["2001 0 0 1 0 0 1 1", "2001::1:0:0:1:1"],
    ["1 2 3 4 5 6 7 8", "1:2:3:4:5:6:7:8"],
    ["1 0 3 0 5 0 7 0", "1:0:3:0:5:0:7:0"],
    ["fe80 0 0 0 a b c 0", "fe80::a:b:c:0"],
    ["1 0 0 0 0 0 0 0", "1::"],
  ] as const) {
    const bytes = Buffer.from(
      groups
        .split(" ")
        .map((group) => group.padStart(4, "0"))
        .join(""),
      "hex",
    );
    expect(renderIpv6(bytes, 0)).toBe(text);
    expect(isIPv6(text)).toBe(true);
  }
});

test.each(["127.0.0.1", "::1", "::"])("a connection that nobody redirected has none: %s", async (hostname) => {
  const read = openOriginalDst();
  const seen = Promise.withResolvers<unknown>();
  const server = Bun.listen({
    hostname,
    port: 0,
    socket: {
      open: (socket) => seen.resolve(read(socket)),
      data: () => undefined,
    },
  });
  // On `::` an IPv4 caller is there as an IPv4-mapped one.
  const client = await Bun.connect({
    hostname: hostname === "::1" ? "::1" : "127.0.0.1",
    port: server.port,
    socket: { data: () => undefined },
  });
  expect(await seen.promise).toBeUndefined();
  client.end();
  server.stop(true);
});
