// What control may send instead of a snapshot, without the network between.
import { expect, test } from "bun:test";
import { versionOf } from "../contract/version.ts";
import { createApplier } from "./apply.ts";

test("a snapshot too deep to be walked is refused, and the next one is applied", async () => {
  const silent = { info: () => undefined, warn: () => undefined };
  const applier = createApplier({
    applySnapshot: () => Promise.resolve([]),
    save: () => Promise.resolve(),
    log: silent,
    now: () => 0,
  });
  const good = { service: "reviews" };
  const version = versionOf(good);
  const deep: unknown = JSON.parse("[".repeat(200_000) + "]".repeat(200_000));
  expect(await applier.apply(version, deep, "control")).toMatchObject({ kind: "nack", version });
  expect(await applier.apply(version, good, "control")).toEqual({ kind: "ack", version });
});
