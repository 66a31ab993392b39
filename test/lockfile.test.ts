// `npm ci` on a machine with node and npm alone, of any kind and by any registry.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { z } from "zod";
import { findMissing, readLockfile } from "./harness/lockfile.ts";

test("the lock file names every optional package (bun test/harness/lockfile.ts adds them)", async () => {
  expect(findMissing(await readLockfile())).toEqual([]);
});

test("an optional package that is not named is found", () => {
  const parent = { version: "1.0.0", optionalDependencies: { "@a/linux-x64": "1.0.0", "@a/win32-x64": "1.0.0" } };
  const lockfile = {
    packages: { "": {}, "node_modules/a": parent, "node_modules/@a/linux-x64": { version: "1.0.0" } },
  };
  expect(findMissing(lockfile)).toEqual([{ name: "@a/win32-x64", version: "1.0.0" }]);
});

test("the lock file says no address: packages come from the registry of whoever installs", async () => {
  expect(JSON.stringify(await readLockfile())).not.toMatch(/"resolved"/u);
});

test("package.json names exact versions", async () => {
  const versions = z.record(z.string(), z.string());
  const shape = z.looseObject({ dependencies: versions, devDependencies: versions });
  const { dependencies, devDependencies } = shape.parse(
    await Bun.file(join(import.meta.dir, "../package.json")).json(),
  );
  for (const version of Object.values({ ...dependencies, ...devDependencies }))
    expect(version).toMatch(/^\d+\.\d+\.\d+$/u);
});
