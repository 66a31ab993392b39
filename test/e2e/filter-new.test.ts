// Every template as an author gets it: it tests on the source and in the sandbox, its types fit, it builds.
import { expect, setDefaultTimeout, test } from "bun:test";
import { z } from "zod";
import { makeAuthorFolder, runFilterCommand } from "../harness/filter-cli.ts";

setDefaultTimeout(180_000);

const TEMPLATES = ["greet", "auth", "rate-limit", "transform", "callout", "adapter", "tcp"];
const Tested = z.object({ results: z.array(z.object({ engine: z.string(), passed: z.boolean() })) });
const Built = z.object({
  manifest: z.object({ name: z.string() }),
  cost: z
    .object({ bundleBytes: z.number(), memoryBytes: z.number(), request: z.object({ fuel: z.number() }).optional() })
    .optional(),
});

test.each(TEMPLATES)("template %s tests, fits its types and builds out of the box", async (template) => {
  await using folder = await makeAuthorFolder();
  const written = await runFilterCommand(folder, ["new", "mine", "--template", template, "--json"]);
  expect(JSON.parse(written.stdout)).toEqual({ files: ["mine/filter.ts", "mine/filter.test.ts", "mine/README.md"] });
  const tested = await runFilterCommand(folder, ["test", "mine", "--json"]);
  expect({ status: tested.status, ...Tested.parse(JSON.parse(tested.stdout)) }, tested.output).toEqual({
    status: 0,
    results: [
      { engine: "source", passed: true },
      { engine: "component", passed: true },
    ],
  });
  const built = await runFilterCommand(folder, ["build", "mine", "--json"]);
  expect(built.status, built.output).toBe(0);
  const { manifest, cost } = Built.parse(JSON.parse(built.stdout));
  expect(manifest.name).toBe("mine");
  // Those that have to be configured say so.
  if (cost !== undefined) expect(cost.memoryBytes).toBeLessThan(8_000_000);
  expect(cost === undefined).toBe(template === "auth" || template === "transform");
});

test("the templates are listed, and one that is none is refused", async () => {
  await using folder = await makeAuthorFolder();
  const listed = await runFilterCommand(folder, ["new", "--list"]);
  for (const template of TEMPLATES) expect(listed.output).toMatch(new RegExp(`^${template} +\\w`, "mu"));
  expect(await runFilterCommand(folder, ["new", "mine", "--template", "none"])).toMatchObject({ status: 2 });
  expect(await runFilterCommand(folder, ["new"])).toMatchObject({ status: 2 });
  expect(await runFilterCommand(folder, ["test", "nowhere"])).toMatchObject({
    status: 1,
    output: expect.stringContaining("nowhere: is not there"),
  });
});

test("a test that fails on one engine alone fails, and says on which", async () => {
  await using folder = await makeAuthorFolder();
  await runFilterCommand(folder, ["new", "mine"]);
  const file = folder.file("mine/filter.test.ts");
  const text = await Bun.file(file).text();
  await Bun.write(
    file,
    `${text}\ntest("costs no fuel", async () => {\n  await using f = await mount(filter);\n  expect((await f.request()).fuel).toBe(0);\n});\n`,
  );
  const { status, output } = await runFilterCommand(folder, ["test", "mine/filter.ts"]);
  expect(status).toBe(1);
  expect(output).toMatch(/source: passed in \d+ ms\ncomponent: failed in \d+ ms/u);
});
