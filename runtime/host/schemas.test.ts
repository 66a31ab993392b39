import { Validator, type Schema } from "@cfworker/json-schema";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { errorOf, valueOf } from "../../test/harness/host-answer.ts";
import { createHostFunctions } from "./host-functions.ts";

const functions = createHostFunctions({ shared: () => undefined });
const NOTHING = new Uint8Array();

function compile(schema: unknown) {
  return functions.text("json-schema-compile", JSON.stringify(schema), NOTHING);
}

function check(schema: unknown, document: unknown): readonly (readonly [string, string])[] {
  const answer = functions.text("json-schema", `${valueOf(compile(schema))}\n${JSON.stringify(document)}`, NOTHING);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Compared as it is.
  return JSON.parse(valueOf(answer)) as readonly (readonly [string, string])[];
}

const USER = {
  $id: "https://a.example/user",
  type: "object",
  required: ["name"],
  properties: {
    name: { type: "string", minLength: 1, maxLength: 5 },
    age: { type: "integer", minimum: 0 },
    tags: { type: "array", items: { $ref: "#/$defs/tag" }, uniqueItems: true, maxItems: 3 },
    friend: { $ref: "user" },
    kind: { enum: ["a", { b: [1] }] },
    pet: { $ref: "#pet" },
  },
  patternProperties: { "^x-": { const: null } },
  additionalProperties: false,
  $defs: { tag: { type: "string", pattern: "^[a-z]+$" }, animal: { $anchor: "pet", type: ["null", "boolean"] } },
};

function many(part: unknown): readonly unknown[] {
  return Array.from({ length: 3000 }, () => part);
}

test("a part is checked by its pointer, with references to the whole", () => {
  const name = valueOf(
    compile({ $defs: { a: { type: "integer" }, "b/c %": { items: { $ref: "#/$defs/a" } }, d: { type: "x" } } }),
  );
  const at = (pointer: string, document: string) =>
    functions.text("json-schema", `${name} ${encodeURIComponent(pointer)}\n${document}`, NOTHING);
  expect(valueOf(at("/$defs/b~1c %", "[1,2]"))).toBe("[]");
  expect(valueOf(at("/$defs/b~1c %", '[1,"2"]'))).toBe('[["/1","must be integer, is string"]]');
  expect(errorOf(at("/$defs/d", "1"))).toContain('type "x" is not known');
  // Not only the first time.
  expect(errorOf(at("/$defs/d", "1"))).toContain('type "x" is not known');
  expect(errorOf(at("/$defs/e", "1"))).toContain('part "/$defs/e" is not there');
  expect(errorOf(at("$defs/a", "1"))).toContain("is not there");
  expect(errorOf(functions.text("json-schema", `${name} %\n1`, NOTHING))).toContain("is not percent-coded");
});

describe("what is wrong is told by pointer", () => {
  test.each<[unknown, readonly (readonly [string, string])[]]>([
    [{ name: "ada", age: 3, tags: ["a", "b"], kind: { b: [1] }, "x-a": null, pet: null }, []],
    [{}, [["/name", "is required"]]],
    [[], [["", "must be object, is array"]]],
    [{ name: "" }, [["/name", "has 0 characters, must have at least 1"]]],
    [{ name: "😀😀😀😀😀" }, []],
    [{ name: "123456" }, [["/name", "has 6 characters, must have at most 5"]]],
    [{ name: "a", age: 1.5 }, [["/age", "must be integer, is number"]]],
    [{ name: "a", age: -1 }, [["/age", "must be at least 0, is -1"]]],
    [
      { name: "a", tags: ["a", "A", "a"] },
      [
        ["/tags/1", 'must match "^[a-z]+$"'],
        ["/tags", "has an item twice"],
      ],
    ],
    [{ name: "a", "y/~": 1 }, [["/y~1~0", "is not allowed"]]],
    [{ name: "a", "x-b": 0 }, [["/x-b", "must be null"]]],
    [{ name: "a", kind: { b: [2] } }, [["/kind", "is none of the values allowed"]]],
    [{ name: "a", friend: { name: 5 } }, [["/friend/name", "must be string, is number"]]],
    [{ name: "a", pet: 1 }, [["/pet", "must be null or boolean, is number"]]],
  ])("%j", (document, problems) => {
    expect(check(USER, document)).toEqual(problems);
  });

  test("only so many, and bytes as well as text", () => {
    const name = valueOf(compile({ items: { type: "null" } }));
    const answer = functions.text(
      "json-schema",
      name,
      Buffer.from(JSON.stringify(Array.from({ length: 100 }, () => 1))),
    );
    expect(JSON.parse(valueOf(answer))).toHaveLength(20);
    expect(valueOf(functions.text("json-schema", name, Buffer.from("[")))).toContain('[["","is not JSON');
    expect(valueOf(functions.text("json-schema", name, Uint8Array.of(0xff)))).toContain('[["","is not JSON');
  });
});

