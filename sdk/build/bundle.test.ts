// What an author's file becomes before it is componentized.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { bundleGuest } from "./bundle.ts";

test("async functions run on the guest's promise, whose own way is shorter than the bundler's", async () => {
  const bundled = await bundleGuest(join(import.meta.dir, "../../test/fixtures/platform/filter.ts"));
  if (!bundled.ok) throw new Error(JSON.stringify(bundled.problems));
  const helper = /\w=\([\w$]+,[\w$]+,[\w$]+\)=>Promise\.lowered\(/u.exec(bundled.value.script);
  expect(helper?.index).toBeLessThan(1000);
});
