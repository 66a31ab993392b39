// `filter` and its subcommands as commander commands, so that `vespid` can mount them.
import { Command, Option } from "commander";
import { adapterPhasesOf } from "../../runtime/contract/adapter.ts";
import type { Parsed, Problem } from "../../runtime/contract/problem.ts";
import { buildFilterFile, type BuildStep, type BuiltFilter } from "./build.ts";
import { checkTypes } from "./check-types.ts";
import { findFilterFile, writeNewFilter } from "./project.ts";
import { addDev } from "./dev-command.ts";
import { addExplain } from "./explain-command.ts";
import type { Cost } from "../dev/cost.ts";
import { pushArtifact, type Pushed } from "./push.ts";
import { TEMPLATES, type TemplateName } from "./template.ts";
import { addTest } from "./test-command.ts";
import { addReplay } from "./replay-command.ts";
import { COMMAND, EXIT, fail, print, tell, type JsonOption } from "./terminal.ts";
import { addWrap } from "./wrap-command.ts";

const ARTIFACT_SUFFIX = ".vespid.wasm";

const STEPS: Readonly<Record<BuildStep, string>> = {
  bundle: "bundling",
  manifest: "reading its manifest",
  component: "making the component",
};

interface BuildOptions extends JsonOption {
  /** False by `--no-check`. */
  readonly check: boolean;
}

/** The `filter` command with its subcommands; `vespid` adds it to its own. */
export function filterCommand(): Command {
  // Before the subcommands, which take it over: whoever mounts the command decides how it ends.
  const command = new Command("filter").description("Write, try, test, build and push filters").exitOverride();
  command
    .command("new")
    .argument("[name]", "lower-case letters, digits and dashes")
    .addOption(
      new Option("--template <template>", "what it begins as").choices(Object.keys(TEMPLATES)).default("greet"),
    )
    .option("--list", "show the templates")
    .option("--json", "print the files that were written, or the templates, as JSON")
    .description("write a filter, its test and how to go on into a folder of that name")
    .action(runNew);
  command
    .command("build")
    .argument("<path>", "a filter's file, or a folder that holds filter.ts")
    .option("-o, --output <file>", `where the artifact goes (default: NAME${ARTIFACT_SUFFIX} here)`)
    .option("--no-check", "do not check types")
    .option("--config <file>", "a configuration to measure its cost with, YAML or JSON")
    .option("--json", "print the result as JSON")
    .description("check a filter's types, say what it costs, and build it into the artifact that is pushed")
    .action(runBuild);
  addWrap(command);
  command
    .command("push")
    .argument("<path>", `a filter's file, a folder that holds filter.ts, or an artifact (*${ARTIFACT_SUFFIX})`)
    .addOption(
      new Option("--control <url>", "where control is").env("VESPID_CONTROL").default("http://127.0.0.1:15010"),
    )
    .addOption(new Option("--token <token>", "control's token").env("VESPID_TOKEN"))
    .option("--no-check", "do not check types")
    .option("--json", "print the result as JSON")
    .description("build a filter and give it to the control service")
    .action(runPush);
  addDev(command);
  addTest(command);
  addExplain(command);
  addReplay(command);
  return command;
}

interface NewOptions extends JsonOption {
  readonly template: TemplateName;
  readonly list?: boolean;
}

async function runNew(name: string | undefined, options: NewOptions): Promise<void> {
  if (options.list === true) return listTemplates(options);
  if (name === undefined)
    return fail([{ path: "name", message: 'is missing; write "filter new NAME", or --list' }], options, EXIT.usage);
  const written = await writeNewFilter(name, options.template, process.cwd());
  if (!written.ok) return fail(written.problems, options);
  if (options.json === true) return print({ files: written.value });
  for (const file of written.value) tell(`wrote ${file}`);
  tell(`next: ${COMMAND} test ${name}, ${COMMAND} dev ${name}`);
  return undefined;
}

function listTemplates(options: JsonOption): void {
  const templates = Object.entries(TEMPLATES).map(([template, description]) => ({ template, description }));
  if (options.json === true) return print({ templates });
  for (const { template, description } of templates) tell(`${template.padEnd(12)}${description}`);
  return undefined;
}

async function runBuild(
  path: string,
  options: BuildOptions & { readonly output?: string; readonly config?: string },
): Promise<void> {
  const built = await build(path, options);
  if (!built.ok) return fail(built.problems, options);
  const { manifest, artifact, digest, sizes } = built.value;
  const output = options.output ?? `${manifest.name}${ARTIFACT_SUFFIX}`;
  await Bun.write(output, artifact);
  // Loaded here: it needs a proxy's parts.
  const [{ measureCost }, { readConfig }] = await Promise.all([import("../dev/cost.ts"), import("../dev/settings.ts")]);
  const config = await readConfig(options.config, []);
  if (!config.ok) return fail(config.problems, options);
  tell("measuring its cost …");
  const cost = await measureCost(built.value, config.value);
  const isRefused = !cost.ok && cost.problems.some(({ path: at }) => !at.startsWith("config"));
  if (isRefused) return fail(cost.problems, options);
  if (options.json === true) return print({ output, digest, manifest, sizes, cost: cost.ok ? cost.value : undefined });
  tell(`built ${manifest.name}: ${output}, ${kilobytes(sizes.artifactBytes)}, script ${kilobytes(sizes.scriptBytes)}`);
  tell(`  stage ${manifest.stage}, reads ${names(manifest.reads)}, writes ${names(manifest.writes)}`);
  tell(`  ${digest}`);
  for (const line of renderCost(cost)) tell(`  ${line}`);
  return undefined;
}