test.each<[string, unknown, unknown, boolean]>([
  ["draft 7 items", { items: [{ type: "null" }], additionalItems: { type: "string" } }, [null, "a"], true],
  ["draft 7 items", { items: [{ type: "null" }], additionalItems: false }, [null, "a"], false],
  ["draft 7 dependencies", { dependencies: { a: ["b"], c: { required: ["d"] } } }, { a: 1, b: 1, c: 1 }, false],
  ["OpenAPI 3.0 nullable", { type: "string", nullable: true }, null, true],
  ["OpenAPI 3.0 bounds", { minimum: 1, exclusiveMinimum: true }, 1, false],
  ["fractions", { multipleOf: 0.1 }, 0.3, true],
  ["contains", { contains: { const: 1 }, maxContains: 1 }, [1, 2, 1], false],
  ["date-time", { format: "date-time" }, "2026-02-29T10:00:00Z", false],
  ["date-time", { format: "date-time" }, "2024-02-29T10:00:00.5+01:00", true],
  ["ipv6", { format: "ipv6" }, "::1", true],
  ["uri", { format: "uri" }, "/a", false],
  ["an unknown format", { format: "colour" }, "/a", true],
])("%s: %j with %j is %p", (_, schema, document, fits) => {
  expect(check(schema, document).length === 0).toBe(fits);
});

describe("what is no schema, or not supported, is an error", () => {
  test.each<[unknown, string]>([
    [{ type: "text" }, 'type "text" is not known'],
    [{ properties: { a: 5 } }, "5 is not a schema"],
    [{ pattern: "(" }, "error parsing regexp"],
    [{ pattern: "(?=a)" }, "invalid or unsupported Perl syntax"],
    [{ $ref: "#/nowhere" }, "leads nowhere"],
    [{ $ref: "http://b.example/x.json" }, "leads nowhere; other documents are not fetched"],
    [{ unevaluatedProperties: false }, "unevaluatedProperties is not supported"],
    [{ minLength: -1 }, "minLength must be a whole number"],
    [{ anyOf: [] }, "anyOf must be a list of schemas"],
    ["x".repeat(512 * 1024), "schema is 524290 long"],
  ])("%j", (schema, message) => {
    expect(errorOf(compile(schema))).toContain(message);
  });

  test("a schema that is nested deep", () => {
    let nested: unknown = {};
    for (let depth = 0; depth < 100; depth++) nested = { not: nested };
    expect(errorOf(compile(nested))).toContain("nested more than 64 deep");
  });

  test("a name that is none", () => {
    expect(errorOf(functions.text("json-schema", "x\n{}", NOTHING))).toBe("json-schema: schema is not known");
  });
});

