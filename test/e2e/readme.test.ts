// What the READMEs say is so: commands exist, links lead somewhere, the sixty-second filter builds and is accepted.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { startControl } from "../harness/control.ts";
import { ROOT } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const paths = await Promise.all(
  ["*.md", "{control,docs,filters,runtime,sdk,test}/**/*.md"].map((pattern) =>
    Array.fromAsync(new Bun.Glob(pattern).scan(ROOT)),
  ),
);
const documents = await Promise.all(
  paths
    .flat()
    .toSorted()
    .map(async (path) => ({ path, text: await Bun.file(join(ROOT, path)).text() })),
);
const Package = z.object({ scripts: z.record(z.string(), z.string()) });
const { scripts } = Package.parse(await Bun.file(join(ROOT, "package.json")).json());

describe("every document", () => {
  test("is found", () => {
    expect(documents.map(({ path }) => path)).toContain("README.md");
  });

  test.each(documents.map(({ path, text }) => [path, text]))("%s names only commands that there are", (_path, text) => {
    const named = [...text.matchAll(/\b(?:bun|npm) run ([a-z][\w-]*)/gu)].map(([, name = ""]) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  test.each(documents.map(({ path, text }) => [path, text]))("%s links only to files that there are", (path, text) => {
    const links = [...text.matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/gu)].map(([, link = ""]) => link);
    expect(links.filter((link) => !existsSync(join(ROOT, dirname(path), link)))).toEqual([]);
  });
});

describe("the map of a folder", () => {
  const maps = documents.filter(({ path }) => path.split("/").length === 2);
  test.each(maps.map(({ path, text }) => [path, text]))("%s names only files that there are", (path, text) => {
    const files = [...text.matchAll(/`([\w-]+\/[\w-]+\.(?:ts|sh|wit))`/gu)].map(([, file = ""]) => file);
    const isThere = (file: string) => existsSync(join(ROOT, dirname(path), file)) || existsSync(join(ROOT, file));
    expect(files.filter((file) => !isThere(file))).toEqual([]);
  });
});

test("the sixty-second filter builds, and control accepts its use", async () => {
  const readme = documents.find(({ path }) => path === "README.md")?.text ?? "";
  const [, source = ""] = /^```ts\n([^`]*?`[^`]*`[^`]*?)^```$/mu.exec(readme) ?? [];
  const [, use = ""] = /^```yaml\n(# use\.yaml[\s\S]*?)^```$/mu.exec(readme) ?? [];
  await using folder = await makeTempFolder();
  await Bun.write(folder.file("hello/filter.ts"), source);
  const built = await buildFilterFile(folder.file("hello/filter.ts"));
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  expect(built.value.manifest).toMatchObject({ name: "hello", reads: ["x-user"], writes: ["x-greeting"] });
  await using control = await startControl({ cwd: folder.path });
  const digest = await control.push(built.value.artifact);
  await control.apply(use.replace("sha256:…", digest));
  const stored = await fetch(`${control.url}/v1/resources/Filter/default/hello`);
  expect(await stored.json()).toMatchObject({ spec: { bundle: digest, selector: { services: ["reviews"] } } });
});
