import { expect, test } from "bun:test";
import { visibleLine, visibleLines } from "./visible.ts";

test.each([
  ["plain text, ünïcode ✓", "plain text, ünïcode ✓"],
  ["\u001B[2Jgone", "\\u001b[2Jgone"],
  ["a\nINFO forged", "a\\nINFO forged"],
  ["\u009B31m\u202Eabc\r", "\\u009b31m\\u202eabc\\u000d"],
])("%j is shown as %j", (text, shown) => {
  expect(visibleLine(text)).toBe(shown);
});

test("lines stay lines", () => {
  expect(visibleLines("a\n\u001Bb")).toBe("a\n\\u001bb");
});
