// `filter new`, `filter build` and `filter push` as commander commands, so that `vespid` can mount them. What programs
// read goes to standard output, what people watch goes to standard error.
import { Command } from "commander";
import { renderProblem, type Problem } from "../../runtime/contract/problem.ts";
import { buildFilterFile, type BuildStep, type BuiltFilter } from "./build.ts";
import { findFilterFile, writeNewFilter } from "./project.ts";
import { pushArtifact, type Pushed } from "./push.ts";

/** Ended with problems that were told already; the exit code is 1. */
const FAILED = 1;
const ARTIFACT_SUFFIX = ".vespid.wasm";

const STEPS: Readonly<Record<BuildStep, string>> = {
  bundle: "bundling",
  manifest: "reading its manifest",
  component: "making the component",
};

interface JsonOption {
  readonly json?: boolean;
}

/** The `filter` command with its subcommands; `vespid` adds it to its own. */
export function filterCommand(): Command {
  const command = new Command("filter").description("Write, build and push filters");
  command
    .command("new")
    .argument("<name>", "lower-case letters, digits and dashes")
    .option("--json", "print the files that were written as JSON")
    .description("write a small filter into a folder of that name")
    .action(runNew);
  command
    .command("build")
    .argument("<path>", "a filter's file, or a folder that holds filter.ts")
    .option("-o, --output <file>", `where the artifact goes (default: NAME${ARTIFACT_SUFFIX} here)`)
    .option("--json", "print the result as JSON")
    .description("build a filter into the artifact that is pushed")
    .action(runBuild);
  command
    .command("push")
    .argument("<path>", `a filter's file, a folder that holds filter.ts, or an artifact (*${ARTIFACT_SUFFIX})`)
    .option("--control <url>", "control service", process.env["VESPID_CONTROL"] ?? "http://127.0.0.1:15010")
    .option("--token <token>", "control's token (default: VESPID_TOKEN)", process.env["VESPID_TOKEN"])
    .option("--json", "print the result as JSON")
    .description("build a filter and give it to the control service")
    .action(runPush);
  return command;
}

async function runNew(name: string, options: JsonOption): Promise<void> {
  const written = await writeNewFilter(name, process.cwd());
  if (!written.ok) return fail(written.problems, options);
  if (options.json === true) return print({ files: written.value });
  for (const file of written.value) tell(`wrote ${file}`);
  tell(`next: bun run filter push ${name} --token TOKEN`);
}

async function runBuild(path: string, options: JsonOption & { readonly output?: string }): Promise<void> {
  const built = await build(path);
  if (!built.ok) return fail(built.problems, options);
  const { manifest, artifact, digest, sizes } = built.value;
  const output = options.output ?? `${manifest.name}${ARTIFACT_SUFFIX}`;
  await Bun.write(output, artifact);
  if (options.json === true) return print({ output, digest, manifest, sizes });
  tell(`built ${manifest.name}: ${output}, ${kilobytes(sizes.artifactBytes)}, script ${kilobytes(sizes.scriptBytes)}`);
  tell(`  stage ${manifest.stage}, reads ${names(manifest.reads)}, writes ${names(manifest.writes)}`);
  tell(`  ${digest}`);
}

async function runPush(
  path: string,
  options: JsonOption & { readonly control: string; readonly token?: string },
): Promise<void> {
  if (options.token === undefined) {
    return fail([{ path: "--token", message: "is missing; control printed it when it first ran" }], options);
  }
  const artifact = await readOrBuild(path);
  if (!artifact.ok) return fail(artifact.problems, options);
  const startedMs = performance.now();
  tell(`pushing ${kilobytes(artifact.value.length)} to ${options.control}`);
  const pushed = await pushArtifact(artifact.value, { control: options.control, token: options.token });
  if (!pushed.ok) return fail(pushed.problems, options);
  if (options.json === true) return print(pushed.value);
  tellPushed(pushed.value, performance.now() - startedMs);
}

async function readOrBuild(
  path: string,
): Promise<{ ok: true; value: Uint8Array } | { ok: false; problems: readonly Problem[] }> {
  if (path.endsWith(".wasm")) {
    const file = Bun.file(path);
    if (await file.exists()) return { ok: true, value: await file.bytes() };
    return { ok: false, problems: [{ path, message: "is not there" }] };
  }
  const built = await build(path);
  return built.ok ? { ok: true, value: built.value.artifact } : built;
}

async function build(
  path: string,
): Promise<{ ok: true; value: BuiltFilter } | { ok: false; problems: readonly Problem[] }> {
  const file = await findFilterFile(path);
  if (!file.ok) return file;
  const startedMs = performance.now();
  const built = await buildFilterFile(file.value, (step) => tell(`${STEPS[step]} …`));
  if (built.ok) tell(`built in ${Math.round(performance.now() - startedMs)} ms`);
  return built;
}

function tellPushed({ digest, manifest }: Pushed, tookMs: number): void {
  tell(`control took ${manifest.name} in ${Math.round(tookMs)} ms`);
  tell(`  ${digest}`);
  tell("use it in a Filter resource:");
  tell(
    `  apiVersion: vespid.dev/v1\n  kind: Filter\n  metadata: { name: ${manifest.name} }\n  spec:\n    bundle: ${digest}`,
  );
}

function fail(problems: readonly Problem[], options: JsonOption): void {
  if (options.json === true) print({ problems });
  else for (const problem of problems) tell(`error: ${renderProblem(problem)}`);
  process.exitCode = FAILED;
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function names(list: readonly string[]): string {
  return list.length === 0 ? "nothing" : list.join(", ");
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1000)} kB`;
}
