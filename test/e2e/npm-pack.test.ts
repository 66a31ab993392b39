// The package as npm packs it, in an empty project elsewhere: types, tests and builds need nothing of this repository.
import { expect, setDefaultTimeout, test } from "bun:test";
import { dirname } from "node:path";
import { runProgram } from "../harness/program.ts";
import { ROOT } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";

// An installation from a registry.
setDefaultTimeout(300_000);

const TSCONFIG = {
  compilerOptions: {
    target: "ES2023",
    module: "Preserve",
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    types: [],
  },
  files: ["greet/filter.ts"],
};

test("a filter is begun, type-checked, tested and built in an empty project", async () => {
  await using folder = await makeTempFolder();
  await Bun.write(folder.file("project/package.json"), JSON.stringify({ name: "mine", private: true, type: "module" }));
  await Bun.write(folder.file("project/tsconfig.json"), JSON.stringify(TSCONFIG));
  const packed = await runProgram(["npm", "pack", "--json", "--pack-destination", folder.path], { cwd: ROOT });
  expect(packed.status, packed.output).toBe(0);
  // What the project runs is `bun` by its name, as an author has it.
  const env = { PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}` };
  const run = (...command: readonly string[]) => runProgram(command, { cwd: folder.file("project"), env });
  const [tarball = ""] = [...new Bun.Glob("vespid-*.tgz").scanSync(folder.path)];
  const installed = await run("npm", "install", "--prefer-offline", "--no-audit", "--no-fund", folder.file(tarball));
  expect(installed.status, installed.output).toBe(0);

  const vespid = folder.file("project/node_modules/.bin/vespid");
  const written = await run(vespid, "filter", "new", "greet");
  expect(written.output).toContain("next: npx vespid filter test greet");
  const tsc = folder.file("project/node_modules/.bin/tsc");
  expect(await run(tsc, "-p", ".")).toMatchObject({ status: 0, output: "" });
  const tested = await run(vespid, "filter", "test", "greet", "--engine", "source", "component");
  expect(tested.status, tested.output).toBe(0);
  const built = await run(vespid, "filter", "build", "greet");
  expect(built.status, built.output).toBe(0);
  expect(await Bun.file(folder.file("project/greet.vespid.wasm")).exists()).toBe(true);
  expect(built.output).not.toContain(ROOT);

  const file = folder.file("project/greet/filter.ts");
  await Bun.write(file, (await Bun.file(file).text()).replace('set("x-greeting"', 'set("x-other"'));
  const mistyped = await run(tsc, "-p", ".");
  expect(mistyped.status).not.toBe(0);
  expect(mistyped.output).toMatch(/greet\/filter\.ts\(\d+,\d+\): error TS2345: .*"x-other"/u);
});
