import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorOf, valueOf } from "../../test/harness/host-answer.ts";
import { createHostFunctions } from "./host-functions.ts";

const functions = createHostFunctions({ shared: () => undefined });
const NOTHING = new Uint8Array();

function ask(name: string, pattern: string, words: string, rest: string, flags = "-") {
  return functions.text(`regex-${name}`, `${flags} ${pattern.length}${words}\n${pattern}${rest}`, NOTHING);
}

function replace(pattern: string, replacement: string, text: string, flags = "-"): string {
  return valueOf(ask("replace", pattern, ` ${replacement.length} all`, `${replacement}${text}`, flags));
}

/** Patterns that mean the same in JavaScript, which is the slow and plain definition. */
const atom = fc.constantFrom(
  "a",
  "b",
  ".",
  "[ab]",
  "[^a]",
  "\\d",
  "\\w",
  "(?:ab|c)",
  "(a|b)",
  "(?<n>b)",
  "^",
  "$",
  "\\b",
  "é",
);
const pattern = fc
  .array(fc.tuple(atom, fc.constantFrom("", "*", "+", "?", "{1,3}", "*?")), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.map(([what, times]) => (/^[\^$]|\\b/u.test(what) ? what : what + times)).join(""))
  .filter((source) => (source.match(/\?<n>/gu) ?? []).length <= 1);
const subject = fc.stringMatching(/^[abc1é \n]{0,12}$/u);

test("patterns match, find and replace as JavaScript's do", () => {
  fc.assert(
    fc.property(pattern, subject, fc.constantFrom("-", "i", "m", "s"), (source, text, flags) => {
      const own = new RegExp(source, `u${flags === "-" ? "" : flags}`);
      const match = own.exec(text);
      expect(valueOf(ask("test", source, "", text, flags))).toBe(match === null ? "0" : "1");
      const found = valueOf(ask("exec", source, " 0", text, flags));
      expect(found === "" ? null : JSON.parse(found).slice(0, 2)).toEqual(
        match === null ? null : [match.index, Array.from(match, (group) => group ?? null)],
      );
      const all = new RegExp(source, `gu${flags === "-" ? "" : flags}`);
      const places = [...text.matchAll(all)].filter(([whole]) => whole !== "");
      expect(JSON.parse(valueOf(ask("all", source, " 0", text, flags)))).toEqual(
        places.flatMap(({ index, 0: whole }) => [index, index + whole.length]),
      );
      expect(replace(source, "<$&$1$$>", text, flags)).toBe(text.replaceAll(all, "<$&$1$$>"));
    }),
    { numRuns: 2000 },
  );
});

test("groups have numbers and names", () => {
  expect(valueOf(ask("exec", "(?<year>\\d{4})-(\\d\\d)(x)?", " 2", "1 2026-11"))).toBe(
    '[2,["2026-11","2026","11",null],{"year":1}]',
  );
  expect(valueOf(ask("exec", "a", " 1", "ab"))).toBe("");
  expect(valueOf(ask("all", "\\ba", " 1", "aa a ba"))).toBe("[3,4]");
  expect(errorOf(ask("all", "a", " 3", "ab"))).toContain('text begins at "3", has 2 characters');
  expect(replace("(?<y>\\d+)-(\\d+)", "$2/$<y>/$3/$12/$<no>", "2026-11")).toBe("11/2026/$3/20262/");
  expect(replace("a", "$<n>", "a")).toBe("$<n>");
  expect(valueOf(ask("replace", "a", " 1 first", "baa"))).toBe("ba");
});

describe("what takes others for ever takes no time here", () => {
  test.each([
    ["^(?:a+)+$", `${"a".repeat(20_000)}!`],
    ["(x+x+)+y", "x".repeat(20_000)],
    ["^(([a-z0-9]+)\\.)+com$", "abc.".repeat(5000)],
    ["(.*)(.*)(.*)(.*)(.*)[^a]", "a".repeat(20_000)],
    ["(?i)(\\w+\\s?)*$!", "word ".repeat(4000)],
  ])("%s", (source, text) => {
    const startedMs = performance.now();
    expect(valueOf(ask("test", source, "", text))).toBe("0");
    expect(valueOf(ask("exec", source, " 0", text))).toBe("");
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });
});

test("all matches are found in a bounded time, whatever a pattern reads for each", () => {
  const text = "a".repeat(100_000);
  const startedMs = performance.now();
  for (const asked of [ask("all", "a*b|a", " 0", text), ask("replace", "a*b|a", " 1 all", `x${text}`)]) {
    expect(errorOf(asked)).toContain("text takes too long to search for this pattern");
    expect(asked.fuel).toBeGreaterThan(10_000_000);
  }
  expect(performance.now() - startedMs).toBeLessThan(2000);
  expect(valueOf(ask("all", "a*b|a", " 0", "aab"))).toBe("[0,3]");
  expect(valueOf(ask("replace", "(?:a|b)", ` 0 all`, "ab".repeat(5000)))).toBe("");
});

test("a new pattern is paid for, a known one is not", () => {
  const source = `(?:\\p{L}|x){20}y`;
  const first = ask("test", source, "", "a").fuel;
  expect(first).toBeGreaterThan(40_000);
  expect(ask("test", source, "", "a").fuel).toBeLessThan(first / 10);
});

describe("what is too much, or no pattern, is an error", () => {
  test.each([
    ["(a", "error parsing regexp: missing closing )"],
    ["(?=a)", "error parsing regexp: invalid or unsupported Perl syntax"],
    ["(a)\\1", "error parsing regexp: invalid escape sequence"],
    ["x".repeat(2001), "pattern is 2001 long, limit is 2000"],
    ["(?:abc){500}(?:abc){500}".repeat(10), "pattern repeats too much too often"],
    ["(?:abcdefgh){900}", "pattern compiles to"],
    ["(((a{9}){9}){9}){99}", "invalid repeat count"],
    ["\\p{L}".repeat(101), "pattern names 101 classes, limit is 100"],
  ])("%s", (source, message) => {
    expect(errorOf(ask("test", source, "", "text"))).toContain(message);
  });

  test("flags that are none", () => {
    expect(errorOf(ask("test", "a", "", "a", "g"))).toBe('regex-test: flags are "g", must be of i, m and s');
    expect(errorOf(ask("test", "a", "", "a", "i".repeat(1_000_000))).length).toBeLessThan(200);
  });

  test("a text that is too long for the pattern", () => {
    expect(errorOf(ask("test", "[a-z]{1,100}!", "", "a".repeat(100_000)))).toMatch(
      /text is 100000 long, limit for this pattern is \d+/u,
    );
    expect(errorOf(ask("test", "a", "", "b".repeat(1_048_577)))).toContain("limit is 1048576");
  });

  test("a replacement that makes the text grow without end", () => {
    const grown = ask("replace", "a*", ` ${"$&".repeat(200).length} all`, "$&".repeat(200) + "a".repeat(100_000));
    expect(errorOf(grown)).toContain("the text becomes more than 4194304 characters");
  });
});
