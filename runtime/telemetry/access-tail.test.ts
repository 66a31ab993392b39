import { expect, test } from "bun:test";
import fc from "fast-check";
import { charge, type Charged } from "../exchange/filter-cost.ts";
import { renderTail } from "./access-tail.ts";

test("what no filter touched has no tail", () => {
  expect(renderTail({ filterCosts: undefined, metadata: undefined })).toBe("");
  expect(renderTail({ filterCosts: undefined, metadata: new Map() })).toBe("");
});

test("a filter's runs are one sum, in microseconds and fuel", () => {
  const charged: Charged = { filterCosts: undefined };
  charge(charged, "default/jwt", 1500, 0.012);
  charge(charged, "default/stamp", 7, 0.5);
  charge(charged, "default/jwt", 500, 0.004);
  expect(renderTail({ ...charged, metadata: new Map([["user", 'ada "the first"']]) })).toBe(
    ' {"filters":{"default/jwt":{"us":16,"fuel":2000},"default/stamp":{"us":500,"fuel":7}},"metadata":{"user":"ada \\"the first\\""}}',
  );
});

test("whatever filters left is one line of Latin-1 that reads back", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" })), (values) => {
      const metadata = new Map(Object.entries(values));
      const tail = renderTail({ filterCosts: undefined, metadata });
      expect(tail).toMatch(/^[\u0020-\u00ff]*$/u);
      const read: unknown = JSON.parse(tail === "" ? "{}" : tail);
      expect(read).toEqual(metadata.size === 0 ? {} : { metadata: Object.fromEntries(metadata) });
    }),
  );
});
