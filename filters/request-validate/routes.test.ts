// The tree of templates agrees with trying every one of them.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Node } from "./document.ts";
import { Routes } from "./routes.ts";
import { basesOf } from "./servers.ts";

const segment = fc.constantFrom("a", "ab", "", "{x}", "a{x}", "{x}b", "{x}a{y}");
const template = fc
  .array(segment, { minLength: 1, maxLength: 3 })
  .map((segments) => `/${segments.map((text, at) => text.replaceAll(/[xy]/gu, `$&${at}`)).join("/")}`);
const path = fc.array(fc.constantFrom("a", "ab", "aab", "bab", "b", "", "%61"), { minLength: 1, maxLength: 3 });

/** What a segment of a template is to one of a path: smaller goes first; none where it does not match. */
function rank(text: string, sent: string): string | undefined {
  const decoded = decodeURIComponent(sent);
  const parts = text.split(/\{[^}]*\}/u);
  if (parts.length === 1) return text === decoded ? "0" : undefined;
  const pattern = new RegExp(`^${parts.join("(.+?)")}$`, "u");
  return pattern.test(sent) ? `1${9 - parts.join("").length}${parts.join("{}")}` : undefined;
}

test("the tree agrees with trying every template", () => {
  fc.assert(
    fc.property(fc.array(template, { maxLength: 6 }), path, (given, sent) => {
      const templates = [...new Map(given.map((one) => [one.replaceAll(/\{[^}]*\}/gu, "{}"), one])).values()];
      const routes = new Routes<string>();
      for (const one of templates) routes.add(one, one, "#");
      const found = routes.match(sent, sent.map(decodeURIComponent))?.value;
      const ranked = templates.flatMap((one) => {
        const texts = one.split("/").slice(1);
        const ranks = texts.map((text, at) => rank(text, sent[at] ?? "-"));
        return texts.length === sent.length && ranks.every((each) => each !== undefined)
          ? [{ one, key: ranks.join("\n") }]
          : [];
      });
      const best = ranked.toSorted((a, b) => (a.key < b.key ? -1 : 1))[0];
      expect(found === undefined ? undefined : ranked.find(({ one }) => one === found)?.key).toBe(best?.key);
    }),
    { numRuns: 3000 },
  );
});

test.each([
  ["/a/{x}", "/a/{y}", "is the same path as /a/{x}"],
  ["/a", "/{x}{y}", "does not tell where one parameter ends"],
  ["/a", "/{x}/{x}", "names a parameter twice"],
  ["/a", "/{x", "has a brace without its other"],
])("%s and %s cannot be together", (first, second, message) => {
  const routes = new Routes<number>();
  routes.add(first, 1, "#");
  expect(() => routes.add(second, 2, "#")).toThrow(message);
});

test("what stands in a parameter's place is as it was sent", () => {
  const routes = new Routes<number>();
  routes.add("/{a}/x-{b}-{c}.json", 1, "#");
  const sent = ["%2F", "x-1-2-3.json"];
  expect(routes.match(sent, sent)?.parameters).toEqual(
    new Map([
      ["a", "%2F"],
      ["b", "1"],
      ["c", "2-3"],
    ]),
  );
});

describe("bases of servers", () => {
  test.each([
    [undefined, [""]],
    [
      [{ url: "https://a.example/v1/" }, { url: "/v2" }, { url: "v3" }],
      ["/v1", "/v2", "/v3"],
    ],
    [[{ url: "https://a.example" }, { url: "https://{x}.example:8080/", variables: { x: { default: "b" } } }], [""]],
    [
      [{ url: "/{a}/{b}", variables: { a: { enum: ["x", "y"], default: "x" }, b: { default: "z" } } }],
      ["/x/z", "/y/z"],
    ],
  ])("%j stand for %j", (value, bases) => {
    expect(basesOf(value && new Node(value))).toEqual(bases);
  });

  test("a variable that is not described is a fault", () => {
    expect(() => basesOf(new Node([{ url: "/{a}" }]))).toThrow("has a variable that is not described");
  });
});
