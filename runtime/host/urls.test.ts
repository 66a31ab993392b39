import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorOf, valueOf } from "../../test/harness/host-answer.ts";
import { createHostFunctions } from "./host-functions.ts";

const functions = createHostFunctions({ shared: () => undefined });
const ask = (...request: readonly unknown[]) => functions.text("url", JSON.stringify(request), new Uint8Array());

test("a url comes back in its parts", () => {
  expect(JSON.parse(valueOf(ask("parse", "HTTP://ada:pw@Example.com:8080/a/../b?q=1#top")))).toEqual([
    "http://ada:pw@example.com:8080/b?q=1#top",
    "http:",
    "ada",
    "pw",
    "example.com:8080",
    "example.com",
    "8080",
    "/b",
    "?q=1",
    "#top",
    "http://example.com:8080",
  ]);
});

test("a url is relative to another", () => {
  expect(valueOf(ask("parse", "../x?y", "https://a.example/b/c/d"))).toContain("https://a.example/b/x?y");
});

test("what is no host may be long", () => {
  const long = "x".repeat(30_000);
  expect(valueOf(ask("parse", `http://a.example/${long}?${long}`))).toContain(long);
  expect(valueOf(ask("parse", `data:${long}`))).toContain(long);
  expect(valueOf(ask("set", "http://a.example/", "search", `?${long}`))).toContain(long);
});

test("one part is set, and what cannot be is left as it was", () => {
  expect(valueOf(ask("set", "http://a.example/", "pathname", "/ü"))).toContain("http://a.example/%C3%BC");
  expect(valueOf(ask("set", "http://a.example/", "port", "none"))).toContain('["http://a.example/"');
});

describe("what is none is an error", () => {
  test.each([
    [["parse", "no url"], "url: not a valid url"],
    [["parse", "/x", "nor this"], "url: not a valid url"],
    [["parse"], "url: request is not [kind, url]"],
    [["set", "http://a.example/", "constructor", "x"], 'url: "constructor" is no part of a url that can be set'],
    [["set", "http://a.example/", "href", "nothing"], "url: not a valid url"],
    [["parse", `http://a${"\u0301\u0327".repeat(2000)}/`], "url: host is longer than 2048"],
    [["parse", `ht\ntp:\\\\${"\u0301".repeat(2049)}`], "url: host is longer than 2048"],
    [["parse", `//${"x".repeat(2049)}`, "http://a.example/"], "url: host is longer than 2048"],
    [["set", "http://a.example/", "host", "\u0301".repeat(2049)], "url: host is longer than 2048"],
    [["parse", ["http://a.example"]], "url: request is not [kind, url]"],
    [["parse", `http://a.example/${"x".repeat(65_536)}`], "url: url is 65565 long, limit is 65536"],
  ])("%j", (request, message) => {
    expect(errorOf(ask(...request))).toBe(message);
  });
});

test("no request makes it throw", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.json(), (text, json) => {
      expect(functions.text("url", text, new Uint8Array()).fuel).toBeGreaterThanOrEqual(0);
      expect(functions.text("url", json, new Uint8Array()).fuel).toBeGreaterThanOrEqual(0);
    }),
  );
});
