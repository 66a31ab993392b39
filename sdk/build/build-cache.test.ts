// What was made before is found by what it was made from, whole or not at all.
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";
import { BuildCache } from "./build-cache.ts";

const bytes = new TextEncoder().encode("made");

test("an entry is found by its kind and its parts, in another process too", async () => {
  await using folder = await makeTempFolder();
  const cache = new BuildCache(folder.file("cache"));
  expect(await cache.read("component", ["a", "b"])).toBeUndefined();
  await cache.write("component", ["a", "b"], bytes);
  expect(await new BuildCache(folder.file("cache")).read("component", ["a", "b"])).toEqual(bytes);
  for (const [kind, parts] of [
    ["component", ["ab", ""]],
    ["component", ["b", "a"]],
    ["derived", ["a", "b"]],
  ] as const)
    expect(await cache.read(kind, parts)).toBeUndefined();
});

test("an entry that somebody changed or cut is made again", async () => {
  await using folder = await makeTempFolder();
  const cache = new BuildCache(folder.path);
  await cache.write("component", ["a"], bytes);
  const [name = ""] = await readdir(folder.path);
  const whole = await Bun.file(folder.file(name)).bytes();
  for (const changed of [
    whole.map((byte, at) => (at === 33 ? byte ^ 1 : byte)),
    whole.slice(0, -1),
    new Uint8Array(),
  ]) {
    await Bun.write(folder.file(name), changed);
    expect(await cache.read("component", ["a"])).toBeUndefined();
  }
});

test("a folder that cannot be written costs nothing but time", async () => {
  await using folder = await makeTempFolder();
  await Bun.write(folder.file("file"), "");
  const cache = new BuildCache(folder.file("file"));
  await cache.write("component", ["a"], bytes);
  expect(await cache.read("component", ["a"])).toBeUndefined();
});
