import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir, stat, writeFile } from "node:fs/promises";
import { makeTempFolder, type TempFolder } from "../../test/harness/temp-folder.ts";
import { digestOf } from "../../sdk/build/artifact.ts";
import { codePath, isCodeIntact, writeCode } from "./code-file.ts";

const CODE = new Uint8Array(10_000).map((_, at) => at % 251);
const NOW_MS = 1_700_000_000_000;

let folder: TempFolder;
beforeAll(async () => {
  folder = await makeTempFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

function pathOf(name: string): string {
  return codePath(folder.path, digestOf(Buffer.from(name)), "engine 1");
}

test("what was written whole is intact, and its use is noted", async () => {
  const path = pathOf("whole");
  writeCode(folder.path, path, CODE);
  expect(await isCodeIntact(path, NOW_MS)).toBe(true);
  expect((await stat(path)).mtimeMs).toBe(NOW_MS);
});

test.each([
  ["was cut", (file: Uint8Array) => file.subarray(0, 5000)],
  ["was changed", (file: Uint8Array) => file.with(4000, 9)],
  ["went on", (file: Uint8Array) => Buffer.concat([file, Buffer.from("x")])],
  ["is something else", () => Buffer.from("not code")],
  ["is empty", () => new Uint8Array()],
])("a file that %s is removed", async (_, damage) => {
  const path = pathOf("damaged");
  writeCode(folder.path, path, CODE);
  await writeFile(path, damage(new Uint8Array(await Bun.file(path).arrayBuffer())));
  expect(await isCodeIntact(path, NOW_MS)).toBe(false);
  expect(await Bun.file(path).exists()).toBe(false);
});

test("a file that is not there is not intact", async () => {
  expect(await isCodeIntact(pathOf("none"), NOW_MS)).toBe(false);
});

test("the files used last are kept", async () => {
  for (let index = 0; index < 40; index++) {
    const path = pathOf(`many ${index}`);
    writeCode(folder.path, path, CODE);
    await isCodeIntact(path, NOW_MS + index);
  }
  const kept = await readdir(folder.path);
  expect(kept.length).toBe(32);
  expect(await isCodeIntact(pathOf("many 39"), NOW_MS)).toBe(true);
  expect(await isCodeIntact(pathOf("many 1"), NOW_MS)).toBe(false);
});