describe("what would take for ever ends", () => {
  const doubling = {
    $ref: "#/$defs/s30",
    $defs: Object.fromEntries(
      Array.from({ length: 31 }, (_, n) => [
        `s${n}`,
        n === 0 ? { type: "integer" } : { allOf: [{ $ref: `#/$defs/s${n - 1}` }, { $ref: `#/$defs/s${n - 1}` }] },
      ]),
    ),
  };
  const wide = { items: { allOf: Array.from({ length: 4000 }, () => ({ type: "integer" })) } };
  let deep: unknown = 1;
  for (let depth = 0; depth < 2000; depth++) deep = [deep];

  const never = { additionalProperties: false };
  const names = Array.from({ length: 3000 }, (_, index) => [`a${index}`, []]);
  const objects = Array.from({ length: 30_000 }, () => ({}));
  const members = Object.fromEntries(Array.from({ length: 60_000 }, (_, index) => [`a${index}`, 1]));
  let nestedText: unknown = "a".repeat(500_000);
  for (let depth = 0; depth < 500; depth++) nestedText = [nestedText, 1];

  test.each<[string, unknown, unknown, string]>([
    ["references that double", doubling, 1, "takes more than 2000000 steps"],
    ["a reference to itself", { $ref: "#" }, 1, "is nested more than 256 deep"],
    ["many parts for many values", wide, Array.from({ length: 5000 }, () => 1), "takes more than 2000000 steps"],
    [
      "a document that is nested deep",
      { $defs: { l: { items: { $ref: "#/$defs/l" } } }, $ref: "#/$defs/l" },
      deep,
      "nested",
    ],
    ["many keywords", { items: { allOf: many(true) } }, Array.from({ length: 30_000 }, () => 1), "takes more than"],
    ["many dependencies", { items: { dependentRequired: Object.fromEntries(names) } }, objects, "takes more than"],
    ["a long text's length", { allOf: many({ maxLength: 9e9 }) }, "a".repeat(900_000), "takes more than"],
    ["many members", { allOf: many({ minProperties: 0 }) }, members, "takes more than"],
    ["many names", { allOf: many({ propertyNames: true }) }, members, "takes more than"],
    ["many members of which the first decides", { allOf: many({ not: never }) }, members, "takes more than"],
    ["many items", { allOf: many({ items: true }) }, Array.from({ length: 100_000 }, () => 1), "takes more than"],
    ["many items that fit", { allOf: many({ contains: true }) }, objects, "takes more than"],
    ["what is nested is compared", { const: 1 }, [nestedText], "takes more than"],
    ["a pattern on a long text", { pattern: "[a-z]{1,100}!" }, "a".repeat(900_000), "takes more than"],
  ])("%s", (_, schema, document, message) => {
    const name = valueOf(compile(schema));
    const startedMs = performance.now();
    const answer = functions.text("json-schema", `${name}\n${JSON.stringify(document)}`, NOTHING);
    expect(errorOf(answer)).toContain(message);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  test.each<[string, unknown, string]>([
    [
      "patterns",
      { allOf: Array.from({ length: 300 }, (_, n) => ({ pattern: `${"\\p{L}".repeat(50)}${n}` })) },
      "takes too long",
    ],
    ["values", { enum: Array.from({ length: 250_000 }, (_, n) => n % 10) }, "takes too long"],
    ["ids", { $id: `https://x/${"a".repeat(100_000)}`, $defs: { a: { $id: "?a" } } }, "limit is 512"],
    ["references", { $id: "https://x/y", allOf: [{ $ref: `#/${"a/".repeat(2000)}` }] }, "limit is 2048"],
  ])("a schema of too many or too long %s is none", (_, schema, message) => {
    const startedMs = performance.now();
    expect(errorOf(compile(schema))).toContain(message);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });

  test("what a schema or a part takes to compile is paid for each time that it fails", () => {
    const broken = { $defs: { a: { allOf: [...many({ minLength: 1 }), { type: "x" }] } } };
    const name = valueOf(compile(broken));
    for (let time = 0; time < 3; time++) {
      const answer = functions.text("json-schema", `${name} /$defs/a\n1`, NOTHING);
      expect(errorOf(answer)).toContain("is not known");
      expect(answer.fuel).toBeGreaterThan(3_000_000);
    }
    expect(compile(broken.$defs.a).fuel).toBeGreaterThan(3_000_000);
  });

  test("many values that must differ are compared at once", () => {
    const numbers = Array.from({ length: 100_000 }, (_, index) => index);
    expect(check({ uniqueItems: true }, numbers)).toEqual([]);
    expect(check({ uniqueItems: true }, [...numbers, 0])).toHaveLength(1);
  });
});

/** Schemas over a small vocabulary, so that documents fit now and then. */
const scalar = fc.constantFrom<unknown>(null, true, 0, 1, 2.5, -1, "", "a", "ab", "ba");
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("a", "b", "c"), tie("value"), { maxKeys: 3 }),
  ),
})).value;
const schema = fc.letrec<{ schema: unknown }>((tie) => {
  const list = fc.array(tie("schema"), { minLength: 1, maxLength: 2 });
  const keywords: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
    type: fc.oneof(
      fc.constantFrom("null", "boolean", "object", "array", "number", "string", "integer"),
      fc.constant(["string", "array"]),
    ),
    enum: fc.array(json, { minLength: 1, maxLength: 3 }),
    const: json,
    minimum: fc.constantFrom(0, 1),
    exclusiveMaximum: fc.constantFrom(1, 2),
    multipleOf: fc.constantFrom(1, 0.5, 2),
    minLength: fc.nat({ max: 2 }),
    maxLength: fc.nat({ max: 2 }),
    pattern: fc.constantFrom("^a", "b$", "^(a|b)*$"),
    items: tie("schema"),
    prefixItems: list,
    contains: tie("schema"),
    minItems: fc.nat({ max: 2 }),
    maxItems: fc.nat({ max: 2 }),
    uniqueItems: fc.boolean(),
    properties: fc.dictionary(fc.constantFrom("a", "b"), tie("schema")),
    patternProperties: fc.dictionary(fc.constantFrom("^a", "c"), tie("schema")),
    additionalProperties: tie("schema"),
    propertyNames: fc.constantFrom({ maxLength: 1 }, { pattern: "^[ab]$" }),
    required: fc.subarray(["a", "b"]),
    minProperties: fc.nat({ max: 2 }),
    maxProperties: fc.nat({ max: 2 }),
    dependentRequired: fc.constantFrom({ a: ["b"] }),
    dependentSchemas: fc.dictionary(fc.constantFrom("a", "b"), tie("schema"), { maxKeys: 1 }),
    allOf: list,
    anyOf: list,
    oneOf: list,
    not: tie("schema"),
    if: tie("schema"),
    // oxlint-disable-next-line unicorn/no-thenable -- The keyword.
    then: tie("schema"),
    else: tie("schema"),
  };
  // A few keywords at a time: with all of them nothing fits.
  const keyword = fc.oneof(...Object.entries(keywords).map(([name, values]) => fc.tuple(fc.constant(name), values)));
  const few = fc.array(keyword, { maxLength: 3 }).map((entries) => Object.fromEntries(entries));
  return { schema: fc.oneof({ maxDepth: 3 }, fc.boolean(), few) };
}).schema;

test("schemas decide as another validator does", () => {
  let fitting = 0;
  fc.assert(
    fc.property(schema, json, (given, document) => {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- It takes any JSON.
      const { valid } = new Validator(given as Schema | boolean, "2020-12").validate(document);
      expect(check(given, document).length === 0).toBe(valid);
      if (valid) fitting++;
    }),
    { numRuns: 3000 },
  );
  expect(fitting).toBeGreaterThan(300);
});
