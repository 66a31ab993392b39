import { expect, test } from "bun:test";
import { renderInstance } from "./instance-lines.ts";

test("an instance is a line for each thing that is read of it, whatever its texts hold", () => {
  const attributes = { user: "ada\r\n:best-effort: true", fields: { a: "1\n2" }, size: 0.5, admin: false, other: "x" };
  const reads = ["fields", "user", "admin", "size", "constructor", "gone"];
  expect(renderInstance({ name: "a\0b", value: 3, attributes }, reads)).toBe(
    `:name: a b\n:value: 3\nfields: {"a":"1\\n2"}\nuser: ada  :best-effort: true\nadmin: false\nsize: 0.5\n`,
  );
  expect(renderInstance({ name: "a", value: undefined, attributes: {} }, reads, true)).toBe(
    ":name: a\n:best-effort: true\n",
  );
});
