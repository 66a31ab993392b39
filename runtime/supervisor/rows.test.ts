// Who accepts from which sockets, as workers come and go.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ownerOf, planRows } from "./rows.ts";

const acceptors = fc
  .uniqueArray(fc.nat(7), { maxLength: 8 })
  .chain((slots) =>
    fc.tuple(...slots.map((slot) => fc.record({ slot: fc.constant(slot), rows: fc.uniqueArray(fc.nat(7)) }))),
  );

test("every row is somebody's while anybody is there, and its own worker's when that one is", () => {
  fc.assert(
    fc.property(acceptors, fc.integer({ min: 1, max: 8 }), (all, rowCount) => {
      const plan = planRows(rowCount, all);
      for (let row = 0; row < rowCount; row++) {
        const owner = ownerOf(row, all);
        if (owner === undefined) expect(all).toEqual([]);
        else expect(plan.get(owner)).toContain(row);
        const own = all.find(({ slot }) => slot === row);
        if (own !== undefined) expect(owner).toBe(own);
      }
    }),
  );
});

test("a row moves without a gap: the one before keeps it until its owner accepts from it", () => {
  const [back, keeper] = [
    { slot: 0, rows: [] },
    { slot: 1, rows: [0, 1] },
  ];
  expect(planRows(2, [back, keeper])).toEqual(
    new Map([
      [back, [0]],
      [keeper, [0, 1]],
    ]),
  );
  const [settled, rid] = [{ slot: 0, rows: [0] }, keeper];
  expect(planRows(2, [settled, rid])).toEqual(
    new Map([
      [settled, [0]],
      [rid, [1]],
    ]),
  );
});
