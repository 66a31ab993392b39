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
    'weight: is "9", must be a number',
    'mode: is required, one of "a", "b"',
    "ports: must have at least 1 item",
  ]);
});

test("types are told in the words of those who write YAML", () => {
  const Types = z.object({
    hosts: z.array(z.string()),
    on: z.boolean(),
    weight: z.int(),
    labels: z.record(z.string(), z.string()),
  });
  const parsed = parseWith(Types, { hosts: "a", on: "yes", weight: 1.5, labels: 3 });
  expect(parsed.ok ? [] : parsed.problems.map(renderProblem)).toEqual([
    'hosts: is "a", must be a list',
    'on: is "yes", must be true or false',
    "weight: is 1.5, must be a whole number",
    "labels: is 3, must be a mapping",
  ]);
});

test("a value that fits none of several forms is told what each of them has", () => {
  const Match = z.union([z.strictObject({ exact: z.string() }), z.strictObject({ prefix: z.string() })]);
  const parsed = parseWith(z.object({ origins: z.array(Match), to: z.union([z.string(), z.number()]) }), {
    origins: [{ exct: "*" }],
    to: [],
  });
  expect(parsed.ok ? [] : parsed.problems.map(renderProblem)).toEqual([
    'origins[0]: is {"exct":"*"}, which is none of the forms that are known here, must have exact or prefix',
    "to: is [], which is none of the forms that are known here",
  ]);
});

test("a text of the wrong form is shown, with the form", () => {
  const schema = z.strictObject({ name: z.string().regex(/^[a-z]+$/u), path: z.string().startsWith("/") });
  expect(parseWith(schema, { name: "A", path: "x" })).toEqual({
    ok: false,
    problems: [
      { path: "name", message: 'is "A", must match /^[a-z]+$/u' },
      { path: "path", message: 'is "x", must start with /' },
    ],
  });
});
