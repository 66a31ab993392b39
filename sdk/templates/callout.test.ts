import { expect, test } from "bun:test";
import { mount } from "vespid/testing";
import filter from "./callout.ts";

test("asks the authorizer what it needs to know, and passes its answer on", async () => {
  await using f = await mount(filter);
  f.upstream("authz").reply((asked) => {
    expect(asked).toMatchObject({ method: "POST", path: "/check" });
    expect(asked.json()).toMatchObject({ method: "GET", path: "/orders", authorization: "Bearer t" });
    return new Response("", { headers: { "x-auth-user": "ada" } });
  });
  const headers = { authorization: "Bearer t", "x-auth-user": "root" };
  const { verdict, forwarded } = await f.request("/orders", { headers });
  expect(verdict).toBe("proceed");
  expect(forwarded?.headers["x-auth-user"]).toBe("ada");
  expect(f.metric("callout_total", { result: "allow" })).toBe(1);
});

test("whom the authorizer refuses gets its words", async () => {
  await using f = await mount(filter);
  f.upstream("authz").reply({ status: 418, body: "no tea here\n" });
  const { forwarded, reply } = await f.request("/");
  expect(forwarded).toBeUndefined();
  expect(reply).toMatchObject({ status: 403, body: "no tea here\n" });
});

test.each([
  [false, 503],
  [true, 200],
])("without an answer in time, allowWithoutAnswer %p decides: %p", async (allowWithoutAnswer, status) => {
  await using f = await mount(filter, { config: { allowWithoutAnswer } });
  f.upstream("authz").hang();
  const waiting = f.request("/");
  await f.advance("1s");
  const { reply, logs } = await waiting;
  expect(reply.status).toBe(status);
  expect(logs).toMatchObject([{ level: "warn", message: "the authorizer did not answer" }]);
  expect(f.metric("callout_total", { result: "error" })).toBe(1);
});
