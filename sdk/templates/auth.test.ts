import { expect, test } from "bun:test";
import { mount } from "vespid/testing";
import filter from "./auth.ts";

// printf secret | sha256sum
const config = { tokens: { "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b": "ada" } };

test("a token that is known passes, and the service is told whose it is", async () => {
  await using f = await mount(filter, { config });
  const { forwarded, metadata } = await f.request("/", {
    headers: { authorization: "Bearer secret", "x-user": "root" },
  });
  expect(forwarded?.headers).toEqual({ "x-user": "ada" });
  expect(metadata).toEqual({ user: "ada" });
});

test.each([
  ["missing", {}],
  ["missing", { authorization: "Basic c2VjcmV0" }],
  ["unknown", { authorization: "Bearer secrets" }],
] as const)("whoever has none is turned away and counted: %s, %j", async (reason, headers) => {
  await using f = await mount(filter, { config });
  const { forwarded, reply } = await f.request("/", { headers });
  expect(forwarded).toBeUndefined();
  expect(reply).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
  expect(f.metric("auth_denied_total", { reason })).toBe(1);
});
