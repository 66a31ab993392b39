// A configuration against a schema that nobody trusts.
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { Manifest } from "../../runtime/contract/bundle.ts";
import { checkConfig, checkSchema } from "./check-config.ts";

function manifestOf(configSchema: Record<string, unknown>): Manifest {
  return Manifest.parse({
    name: "probe",
    world: "vespid:filter/filter@2.0.0",
    stage: "authn",
    reads: [],
    writes: [],
    phases: ["request"],
    configSchema,
  });
}

const schema = z.toJSONSchema(
  z.strictObject({
    realm: z.string().min(2).max(5),
    rules: z.array(z.strictObject({ name: z.string(), weight: z.int().min(0).max(100) })).default([]),
    mode: z.enum(["on", "off"]).default("on"),
    match: z.union([z.strictObject({ exact: z.string() }), z.strictObject({ prefix: z.string() })]).optional(),
    labels: z.record(z.string(), z.number()).optional(),
    id: z
      .string()
      .regex(/^[a-z]+$/u)
      .optional(),
  }),
  { io: "input" },
) as Record<string, unknown>;

test.each<[unknown, readonly string[]]>([
  [{ realm: "ok" }, []],
  [
    { realm: "ok", rules: [{ name: "a", weight: 5 }], mode: "off", match: { prefix: "/" }, labels: { a: 1 }, id: "a" },
    [],
  ],
  [{}, ["realm: is required"]],
  [{ realm: "x" }, ["realm: has 1 characters, must have at least 2"]],
  [{ realm: 5 }, ["realm: 5 must be string"]],
  [{ realm: "ok", rules: [{ name: "a", weight: 120 }] }, ["rules[0].weight: is 120, must be at most 100"]],
  [{ realm: "ok", rules: [{ name: "a", weight: 1.5 }] }, ["rules[0].weight: 1.5 must be integer"]],
  [{ realm: "ok", mode: "maybe" }, ['mode: "maybe" must be one of "on", "off"']],
  [{ realm: "ok", labels: { a: "b" } }, ['labels.a: "b" must be number']],
  [{ realm: "ok", id: "A" }, ['id: "A" does not match ^[a-z]+$']],
  ["text", [": configuration of probe must be an object"]],
])("%j", (config, problems) => {
  expect(checkConfig(manifestOf(schema), config).map(({ path, message }) => `${path}: ${message}`)).toEqual([
    ...problems,
  ]);
});

test("an unknown field is a problem that names the known ones", () => {
  const [found] = checkConfig(manifestOf(schema), { realm: "ok", relm: 1 });
  expect(found?.path).toBe("relm");
  expect(found?.message).toContain("known are realm, rules");
});

describe("a hostile schema ends soon", () => {
  test("a pattern that backtracks without end is left to the filter", () => {
    const config = { a: `${"a".repeat(60)}!` };
    const alternatives = `^${"(?:a|a)".repeat(59)}b$`;
    for (const pattern of ["^(a+)+$", "^(a|a)*$", "^(a?){30}a{30}$", "a*a*a*a*a*b", "(a*)\\1+$", alternatives]) {
      expect(checkConfig(manifestOf({ properties: { a: { type: "string", pattern } } }), config)).toEqual([]);
    }
  });

  test("references in circles and choices in choices end in a problem", () => {
    const circle = { $defs: { a: { $ref: "#/$defs/a" } }, $ref: "#/$defs/a" };
    expect(checkConfig(manifestOf(circle), {})[0]?.message).toContain("nested deeper");
    const definitions: Record<string, unknown> = { d0: { type: "string" } };
    for (let level = 1; level < 40; level++) {
      definitions[`d${level}`] = { anyOf: [{ $ref: `#/$defs/d${level - 1}` }, { $ref: `#/$defs/d${level - 1}` }] };
    }
    const wide = { $defs: definitions, properties: { a: { $ref: "#/$defs/d30" } } };
    expect(checkConfig(manifestOf(wide), { a: 1 })[0]?.message).toMatch(/takes more than|nested deeper/u);
  });

  test("names of the language are no schema", () => {
    expect(
      checkConfig(manifestOf({ properties: {}, additionalProperties: true }), { constructor: 1, toString: 2 }),
    ).toEqual([]);
    expect(checkConfig(manifestOf({ required: ["constructor"] }), {})).toHaveLength(1);
  });

  test("a schema that is too deep, or of no object, is refused with its artifact", () => {
    let deep: Record<string, unknown> = {};
    for (let level = 0; level < 200; level++) deep = { properties: { a: deep } };
    expect(checkSchema(manifestOf(deep))).toHaveLength(1);
    expect(checkSchema(manifestOf({ type: "array" }))).toHaveLength(1);
    expect(checkSchema(manifestOf(schema))).toEqual([]);
  });
});