function renderCost(cost: Parsed<Cost>): readonly string[] {
  if (!cost.ok) return ["its cost was not measured: it needs a configuration, give it by --config FILE"];
  const { bundleBytes, memoryBytes, request, asked } = cost.value;
  const measured = request ?? asked;
  const call =
    measured === undefined
      ? "its handler waits, or there is none"
      : `a ${asked?.phase ?? "request"} ${measured.fuel.toLocaleString("en")} fuel, ${measured.us.toFixed(1)} µs here`;
  return [
    `proxies fetch ${kilobytes(bundleBytes)}, most of it once for all filters; an instance holds ${kilobytes(memoryBytes)}; ${call}`,
  ];
}

async function runPush(
  path: string,
  options: BuildOptions & { readonly control: string; readonly token?: string },
): Promise<void> {
  if (!URL.canParse(options.control)) {
    const message = `${JSON.stringify(options.control)} is not a URL such as http://127.0.0.1:15010`;
    return fail([{ path: "--control", message }], options, EXIT.usage);
  }
  if (options.token === undefined || options.token === "") {
    const message = "is missing, and VESPID_TOKEN is not set; control printed it when it first ran";
    return fail([{ path: "--token", message }], options, EXIT.unauthorized);
  }
  const artifact = await readArtifact(path, options);
  if (!artifact.ok) return fail(artifact.problems, options);
  const startedMs = performance.now();
  tell(`pushing ${kilobytes(artifact.value.length)} to ${options.control}`);
  const pushed = await pushArtifact(artifact.value, { control: options.control, token: options.token });
  if (!pushed.ok) return fail(pushed.problems, options, exitCodeOf(pushed.problems));
  if (options.json === true) return print(pushed.value);
  tellPushed(pushed.value, performance.now() - startedMs);
}

/** The artifact at `path`, or the one that a filter's file or folder is built into. */
export async function readArtifact(
  path: string,
  options: BuildOptions,
): Promise<{ ok: true; value: Uint8Array } | { ok: false; problems: readonly Problem[] }> {
  if (path.endsWith(".wasm")) {
    const file = Bun.file(path);
    if (await file.exists()) return { ok: true, value: await file.bytes() };
    return { ok: false, problems: [{ path, message: "is not there" }] };
  }
  const built = await build(path, options);
  return built.ok ? { ok: true, value: built.value.artifact } : built;
}

async function build(
  path: string,
  { check }: BuildOptions,
): Promise<{ ok: true; value: BuiltFilter } | { ok: false; problems: readonly Problem[] }> {
  const file = await findFilterFile(path);
  if (!file.ok) return file;
  const startedMs = performance.now();
  if (check) {
    tell("checking types …");
    const problems = await checkTypes(file.value);
    if (problems.length > 0) return { ok: false, problems };
  }
  const built = await buildFilterFile(file.value, (step) => tell(`${STEPS[step]} …`));
  if (built.ok) tell(`built in ${Math.round(performance.now() - startedMs)} ms`);
  return built;
}

function tellPushed({ digest, manifest }: Pushed, tookMs: number): void {
  tell(`control took ${manifest.name} in ${Math.round(tookMs)} ms`);
  tell(`  ${digest}`);
  const isAdapter = adapterPhasesOf(manifest).length > 0;
  tell(isAdapter ? "use it in an Adapter, which a Rule names:" : "use it in a Filter resource:");
  tell(
    `  apiVersion: vespid.dev/v1\n  kind: ${isAdapter ? "Adapter" : "Filter"}\n  metadata: { name: ${manifest.name} }`,
  );
  tell(`  spec:\n    ${isAdapter ? `backend: ${renderBackend(digest, manifest)}` : `bundle: ${digest}`}`);
}

/** With a host for each service that it calls, for the operator to name. */
function renderBackend(digest: string, { upstreams }: Pushed["manifest"]): string {
  const hosts = upstreams.filter((name) => name !== "*").map((name) => `${name}: { host: ${name} }`);
  const called = hosts.length === 0 ? "" : `, upstreams: { ${hosts.join(", ")} }`;
  return `{ kind: filter, bundle: "${digest}"${called} }`;
}

/** Problems of a push that did not reach control's judgement are told at its flags. */
function exitCodeOf(problems: readonly Problem[]): number {
  if (problems.some(({ path }) => path === "--token")) return EXIT.unauthorized;
  return problems.some(({ path }) => path === "--control") ? EXIT.unreachable : EXIT.failed;
}

function names(list: readonly string[]): string {
  return list.length === 0 ? "nothing" : list.join(", ");
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1000)} kB`;
}
