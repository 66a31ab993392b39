// Positions of a bundle lead back to its author's files, whatever the map is.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { transform } from "esbuild";
import { explainFailure, GUEST_SCRIPT, guestPlaces, nativePlaces } from "./failure-text.ts";
import { cutSourceMap, parseSourceMap, SOURCE_MAP_MAX_LENGTH } from "./source-map.ts";

const SOURCE = `export function first(value: number): number {
  if (value > 1) throw new TypeError("no");
  return value;
}
`;

/** A map of a script that is the source after a line of somebody else's. */
async function mapOf(nameOf: (source: string) => string | undefined): Promise<{ script: string; map: string }> {
  const { code, map } = await transform(SOURCE, {
    loader: "ts",
    sourcemap: "external",
    sourcefile: "a.ts",
    minify: true,
  });
  return { script: code, map: cutSourceMap(map, nameOf) ?? "" };
}

test("a position is found where it was written, and nothing of it that is not the author's", async () => {
  const { script, map } = await mapOf(() => "filter.ts");
  const column = script.indexOf("throw") + 1;
  expect(parseSourceMap(map)?.find(1, column)).toEqual({ source: "filter.ts", line: 2, column: 18 });
  expect(parseSourceMap(map)?.find(99, 1)).toBeUndefined();
  const { map: nobodys } = await mapOf(() => undefined);
  expect(parseSourceMap(nobodys)?.find(1, column)).toBeUndefined();
  expect(nobodys).toBe('{"version":3,"sources":[],"mappings":""}');
});

test("what follows the author's code is not the author's", () => {
  // Column 0 is of source 0, column 5 of source 1, column 9 of source 0 again.
  const map = '{"version":3,"sources":["a.ts","zod.js"],"mappings":"AAAA,KCAA,IDCA"}';
  const cut = cutSourceMap(map, (source) => (source === "a.ts" ? source : undefined)) ?? "";
  const found = parseSourceMap(cut);
  expect([1, 5, 6, 9, 10].map((column) => found?.find(1, column)?.line)).toEqual([1, 1, undefined, undefined, 2]);
});

describe("a map that is none", () => {
  test.each([
    "",
    "null",
    "[]",
    "{}",
    '{"sources":[],"mappings":1}',
    '{"sources":["a"],"mappings":"!"}',
    '{"sources":["a"],"mappings":"AAAAAAAA"}',
    `{"sources":["a"],"mappings":"${";".repeat(SOURCE_MAP_MAX_LENGTH)}"}`,
  ])("%.40p finds nothing", (text) => {
    expect(parseSourceMap(text)?.find(1, 1)).toBeUndefined();
  });

  test("never throws", () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.anything()), fc.nat(), fc.nat(), (mappings, sources, line, column) => {
        parseSourceMap(JSON.stringify({ sources, mappings }))?.find(line, column);
      }),
    );
  });
});

test("numbers of a map survive being cut", () => {
  const number = fc.integer({ min: 0, max: 1_000_000 });
  fc.assert(
    fc.property(fc.array(fc.tuple(number, number), { maxLength: 50 }), (places) => {
      const lines = places.map(([line, column]) => ({ line, column }));
      // Written by hand: one segment a generated line.
      let [lastLine, lastColumn] = [0, 0];
      const mappings = lines.map(({ line, column }) => {
        const text = `A${vlq(0)}${vlq(line - lastLine)}${vlq(column - lastColumn)}`;
        [lastLine, lastColumn] = [line, column];
        return text;
      });
      const map = JSON.stringify({ version: 3, sources: ["a.ts"], mappings: mappings.join(";") });
      const found = parseSourceMap(cutSourceMap(map, (source) => source) ?? "");
      expect(lines.map((_, index) => found?.find(index + 1, 1))).toEqual(
        lines.map(({ line, column }) => ({ source: "a.ts", line: line + 1, column: column + 1 })),
      );
    }),
  );
});

test("a failure begins with its line; frames of others are left out", async () => {
  const { script, map } = await mapOf(() => "filter.ts");
  const at = `1:${script.indexOf("throw") + 1}`;
  const stack = `    at e (${GUEST_SCRIPT}:${at})\n    at next (native)\n    at begin (${GUEST_SCRIPT}:84:1201)\n`;
  const places = guestPlaces(parseSourceMap(map));
  expect(explainFailure(`filter f: TypeError: no\n${stack}`, places)).toBe("filter f: filter.ts:2:18: TypeError: no");
  expect(explainFailure(`TypeError: no\n${stack}`, guestPlaces(undefined))).toBe("TypeError: no");
  expect(explainFailure("has not decided within 5000 ms", places)).toBe("has not decided within 5000 ms");
});

test("natively the author's files are those that are neither the proxy's nor a package's", () => {
  const own = import.meta.path;
  const stack = `    at f (/home/ada/hello/filter.ts:3:4)\n    at g (${own}:1:2)\n    at h (/home/ada/node_modules/zod/index.js:1:2)\n`;
  const text = explainFailure(`Error: no\n${stack}    at /home/ada/lib.ts:9:1`, nativePlaces("/home/ada/hello"));
  expect(text).toBe("filter.ts:3:4: Error: no\n    at ../lib.ts:9:1");
});

function vlq(number: number): string {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let rest = number < 0 ? -number * 2 + 1 : number * 2;
  let text = "";
  do {
    text += digits[(rest % 32) + (rest >= 32 ? 32 : 0)] ?? "";
    rest = Math.floor(rest / 32);
  } while (rest > 0);
  return text;
}
