// Preflights are answered, replies say who may read them.
import { describe, expect, test } from "bun:test";
import { runFilter, type Scene } from "../../sdk/testing/run-filter.ts";
import filter from "./filter.ts";
import { compileOrigins } from "./origins.ts";

const CONFIG = {
  allowOrigins: [{ exact: "https://shop.example.com" }],
  allowMethods: ["GET", "POST"],
  allowHeaders: ["x-cart"],
  exposeHeaders: ["x-total"],
  maxAge: "24h",
  allowCredentials: true,
};

function preflight(origin: string, config: Record<string, unknown> = CONFIG): Scene {
  return { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" }, config };
}

test("a preflight from an allowed origin is answered here", async () => {
  const { forwarded, reply } = await runFilter(filter, preflight("https://shop.example.com"));
  expect(forwarded).toBeUndefined();
  expect(reply.status).toBe(200);
  expect(reply.headers).toMatchObject({
    "access-control-allow-origin": "https://shop.example.com",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET,POST",
    "access-control-allow-headers": "x-cart",
    "access-control-max-age": "86400",
    vary: "Origin",
  });
});

test("a preflight from elsewhere goes to the service, or is answered without a word on CORS", async () => {
  const passed = await runFilter(filter, preflight("https://evil.example"));
  expect(passed.forwarded).toBeDefined();
  const ignored = await runFilter(
    filter,
    preflight("https://evil.example", { ...CONFIG, unmatchedPreflights: "IGNORE" }),
  );
  expect(ignored.forwarded).toBeUndefined();
  expect(ignored.reply).toEqual({ status: 200, headers: { "content-length": "0" }, body: "" });
});

test("a reply names the origin that may read it, once in vary", async () => {
  const scene: Scene = { headers: { origin: "https://shop.example.com" }, config: CONFIG };
  const { reply } = await runFilter(filter, {
    ...scene,
    upstream: { headers: { "access-control-allow-origin": "*", vary: "Accept" } },
  });
  expect(reply.headers).toMatchObject({
    "access-control-allow-origin": "https://shop.example.com",
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-total",
    vary: "Accept, Origin",
  });
  const named = await runFilter(filter, { ...scene, upstream: { headers: { vary: "accept, ORIGIN" } } });
  expect(named.reply.headers["vary"]).toBe("accept, ORIGIN");
});

test("OPTIONS without a preflight's headers, and requests without an origin, are like any other", async () => {
  const options = await runFilter(filter, {
    method: "OPTIONS",
    headers: { origin: "https://shop.example.com" },
    config: CONFIG,
  });
  expect(options.forwarded).toBeDefined();
  const plain = await runFilter(filter, { config: CONFIG });
  expect(plain.reply.headers["access-control-allow-origin"]).toBeUndefined();
});

describe("an origin is allowed", () => {
  test.each([
    [{ exact: "https://a.b" }, "https://a.b", true],
    [{ exact: "https://a.b" }, "https://A.b", false],
    [{ exact: "*" }, "null", true],
    [{ prefix: "https://a" }, "https://a.evil", true],
    [{ regex: "https://.*\\.a\\.b" }, "https://x.a.b", true],
    [{ regex: "https://.*\\.a\\.b" }, "https://x.a.b.evil", false],
    [{ regex: "a|b" }, "xb", false],
  ])("%j and %p: %p", (match, origin, expected) => {
    const allows = compileOrigins([match]);
    expect(typeof allows === "string" ? allows : allows(origin)).toBe(expected);
  });
});

test.each([
  [{}, "allowOrigins"],
  [{ allowOrigins: [{ regex: "(" }] }, "is not a regular expression"],
  [{ allowOrigins: [], maxAge: "soon" }, 'is not a duration such as "24h"'],
  [{ allowOrigins: [], allowMethods: ["G T"] }, "is not a token"],
])("refuses %j", async (config, message) => {
  expect(await runFilter(filter, { config }).catch(String)).toContain(message);
});
