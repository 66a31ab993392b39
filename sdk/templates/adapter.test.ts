import { expect, test } from "bun:test";
import { mount } from "vespid/testing";
import adapter from "./adapter.ts";

test("a check asks the policy, and keeps what it said", async () => {
  await using f = await mount(adapter, { config: { keepFor: "5s" } });
  f.upstream("policy").reply((asked) => {
    expect(asked.json()).toEqual({ user: "ada", path: "/orders" });
    return new Response("");
  });
  const out = await f.check({ attributes: { user: "ada", path: "/orders" } });
  expect(out).toMatchObject({ verdict: "allow", validForMs: 5000 });
});

test("whom the policy refuses gets its words, and is counted", async () => {
  await using f = await mount(adapter);
  f.upstream("policy").reply({ status: 403, body: "not you\n" });
  const out = await f.check({ attributes: { user: "eve" } });
  expect(out).toMatchObject({ verdict: "refuse", reply: { status: 403, body: "not you\n" } });
  expect(f.metric("adapter_refused_total", { why: "policy" })).toBe(1);
  expect((await f.check()).reply).toMatchObject({ status: 401, headers: { "www-authenticate": "Bearer" } });
});

test("without an answer of the policy the failure policy decides", async () => {
  await using f = await mount(adapter);
  f.upstream("policy").fail();
  expect(await f.check({ attributes: { user: "ada" } })).toMatchObject({ verdict: "failed" });
});

test("a quota is a user's own, and with best effort a part will do", async () => {
  await using f = await mount(adapter, { config: { limit: 5, window: "10s" }, now: "2026-01-31T12:00:00Z" });
  const charge = { name: "calls", attributes: { user: "ada" }, amount: 3 };
  expect(await f.quota(charge)).toMatchObject({ verdict: "allow", granted: 3 });
  expect(await f.quota(charge)).toMatchObject({ verdict: "refuse", reply: { status: 429 } });
  expect(await f.quota({ ...charge, isBestEffort: true })).toMatchObject({ verdict: "allow", granted: 2 });
  expect(await f.quota({ ...charge, attributes: { user: "bob" } })).toMatchObject({ verdict: "allow" });
  await f.advance("10s");
  expect(await f.quota(charge)).toMatchObject({ verdict: "allow" });
});

test.each([
  [204, "allow"],
  [400, "refuse"],
  [503, "failed"],
] as const)("a batch is a line for each exchange; a ledger that answers %d: %s", async (status, verdict) => {
  await using f = await mount(adapter);
  f.upstream("ledger").reply({ status });
  const out = await f.report([
    { name: "orders", attributes: { user: "ada", path: "/orders", status: 201 } },
    { name: "orders", attributes: { path: "/", status: 404 } },
  ]);
  expect(out.verdict).toBe(verdict);
  expect(f.upstream("ledger").requests.map(({ body }) => body)).toEqual([
    `{"name":"orders","user":"ada","path":"/orders","status":201}\n{"name":"orders","path":"/","status":404}\n`,
  ]);
});
