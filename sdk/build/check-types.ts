// Types of an author's file. The bundler only strips them, so the compiler looks at it first (some 0.2 s): what a filter
// declares and what it does cannot drift apart.
import { mkdtemp, rm } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import type { Problem } from "../../runtime/contract/problem.ts";
import { SANDBOX_LIBRARIES, SANDBOX_TYPES } from "./sandbox-globals.ts";

const ROOT = join(import.meta.dir, "../..");

/** Every type error in the file and what it imports, by file, line and column; none for a file that compiles. */
export async function checkTypes(path: string): Promise<readonly Problem[]> {
  const compiler = findCompiler();
  if (compiler === undefined) return [{ path, message: "types cannot be checked: the package typescript is missing" }];
  const folder = await mkdtemp(join(tmpdir(), "vespid-types-"));
  try {
    const globals = join(folder, "globals.d.ts");
    const project = join(folder, "tsconfig.json");
    await Promise.all([Bun.write(globals, SANDBOX_TYPES), Bun.write(project, renderProject([resolve(path), globals]))]);
    const child = Bun.spawn([process.execPath, compiler, "-p", project, "--pretty", "false"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code === 0) return [];
    const problems = parseDiagnostics(output, process.cwd());
    return problems.length > 0 ? problems : [{ path, message: `types cannot be checked: ${errors.trim() || output}` }];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** `hello/filter.ts(3,8): error TS2345: …`, the lines below it indented. */
function parseDiagnostics(output: string, from: string): readonly Problem[] {
  const problems: { path: string; message: string }[] = [];
  for (const line of output.split("\n")) {
    const [, file, row, column, message] = /^(.+)\((\d+),(\d+)\): error TS\d+: (.+)$/u.exec(line) ?? [];
    const last = problems.at(-1);
    if (file !== undefined && message !== undefined) {
      problems.push({ path: `${renderFile(resolve(from, file), from)}:${row}:${column}`, message: explain(message) });
    } else if (last !== undefined && /^\s+\S/u.test(line)) last.message += `\n  ${line.trimEnd()}`;
  }
  return problems;
}

/** As short as it can be said from there. */
function renderFile(file: string, from: string): string {
  const inside = relative(from, file);
  return inside.startsWith("..") ? file : inside;
}

/** The compiler's advice for a name that only the sandbox lacks (install types, add a library) leads nowhere. */
function explain(message: string): string {
  const name = /^Cannot find (?:name|module) '([^']+)'/u.exec(message)?.[1];
  if (name === undefined || !(name in globalThis || isBuiltin(name))) return message;
  if (name === "fetch")
    return "fetch is not in the sandbox: a handler's context has it, for upstreams that the filter declares";
  return `${name} is not in the sandbox; it has ECMAScript 2024 and of the web what sdk/README.md lists`;
}

function renderProject(files: readonly string[]): string {
  return JSON.stringify({
    compilerOptions: {
      target: "ES2023",
      lib: SANDBOX_LIBRARIES,
      types: [],
      module: "Preserve",
      moduleResolution: "Bundler",
      moduleDetection: "force",
      noEmit: true,
      allowJs: true,
      allowImportingTsExtensions: true,
      resolveJsonModule: true,
      strict: true,
      skipLibCheck: true,
      paths: { vespid: [join(ROOT, "sdk/index.ts")], zod: [join(ROOT, "node_modules/zod")] },
    },
    files,
  });
}

function findCompiler(): string | undefined {
  try {
    return join(Bun.resolveSync("typescript/package.json", import.meta.dir), "../bin/tsc");
  } catch {
    // Not installed.
    return undefined;
  }
}
