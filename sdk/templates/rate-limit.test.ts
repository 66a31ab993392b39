import { expect, test } from "bun:test";
import { mount } from "vespid/testing";
import filter from "./rate-limit.ts";

test("a client beyond its limit waits for the next window", async () => {
  await using f = await mount(filter, { config: { limit: 2, window: "10s" }, now: "2026-01-01T00:00:00Z" });
  const statuses = [];
  for (let count = 0; count < 3; count++) statuses.push((await f.request("/")).reply.status);
  expect(statuses).toEqual([200, 200, 429]);
  expect((await f.request("/")).reply.headers["retry-after"]).toBe("10");
  expect(f.metric("limited_total")).toBe(2);
  await f.advance("10s");
  expect((await f.request("/")).reply.status).toBe(200);
});

test("clients behind a trusted proxy are counted each for itself", async () => {
  await using f = await mount(filter, { config: { limit: 1, trustedHops: 1 } });
  const from = async (address: string) => {
    const { reply } = await f.request("/", { headers: { "x-forwarded-for": address } });
    return reply.status;
  };
  expect([await from("10.0.0.1"), await from("10.0.0.2"), await from("10.0.0.1")]).toEqual([200, 200, 429]);
});
