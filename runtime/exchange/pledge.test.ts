import { expect, test } from "bun:test";
import { Pledge } from "./pledge.ts";

test("a value is told once and at once, whether it was there before its taker or not, and the first counts", () => {
  const told: string[] = [];
  const [early, late] = [new Pledge<string>(), new Pledge<string>()];
  early.settle("early");
  early.settle("again");
  early.take((value) => told.push(value));
  late.take((value) => told.push(value));
  late.settle("late");
  late.settle("again");
  expect(told).toEqual(["early", "late"]);
});
