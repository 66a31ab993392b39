// What a rule's action says is what an adapter's handlers get, whatever its texts hold: no value reads as another line.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { renderInstance } from "../../runtime/adapters/instance-lines.ts";
import type { Instance } from "../../runtime/adapters/adapter.ts";
import { compileShape, readInstance, readInstances, readQuotaInstance, type InstanceType } from "../../sdk/instance.ts";

/** Names that look alike, and texts that look like lines. */
const name = fc.constantFrom("a", "ab", "a.b", "a-b", "constructor", "best-effort", "name");
const text = fc
  .array(fc.constantFrom("a", "b", ": ", "\n", "\r\n", "\0", ":name: x", ":value: 1", "a: b", "é", "☕", ""), {
    maxLength: 6,
  })
  .map((parts) => parts.join(""));
const VALUES: Readonly<Record<InstanceType, fc.Arbitrary<Instance["attributes"][string]>>> = {
  string: text,
  number: fc.oneof(
    fc.integer(),
    fc.double({ noNaN: true }).filter((number) => !Object.is(number, -0)),
  ),
  boolean: fc.boolean(),
  map: fc.dictionary(name, text),
};
const typed = fc
  .uniqueArray(fc.tuple(name, fc.constantFrom<InstanceType>("string", "number", "boolean", "map")), {
    selector: ([key]) => key,
  })
  .chain((reads) =>
    fc.record({
      reads: fc.constant(Object.fromEntries(reads)),
      instances: fc.array(
        fc.record({
          name: text,
          value: fc.option(text, { nil: undefined }),
          attributes: fc.record(Object.fromEntries(reads.map(([key, type]) => [key, VALUES[type]])), {
            requiredKeys: [],
          }),
        }),
        { maxLength: 4 },
      ),
    }),
  );

type Attributes = Instance["attributes"];

/** As a text crosses. */
function onOneLine(whole: string): string {
  return whole.replaceAll(/[\r\n\0]/gu, " ");
}

/** As attributes cross: a map's texts are whole. */
function crossed(attributes: Readonly<Record<string, Attributes[string] | undefined>>): Attributes {
  const entries = Object.entries(given(attributes));
  return Object.fromEntries(entries.map(([key, value]) => [key, typeof value === "string" ? onOneLine(value) : value]));
}

test("an instance that was rendered reads back", () => {
  fc.assert(
    fc.property(typed, fc.boolean(), ({ reads, instances: made }, isBestEffort) => {
      const shape = compileShape(reads, "string");
      const names = Object.keys(reads);
      const expected = made.map(({ name: own, value, attributes }) => ({
        name: onOneLine(own),
        value: value === undefined ? undefined : onOneLine(value),
        attributes: crossed(attributes),
      }));
      const lines = made.map(({ attributes, ...instance }) =>
        renderInstance({ ...instance, attributes: given(attributes) }, names),
      );
      expect(readInstances(lines.map((each) => `${each}\n`).join(""), shape)).toEqual(expected);
      const [first] = made;
      const [wanted] = expected;
      if (first === undefined || wanted === undefined) return;
      expect(readInstance(lines[0] ?? "", shape)).toEqual(wanted);
      const charged = { name: first.name, value: 7, attributes: given(first.attributes) };
      const charge = readQuotaInstance(renderInstance(charged, names, isBestEffort), shape);
      expect(charge).toEqual({ name: wanted.name, amount: 7, isBestEffort, attributes: wanted.attributes });
    }),
    { numRuns: 2000 },
  );
});

/** What is absent is left out. */
function given(attributes: Readonly<Record<string, Attributes[string] | undefined>>): Attributes {
  const there: Record<string, Attributes[string]> = {};
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) there[key] = value;
  return there;
}
