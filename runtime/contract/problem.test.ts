import { expect, test } from "bun:test";
import { z } from "zod";
import { parseWith, renderProblem } from "./problem.ts";

const Schema = z.strictObject({
  host: z.string().min(2),
  weight: z.int().min(0).max(100),
  mode: z.enum(["a", "b"]),
  ports: z.array(z.int()).min(1).max(2),
  own: z.string().regex(/^x/u, { error: "must start with x" }).optional(),
});

test("a problem names the field, the value and what it must be, all of them at once", () => {
  const parsed = parseWith(Schema, { host: "h", weight: 120, mode: "c", ports: [1, 2, 3], own: "y", more: 1 }, "spec");
  expect(parsed).toMatchObject({ ok: false });
  expect(parsed.ok ? [] : parsed.problems.map(renderProblem)).toEqual([
    "spec.host: must have at least 2 characters",
    "spec.weight: is 120, must be at most 100",
    'spec.mode: is "c", must be one of "a", "b"',
    "spec.ports: must have at most 2 items",
    "spec.own: must start with x",
    "spec.more: is not a field that is known here",
  ]);
});

test("a field that is missing is required, and a value of the wrong type is shown", () => {
  const parsed = parseWith(Schema, { weight: "9", ports: [] });
  expect(parsed.ok ? [] : parsed.problems.map(renderProblem)).toEqual([
    "host: is required",
    'weight: is "9", must be of type number',
    'mode: is required, one of "a", "b"',
    "ports: must have at least 1 item",
  ]);
});
