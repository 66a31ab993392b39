import { expect, test } from "bun:test";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import { compileHead } from "./attributes.ts";

test("a head has its lines in the order of what is read, fields and attributes in turn", () => {
  const headers = { "x-last": "3", "x-first": "1", "set-cookie": "a=1", "x-latin": "caf\u00e9" };
  const { request } = compileHead(["x-first", ":method", "x-none", "x-latin", "set-cookie", "x-last", "request.id"]);
  expect(request(makeExchange({ method: "PUT", headers, requestId: "id-1" }))).toBe(
    "x-first: 1\n:method: PUT\nx-latin: caf\u00e9\nset-cookie: a=1\nx-last: 3\nrequest.id: id-1\n",
  );
});

test("a field of any length has its line", () => {
  const { request, response } = compileHead(["x-a", "x-b", "x-c"]);
  for (const length of [0, 20, 21, 16_370, 16_384, 100_000]) {
    const exchange = makeExchange({ headers: { "x-a": "1", "x-b": "b".repeat(length), "x-c": "3" } });
    const lines = `x-a: 1\nx-b: ${"b".repeat(length)}\nx-c: 3\n`;
    expect(request(exchange)).toBe(lines);
    expect(response(exchange, exchange)).toBe(`${lines}\n${lines}`);
  }
});
