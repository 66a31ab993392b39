import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { renderCanonical, versionOf } from "./version.ts";

describe("a version names a snapshot by its content", () => {
  test("the order of keys does not matter, the order of items does", () => {
    expect(versionOf({ a: 1, b: [1, 2] })).toBe(versionOf({ b: [1, 2], a: 1 }));
    expect(versionOf({ b: [1, 2] })).not.toBe(versionOf({ b: [2, 1] }));
  });

  test("a field that is undefined is a field that is absent, as JSON has it", () => {
    expect(versionOf({ a: 1, b: undefined })).toBe(versionOf({ a: 1 }));
  });

  test("it survives the wire", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = renderCanonical(value);
        expect(renderCanonical(JSON.parse(text))).toBe(text);
        expect(versionOf(JSON.parse(JSON.stringify(value)))).toBe(versionOf(value));
      }),
    );
  });
});
