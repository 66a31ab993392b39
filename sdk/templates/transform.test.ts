import { expect, test } from "bun:test";
import { mount } from "vespid/testing";
import filter from "./transform.ts";

const config = { fields: ["password", "card"] };

test("masks the fields wherever they are, however the reply comes", async () => {
  await using f = await mount(filter, { config });
  f.service.reply({
    headers: { "content-type": "application/json; charset=utf-8", etag: '"1"' },
    body: ['{"user":"ada","pass', 'word":"x","orders":[{"card":{"number":1}},2]}'],
  });
  const { reply } = await f.request("/");
  expect(JSON.parse(reply.body)).toEqual({ user: "ada", password: "***", orders: [{ card: "***" }, 2] });
  expect(reply.headers["etag"]).toBeUndefined();
});

test.each([
  ["another type", { "content-type": "text/plain" }, '{"password":"x"}'],
  ["a coding", { "content-type": "application/json", "content-encoding": "gzip" }, "\u001f"],
  ["nothing to mask", { "content-type": "application/json", etag: '"1"' }, '{ "user": "ada" }'],
])("leaves %s as it is", async (_, headers, body) => {
  await using f = await mount(filter, { config });
  f.service.reply({ headers, body });
  const { reply } = await f.request("/");
  expect(reply.body).toBe(body);
  expect(reply.headers).toMatchObject(headers);
});

test("a reply that is no JSON although it says so fails, and names the line", async () => {
  await using f = await mount(filter, { config });
  f.service.reply({ headers: { "content-type": "application/json" }, body: "{" });
  const { verdict, reply, failure } = await f.request("/");
  expect({ verdict, status: reply.status }).toEqual({ verdict: "failed", status: 503 });
  expect(failure).toContain("SyntaxError");
});
