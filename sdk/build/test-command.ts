// `filter test`: a filter's own tests on its source and on its component, by `bun test`.
import { Option, type Command } from "commander";
import { stat } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import { fail, print, tell, type JsonOption } from "./terminal.ts";

const ENGINES = ["source", "component", "proxy"] as const;
type Engine = (typeof ENGINES)[number];

/** One test may have to build the filter first. */
const TEST_MAX_MS = 60_000;

interface TestFlags extends JsonOption {
  readonly engine: readonly Engine[];
}

/** Adds the command. */
export function addTest(filter: Command): void {
  filter
    .command("test")
    .argument("<path>", "a filter's folder, or a file in it; its tests are the *.test.ts there")
    .addOption(
      new Option("--engine <engine...>", "what the tests run on").choices(ENGINES).default(["source", "component"]),
    )
    .option("--json", "print the result of each engine as JSON")
    .description("run a filter's tests on its source and in the sandbox")
    .action(runTest);
}

async function runTest(path: string, flags: TestFlags): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined)
    return fail([{ path, message: `is not there; "filter new ${path}" writes a filter` }], flags);
  const given = found.isDirectory() || /\.test\.[cm]?[jt]sx?$/u.test(path) ? path : dirname(path);
  // Without it, bun test takes a name for a part of any path.
  const where = isAbsolute(given) || given.startsWith(".") ? given : `./${given}`;
  const results = [];
  for (const engine of new Set(flags.engine)) {
    tell(`on engine ${engine}:`);
    const startedMs = performance.now();
    const status = await runBunTest(where, engine);
    results.push({ engine, passed: status === 0, tookMs: Math.round(performance.now() - startedMs) });
  }
  if (flags.json === true) print({ results });
  else
    tell(
      results
        .map(({ engine, passed, tookMs }) => `${engine}: ${passed ? "passed" : "failed"} in ${tookMs} ms`)
        .join("\n"),
    );
  if (results.some(({ passed }) => !passed)) process.exitCode = 1;
  return undefined;
}

async function runBunTest(path: string, engine: Engine): Promise<number> {
  const child = Bun.spawn([process.execPath, "test", "--timeout", String(TEST_MAX_MS), path], {
    env: { ...process.env, VESPID_TEST_ENGINE: engine },
    stdin: "ignore",
    // Where what people watch goes.
    stdout: 2,
    stderr: "inherit",
  });
  return child.exited;
}
