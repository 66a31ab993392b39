// A filter that does what it does not declare does not build.
import { expect, test } from "bun:test";
import { makeTempFolder, type TempFolder } from "../../test/harness/temp-folder.ts";
import { checkTypes } from "./check-types.ts";

function filterWith(body: string): string {
  return `import { defineFilter, z } from "vespid";

export default defineFilter({
  name: "own",
  stage: "transform",
  reads: ["x-user"],
  writes: ["x-greeting"],
  config: z.strictObject({ greeting: z.string().default("hello") }),
  request(request, { config }) {
${body}
  },
});
`;
}

async function runCli(folder: TempFolder, ...args: readonly string[]): Promise<{ code: number; err: string }> {
  const env = { ...process.env, VESPID_TOKEN: undefined, VESPID_CONTROL: undefined };
  const command = [process.execPath, `${import.meta.dir}/cli.ts`, ...args];
  const child = Bun.spawn(command, { cwd: folder.path, env, stdout: "ignore", stderr: "pipe" });
  const [err, code] = await Promise.all([child.stderr.text(), child.exited]);
  return { code, err };
}

test("every type error is told by line and column, the sandbox's missing globals among them", async () => {
  await using folder = await makeTempFolder();
  const file = folder.file("filter.ts");
  await Bun.write(
    file,
    filterWith(`    request.headers.get("x-secret");
    request.headers.set("x-other", config.greeting);
    console.log(await fetch("http://a"), new WebSocket("ws://a"), await import("node:fs"));`).replace(
      "request(",
      "async request(",
    ),
  );
  const missing = "is not in the sandbox; it has ECMAScript 2024 and of the web what sdk/README.md lists";
  expect(await checkTypes(file)).toEqual([
    {
      path: `${file}:10:25`,
      message: `Argument of type '"x-secret"' is not assignable to parameter of type '"x-user"'.`,
    },
    {
      path: `${file}:11:25`,
      message: `Argument of type '"x-other"' is not assignable to parameter of type '"x-greeting"'.`,
    },
    {
      path: `${file}:12:23`,
      message: "fetch is not in the sandbox: a handler's context has it, for upstreams that the filter declares",
    },
    { path: `${file}:12:46`, message: `WebSocket ${missing}` },
    { path: `${file}:12:80`, message: `node:fs ${missing}` },
  ]);
});

test("what the sandbox has compiles", async () => {
  await using folder = await makeTempFolder();
  await Bun.write(folder.file("double.ts"), "export const double = (text: string): string => text + text;\n");
  await Bun.write(
    folder.file("filter.ts"),
    `import { double } from "./double.ts";\n${filterWith(`    const user = request.headers.get("x-user") ?? atob("YQ==");
    console.log(user);
    request.headers.set("x-greeting", double(config.greeting));`)}`,
  );
  expect(await checkTypes(folder.file("filter.ts"))).toEqual([]);
});

test("filter build refuses a filter with type errors, writes nothing, and says what to change", async () => {
  await using folder = await makeTempFolder();
  await Bun.write(folder.file("own/filter.ts"), filterWith(`    request.headers.get("x-secret");`));
  const refused = await runCli(folder, "build", "own");
  expect(refused.code).toBe(1);
  expect(refused.err).toContain(`error: own/filter.ts:10:25: Argument of type '"x-secret"'`);
  expect(await Bun.file(folder.file("own.vespid.wasm")).exists()).toBe(false);
  expect((await runCli(folder, "build", "own", "--no-check")).code).toBe(0);
  expect(await Bun.file(folder.file("own.vespid.wasm")).exists()).toBe(true);
}, 30_000);

test("exit codes are those of vespid", async () => {
  await using folder = await makeTempFolder();
  expect(await runCli(folder, "biuld", "x")).toMatchObject({ code: 2 });
  expect(await runCli(folder, "build", "nothing")).toMatchObject({ code: 1 });
  expect(await runCli(folder, "push", "x", "--token", "t", "--control", "here")).toMatchObject({ code: 2 });
  const push = ["push", "x.vespid.wasm", "--control", "http://127.0.0.1:1"];
  await Bun.write(folder.file("x.vespid.wasm"), "any bytes");
  expect(await runCli(folder, ...push, "--token", "t")).toMatchObject({ code: 3 });
  expect(await runCli(folder, ...push)).toMatchObject({ code: 4, err: expect.stringContaining("VESPID_TOKEN") });
});
