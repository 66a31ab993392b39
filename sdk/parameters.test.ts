// What clients write into queries, cookies and forwarded addresses, read as the specifications say.
import { describe, expect, test } from "bun:test";
import { clientIp } from "./client-ip.ts";
import { duration } from "./duration.ts";
import { dropCookie, readCookie, readQuery } from "./parameters.ts";

test.each([
  ["/?key=a", "a"],
  ["/p?x=1&key=a%20b+c&key=2", "a b c"],
  ["/?k%65y=v", "v"],
  ["/?key", ""],
  ["/?key=%zz", undefined],
  ["/?keys=1", undefined],
  ["/key=1", undefined],
])("the query of %p has %p", (path, value) => {
  expect(readQuery(path, "key")).toBe(value);
});

test.each([
  ["key=a; other=b", "a", "other=b"],
  ['other=b;key="a b" ', "a b", "other=b"],
  ["keys=1; a=key=2", undefined, "keys=1; a=key=2"],
  ["key=1; key=2", "1", ""],
])("cookies %p", (field, value, rest) => {
  expect(readCookie(field, "key")).toBe(value);
  expect(dropCookie(field, "key")).toBe(rest);
});

describe("the client's address", () => {
  test.each([
    [0, "1.1.1.1", "10.0.0.1"],
    [1, null, "10.0.0.1"],
    [1, "6.6.6.6, 1.1.1.1", "1.1.1.1"],
    [2, "6.6.6.6, 1.1.1.1, 10.9.9.9", "1.1.1.1"],
    [3, "1.1.1.1, 10.9.9.9", "10.0.0.1"],
    [1, "1.1.1.1:8080", "1.1.1.1"],
    [1, "[2001:db8::1]:443", "2001:db8::1"],
    [1, "2001:db8::1", "2001:db8::1"],
    [1, "unknown", "10.0.0.1"],
  ])("behind %d trusted proxies, of %p, is %p", (hops, field, address) => {
    expect(clientIp("10.0.0.1", field, hops)).toBe(address);
  });
});

test.each([
  ["250ms", 250],
  ["1.5s", 1500],
  ["1h30m", 5_400_000],
  ["1", '"1" is not a duration'],
  ["soon", '"soon" is not a duration'],
  ["25h", "25h is 90000000 ms, must be 0 to 86400000"],
])("duration %p is %p", (text, expected) => {
  const parsed = duration().safeParse(text);
  if (typeof expected === "number") expect(parsed.data).toBe(expected);
  else expect(parsed.error?.issues[0]?.message).toStartWith(expected);
});
