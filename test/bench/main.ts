// `bun run bench NAME [--json] [--check] [--quick] [--part NAME]`: finds the benchmark, runs it, prints its answer.
// A benchmark is a file in this folder that exports `question` and `run` (`Benchmark` in result.ts).
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findPassedLimits, renderPassedLimit, renderResult, type Benchmark } from "./result.ts";

const USAGE =
  "usage: bun run bench NAME [--json] [--check] [--quick] [--part NAME] [--seconds N] | bun run bench --list";

const HELP = `${USAGE}

  --list         name the benchmarks and what each asks
  --json         print the result for programs
  --check        exit 1 where a limit is passed, and name the figure on the last line
  --quick        fewer and shorter rounds: a look, no measurement
  --part NAME    one part of a benchmark that has several
  --seconds N    how long soak runs`;

process.exitCode = await main(process.argv.slice(2));

/** Runs what the arguments ask for. Returns the exit code: 0, 1 for a passed limit, 2 for a wrong command line. */
async function main(args: readonly string[]): Promise<number> {
  const parsed = parseCommandLine(args);
  if (!parsed.ok) {
    console.error(`${parsed.message}\n${USAGE}`);
    return 2;
  }
  const benchmarks = await loadBenchmarks();
  const { values, name } = parsed;
  if (values.help === true) {
    console.log(HELP);
    return 0;
  }
  if (values.list === true) {
    const width = Math.max(...benchmarks.keys().map((key) => key.length));
    for (const [key, { question, parts = [] }] of benchmarks) {
      console.log(`${key.padEnd(width)}  ${question}${parts.length === 0 ? "" : ` (parts: ${parts.join(", ")})`}`);
    }
    return 0;
  }
  const benchmark = name === undefined ? undefined : benchmarks.get(name);
  if (benchmark === undefined) {
    console.error(`${JSON.stringify(name ?? "")} is none of: ${[...benchmarks.keys()].join(", ")}\n${USAGE}`);
    return 2;
  }
  const { part } = values;
  if (part !== undefined && benchmark.parts?.includes(part) !== true) {
    console.error(
      `${name} has no part ${JSON.stringify(part)}; it has: ${benchmark.parts?.join(", ") ?? "none"}\n${USAGE}`,
    );
    return 2;
  }
  const result = await benchmark.run({
    isQuick: values.quick === true,
    hasPart: (asked) => part === undefined || part === asked,
    seconds: values.seconds === undefined ? undefined : Number(values.seconds),
    progress: (line) => console.error(line),
  });
  console.log(values.json === true ? JSON.stringify(result, undefined, 2) : renderResult(result));
  const passed = values.check === true ? findPassedLimits(result) : [];
  // Programs that read JSON get nothing else on stdout.
  const say = values.json === true ? console.error : console.log;
  for (const row of passed) say(renderPassedLimit(row));
  return passed.length === 0 ? 0 : 1;
}

interface Values {
  readonly json?: boolean;
  readonly check?: boolean;
  readonly quick?: boolean;
  readonly list?: boolean;
  readonly help?: boolean;
  readonly part?: string;
  readonly seconds?: string;
}

type CommandLine =
  | {
      readonly ok: true;
      readonly name: string | undefined;
      readonly values: Values;
    }
  | { readonly ok: false; readonly message: string };

function parseCommandLine(args: readonly string[]): CommandLine {
  const flag = { type: "boolean" } as const;
  const text = { type: "string" } as const;
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: flag,
        check: flag,
        quick: flag,
        list: flag,
        help: { ...flag, short: "h" },
        part: text,
        seconds: text,
      },
    });
    if (positionals.length > 1) return { ok: false, message: "one benchmark at a time" };
    if (values.seconds !== undefined && !/^[1-9]\d{0,5}$/u.test(values.seconds)) {
      return { ok: false, message: `${JSON.stringify(values.seconds)} is no number of seconds, 1 to 999999` };
    }
    return { ok: true, name: positionals[0], values };
  } catch (error) {
    // parseArgs throws for an option that it does not know.
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}

async function loadBenchmarks(): Promise<ReadonlyMap<string, Benchmark>> {
  const found = new Map<string, Benchmark>();
  const files = await Array.fromAsync(new Bun.Glob("*.ts").scan(import.meta.dir));
  for (const file of files.toSorted()) {
    if (file === "main.ts" || file.endsWith(".test.ts")) continue;
    const module: unknown = await import(join(import.meta.dir, file));
    if (isBenchmark(module)) found.set(file.slice(0, -".ts".length), module);
  }
  return found;
}

function isBenchmark(module: unknown): module is Benchmark {
  return (
    typeof module === "object" &&
    module !== null &&
    "question" in module &&
    typeof module.question === "string" &&
    "run" in module &&
    typeof module.run === "function"
  );
}
