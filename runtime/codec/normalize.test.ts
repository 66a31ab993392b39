// Paths against what Envoy 1.40 made of each (test/fixtures/paths), and against the laws of a normal form.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import recorded from "../../test/fixtures/paths/envoy-1.40.json";
import { normalizePath } from "./normalize.ts";

const MODES = ["BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] as const;

/** Where we are stricter than Envoy, which sees a second meaning only when it looks a second time. */
const STRICTER: Readonly<Record<string, readonly string[]>> = {
  // Several slashes are one, where there is nothing else too.
  "//": ["//", "/", "/"],
  "//.": ["//", "/", "/"],
  "///": ["///", "/", "/"],
  "/%2f": ["/%2f", "/%2f", "/"],
  "/%5c": ["/%5c", "/%5c", "/"],
  "/%5C%5C": ["/%5C%5C", "/%5C%5C", "/"],
  // Dots that were escaped are dots before parameters as well.
  "/a/%2e;/b": ["/a/b", "/a/b", "/a/b"],
  "/a/.%2e;/b": ["/b", "/b", "/b"],
  "/a/%2e%2e;x/b": ["/b", "/b", "/b"],
  // A backslash ends a segment's parameters, and %00 is refused in them.
  "/a/..;b\\c": ["/c", "/c", "/c"],
  "/a/..;%00": ["400", "400", "400"],
};

test("every recorded path comes out as Envoy's, or stricter where that is written down", () => {
  expect(Object.keys(recorded).length).toBeGreaterThan(600);
  for (const [path, results] of Object.entries(recorded)) {
    const made = MODES.map((mode) => normalizePath(path, mode) ?? "400");
    expect({ path, made }).toEqual({ path, made: [...(STRICTER[path] ?? results)] });
  }
});

describe("laws", () => {
  const piece = fc.constantFrom(
    ..."/ /. /.. // . .. a b %2e %2E %2f %5C %41 %25 % %% 2 f e ; ? \\ ^ ~ %20 %c3 %00".split(" "),
  );
  const path = fc.array(piece, { maxLength: 12 }).map((pieces) => `/${pieces.join("")}`);
  const runs = { numRuns: 20_000 };

  test.each(MODES)("%s: what it makes it leaves as it is, and the query it never touches", (mode) => {
    let changed = 0;
    fc.assert(
      fc.property(path, (text) => {
        const made = normalizePath(text, mode);
        if (made === undefined) return;
        if (made !== text) changed++;
        expect(normalizePath(made, mode)).toBe(made);
        const question = text.indexOf("?");
        expect(made.slice(made.indexOf("?") < 0 ? made.length : made.indexOf("?"))).toBe(
          question < 0 ? "" : text.slice(question),
        );
        const [spelled = ""] = made.split("?", 1);
        expect(spelled).toMatch(/^\/[!$-;=@-\][_a-z~]*$/u);
        expect(spelled).not.toMatch(/\\|\/\.{1,2}(?:[/;]|$)/u);
        if (mode !== "BASE") expect(spelled).not.toContain("//");
        if (mode === "DECODE_AND_MERGE_SLASHES") expect(spelled).not.toMatch(/%2f|%5c/iu);
      }),
      runs,
    );
    expect(changed).toBeGreaterThan(runs.numRuns / 10);
  });
});

test("NONE and what is no path stay as they are", () => {
  expect(normalizePath("/a/../%2e//%00", "NONE")).toBe("/a/../%2e//%00");
  expect(normalizePath("*", "DECODE_AND_MERGE_SLASHES")).toBe("*");
});
