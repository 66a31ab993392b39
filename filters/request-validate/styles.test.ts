// What a client writes by the specification reads as what it meant.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeForm, decodePercent, parseCookies, parsePairs } from "./pairs.ts";
import { readPairs, readSimple, type Deserialized, type Style } from "./styles.ts";
import type { Shape } from "./values.ts";

const NONE: ReadonlySet<string> = new Set();
const PROPERTIES = new Map([
  ["a", NONE],
  ["b", NONE],
]);

function styleOf(style: Style["style"], explode: boolean, kind: Shape["kind"]): Style {
  return { name: "p", style, explode, shape: { kind, types: NONE, properties: PROPERTIES } };
}

function readerOf(kind: Shape["kind"]) {
  return (query: string, style: Style["style"], explode: boolean) =>
    readPairs(styleOf(style, explode, kind), parsePairs(query), decodeForm);
}

const one = (text: string): Deserialized => ({ kind: "read", value: { kind: "one", text } });
const list = (...texts: readonly string[]): Deserialized => ({ kind: "read", value: { kind: "list", texts } });
const object = (...fields: readonly (readonly [string, string])[]): Deserialized => ({
  kind: "read",
  value: { kind: "object", fields },
});
const wrong = (detail: string): Deserialized => ({ kind: "wrong", detail });

describe("a query", () => {
  test.each<[Style["style"], boolean, Shape["kind"], string, Deserialized]>([
    ["form", true, "one", "p=a%20b+c", one("a b c")],
    ["form", true, "one", "p", one("")],
    ["form", true, "one", "P=a", { kind: "absent" }],
    ["form", true, "one", "p=1&%70=2", wrong("is given 2 times")],
    ["form", true, "list", "p=a,b&p=c", list("a,b", "c")],
    ["form", false, "list", "p=a,b%2Cc", list("a", "b,c")],
    ["form", false, "list", "p=", list()],
    ["form", false, "list", "p=a&p=b", wrong("is given 2 times")],
    ["form", true, "either", "p=a", one("a")],
    ["form", true, "either", "p=a&p=b", list("a", "b")],
    ["form", false, "either", "p=a", one("a")],
    ["form", false, "either", "p=a,b", list("a", "b")],
    ["form", true, "object", "a=1&c=2&b=3", object(["a", "1"], ["b", "3"])],
    ["form", false, "object", "p=a,1,b,2%2C3", object(["a", "1"], ["b", "2,3"])],
    ["form", false, "object", "p=a,1,b", wrong("must be names and values in turn")],
    ["form", false, "object", "p=a,1,a,2", wrong('gives "a" twice')],
    ["spaceDelimited", false, "list", "p=a%20b+c", list("a", "b", "c")],
    ["pipeDelimited", false, "list", "p=a|b%7Cc", list("a", "b", "c")],
    ["deepObject", true, "object", "p[a]=1&p%5Bc%5D=2", object(["a", "1"], ["c", "2"])],
    ["deepObject", true, "object", "p[a]=1&p[a]=2", wrong('gives "a" twice')],
    ["deepObject", true, "object", "p[a][b]=1", wrong("must be written as name[property]")],
    ["deepObject", true, "object", "p=1", { kind: "absent" }],
    ["form", true, "one", "p=%zz", wrong("must be percent-coded UTF-8")],
    ["form", false, "list", `p=${",".repeat(1000)}`, wrong("has more than 1000 items")],
  ])("%s, explode %p, of %s: %s", (style, explode, kind, query, read) => {
    expect(readPairs(styleOf(style, explode, kind), parsePairs(query), decodeForm)).toEqual(read);
  });
});

describe("a segment of a path", () => {
  test.each<[boolean, Shape["kind"], string | undefined, Deserialized]>([
    [false, "one", "a,b%2F", one("a,b/")],
    [false, "list", "a,b", list("a", "b")],
    [false, "either", "a", one("a")],
    [false, "object", "a,1,b,2", object(["a", "1"], ["b", "2"])],
    [true, "object", "a=1,b=2=3", object(["a", "1"], ["b", "2=3"])],
    [true, "object", "a", wrong("must be written as name=value")],
    [false, "one", undefined, { kind: "absent" }],
    [false, "one", "%ff", wrong("must be percent-coded UTF-8")],
  ])("explode %p, of %s: %p", (explode, kind, raw, read) => {
    expect(readSimple(styleOf("simple", explode, kind), raw, decodePercent)).toEqual(read);
  });
});

test("cookies are apart, without their quotes", () => {
  expect(parseCookies('a=1; b="x=y"; c; d=')).toEqual([
    { name: "a", raw: "1" },
    { name: "b", raw: "x=y" },
    { name: "d", raw: "" },
  ]);
});

describe("what is written reads back", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 5 }).map((given) => given.toWellFormed());
  const texts = fc.array(text, { minLength: 1, maxLength: 5 });
  const code = encodeURIComponent;

  test("as lists, in every style", () => {
    fc.assert(
      fc.property(texts, (given) => {
        const read = list(...given);
        const pairs = readerOf("list");
        expect(pairs(given.map((each) => `p=${code(each)}`).join("&"), "form", true)).toEqual(read);
        if (given.join("") !== "") {
          expect(pairs(`p=${given.map(code).join(",")}`, "form", false)).toEqual(read);
          expect(readSimple(styleOf("simple", false, "list"), given.map(code).join(","), decodePercent)).toEqual(read);
        }
      }),
    );
  });

  test("as objects, in every style", () => {
    const fields = fc.tuple(text, text).map(
      ([a, b]) =>
        [
          ["a", a],
          ["b", b],
        ] as const,
    );
    fc.assert(
      fc.property(fields, (given) => {
        const read = object(...given);
        const pairs = readerOf("object");
        const coded = given.map(([name, value]) => [name, code(value)] as const);
        expect(pairs(coded.map((each) => each.join("=")).join("&"), "form", true)).toEqual(read);
        expect(pairs(`p=${coded.flat().join(",")}`, "form", false)).toEqual(read);
        expect(pairs(coded.map(([name, value]) => `p[${name}]=${value}`).join("&"), "deepObject", true)).toEqual(read);
      }),
    );
  });
});
