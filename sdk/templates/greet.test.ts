import { expect, test } from "bun:test";
import { mount } from "vespid/testing";
import filter from "./greet.ts";

test("greets the user on the reply", async () => {
  await using f = await mount(filter);
  const { reply } = await f.request("/", { headers: { "x-user": "ada" } });
  expect(reply.headers["x-greeting"]).toBe("hello ada");
});

test("turns blocked users away, and says so in the log", async () => {
  await using f = await mount(filter, { config: { blocked: ["eve"] } });
  const { reply, forwarded, logs } = await f.request("/secret", { headers: { "x-user": "eve" } });
  expect(forwarded).toBeUndefined();
  expect(reply.status).toBe(403);
  expect(logs).toEqual([{ level: "info", message: "turned away", fields: { user: "eve", path: "/secret" } }]);
});
