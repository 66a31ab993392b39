import { expect, test } from "bun:test";
import { allow, grant, readAnswer, refuse } from "./adapter-answer.ts";

test.each([
  [{ validForMs: Number.NaN }, "validForMs is NaN"],
  [{ validForMs: -1 }, "validForMs is -1"],
  [{ validForMs: "10s" }, 'validForMs is "10s"'],
  [{ validForMs: 10, validUses: 0 }, "validUses is 0"],
  [{ validUses: "twice" }, 'validUses is "twice"'],
])("an answer that is kept for %p is none", (keeping, message) => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what an author without types may write
  const given = keeping as { validForMs: number };
  expect(() => readAnswer("check", allow(given))).toThrow(message);
  expect(() => readAnswer("check", refuse(given))).toThrow(message);
  expect(() => readAnswer("quota", grant(1, given))).toThrow(message);
});

test("an answer says how long it holds, within what the grammar can say", () => {
  expect(readAnswer("check", allow())).toMatchObject({ validForMs: 0, validUses: undefined });
  expect(readAnswer("check", allow({ validForMs: 1.6, validUses: 2.9 }))).toMatchObject({
    validForMs: 2,
    validUses: 2,
  });
  expect(readAnswer("check", allow({ validForMs: Number.POSITIVE_INFINITY }))).toMatchObject({
    validForMs: 999_999_999,
  });
});
