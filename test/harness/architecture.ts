// The rules of the tree, as a pure function over sources: who may import whom, where files lie and what they are called.
import { posix } from "node:path";

/** One TypeScript file, its path from the repository's root. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** One broken rule. */
export interface Violation {
  readonly rule: Rule;
  readonly path: string;
  readonly message: string;
}

export type Rule =
  | "boundary"
  | "layer"
  | "purity"
  | "package"
  | "ambient"
  | "path"
  | "default_export"
  | "size"
  | "unreadable";

/** A file above this many lines has more than one job. */
const LINES_MAX = 800;

/** Folder names that say nothing about what is inside. */
const EMPTY_NAMES = new Set(["utils", "util", "helpers", "common", "types", "lib", "core", "misc", "shared"]);

/** Which folders may import a third-party package; tests may import every one. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@bytecodealliance/jco": ["sdk/build", "sdk/engine"],
  "@bytecodealliance/preview2-shim": ["sdk/build", "runtime/wasm"],
  "@msgpack/msgpack": ["runtime/adapters"],
  commander: ["control", "runtime/bootstrap.ts", "sdk/build"],
  "componentize-qjs": ["test/bench"],
  esbuild: ["sdk/build"],
  hono: ["control"],
  pino: [
    "control",
    "runtime/run.ts",
    "runtime/proxy.ts",
    "runtime/data-path.ts",
    "runtime/source.ts",
    "runtime/supervise.ts",
    "runtime/worker.ts",
  ],
  re2js: ["runtime/host"],
  vespid: ["filters", "sdk", "test"],
  // What the host of a guest offers: a WIT package, not one of npm.
  "vespid:filter": ["sdk/guest"],
  "vespid:engine": ["sdk/guest"],
  yaml: ["control", "runtime/bootstrap.ts", "test"],
  zod: [
    "control",
    "filters",
    "runtime/bootstrap.ts",
    "runtime/contract",
    "runtime/supervisor",
    "runtime/sync",
    "runtime/worker.ts",
    "sdk",
    "test",
  ],
};

/** The parts of the proxy, lowest first; a part imports its own level and those below it. */
const LEVELS: readonly (readonly string[])[] = [
  ["contract", "exchange"],
  ["route", "balance", "host", "expression"],
  ["codec", "listener", "chain", "cluster", "reply", "grpc", "telemetry"],
  ["wasm", "upstream", "adapters"],
  ["sync", "admin", "supervisor"],
];
const MAP_LEVEL = LEVELS.length;
const MAIN_LEVEL = MAP_LEVEL + 1;

/** No I/O, no clock, no module state: these import no built-in module but those that compute. */
const PURE_PARTS = [
  "runtime/contract",
  "runtime/exchange",
  "runtime/route",
  "runtime/balance",
  "runtime/expression",
  "control/compile",
  "control/snapshot",
];
const COMPUTING = new Set(["node:buffer", "node:crypto", "node:path", "node:net"]);

/** What the process edge of control takes from the rest of the tree. */
const CONFIG_CHECKS = new Set(["runtime/builtin-filters.ts", "runtime/host/native-host.ts", "sdk/host.ts"]);

/** The only files of the proxy that read the world's clock, dice and environment; they pass them down. */
const AMBIENT_READERS = new Set(["runtime/main.ts", "runtime/run.ts", "runtime/bootstrap.ts", "runtime/proxy.ts"]);
const AMBIENT = /\b(?:process\.env|Bun\.env|Date\.now|Math\.random|new Date\(\))/u;

/** Every rule that these files break. */
export function checkArchitecture(files: readonly SourceFile[]): readonly Violation[] {
  return files.flatMap((file) => [...checkPath(file.path), ...checkText(file)]);
}

function checkPath(path: string): readonly Violation[] {
  if (path.startsWith("test/fixtures/")) return [];
  const violations: Violation[] = [];
  const complain = (message: string) => violations.push({ rule: "path", path, message });
  const folders = path.split("/").slice(0, -1);
  const name = posix.basename(path);
  if (folders.length > 2) complain(`is ${folders.length} folders deep, folder/part/file.ts is the deepest`);
  if (!/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test|\.property)?(?:\.d)?\.ts$/u.test(name)) complain("is not kebab-case");
  for (const folder of folders) {
    if (EMPTY_NAMES.has(folder)) complain(`"${folder}" says nothing about what is inside`);
    if (!/^\.?[a-z0-9]+(?:-[a-z0-9]+)*$/u.test(folder)) complain(`folder "${folder}" is not kebab-case`);
  }
  return violations;
}

function checkText(file: SourceFile): readonly Violation[] {
  const { path, text } = file;
  const violations: Violation[] = [];
  const lines = text.split("\n").length;
  if (lines > LINES_MAX) violations.push({ rule: "size", path, message: `has ${lines} lines, limit is ${LINES_MAX}` });
  let code: Scanned;
  try {
    code = scan(text);
  } catch (error) {
    return [...violations, { rule: "unreadable", path, message: `does not parse: ${String(error)}` }];
  }
  if (code.exports.includes("default") && !isFilterSource(path)) {
    violations.push({ rule: "default_export", path, message: "exports a default; only a filter's own file does" });
  }
  const isTest = path.startsWith("test/") || path.endsWith(".test.ts") || path.endsWith(".property.ts");
  const ambient = AMBIENT.exec(code.plain)?.[0];
  if (ambient !== undefined && path.startsWith("runtime/") && !isTest && !AMBIENT_READERS.has(path)) {
    violations.push({ rule: "ambient", path, message: `reads ${ambient}; take a Clock or Random from proxy.ts` });
  }
  for (const specifier of code.imports) violations.push(...checkImport(path, specifier, isTest));
  return violations;
}

/** A built-in filter's file, and what `filter new` and the tests write out, end in `export default defineFilter(…)`. */
function isFilterSource(path: string): boolean {
  return (
    /^filters\/[^/]+\/filter\.ts$/u.test(path) || path.startsWith("test/fixtures/") || path.startsWith("sdk/templates/")
  );
}

function checkImport(from: string, specifier: string, isTest: boolean): readonly Violation[] {
  if (specifier.startsWith(".")) {
    const target = posix.normalize(posix.join(posix.dirname(from), specifier));
    return [...checkBoundary(from, target, isTest), ...checkLevel(from, target, isTest)];
  }
  if (isBuiltIn(specifier)) {
    const isPure = PURE_PARTS.some((part) => from.startsWith(`${part}/`)) && !isTest;
    if (!isPure || COMPUTING.has(specifier)) return [];
    return [{ rule: "purity", path: from, message: `is in a pure part and imports "${specifier}"` }];
  }
  if (isTest) return [];
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  const allowed = PACKAGES[name] ?? [];
  if (allowed.some((folder) => from === folder || from.startsWith(`${folder}/`))) return [];
  const message = `imports "${name}"; PACKAGES in test/harness/architecture.ts allows it in: ${allowed.join(", ") || "nowhere"}`;
  return [{ rule: "package", path: from, message }];
}

function isBuiltIn(specifier: string): boolean {
  return specifier === "bun" || specifier.startsWith("bun:") || specifier.startsWith("node:");
}

/** Whether `from` may import `target` across the top folders. Returns the reason why not. */
function checkBoundary(from: string, target: string, isTest: boolean): readonly Violation[] {
  const why = boundaryReason(from, target, isTest);
  return why === undefined ? [] : [{ rule: "boundary", path: from, message: `imports ${target}: ${why}` }];
}

function boundaryReason(from: string, target: string, isTest: boolean): string | undefined {
  const inside = (folder: string) => target.startsWith(`${folder}/`);
  if (from.startsWith("test/")) return undefined;
  if (inside("test")) return isTest ? undefined : "only tests import test/";
  if (from.startsWith("sdk/wit/")) return inside("sdk/wit") ? undefined : "sdk/wit imports nothing of ours";
  if (from.startsWith("runtime/contract/") && !isTest) {
    return inside("runtime/contract") ? undefined : "runtime/contract imports nothing of ours";
  }
  if (inside("filters") && !from.startsWith("filters/") && from !== "runtime/builtin-filters.ts" && !isTest) {
    return "only runtime/builtin-filters.ts imports filters/";
  }
  const [top = ""] = from.split("/");
  switch (top) {
    case "runtime":
      if (inside("control")) return "runtime never imports control";
      if (inside("sdk/guest")) return "runtime never imports the guest side of the SDK";
      return undefined;
    case "control": {
      // The process edge checks the built-in filters' configurations as the proxy does, host functions included.
      if (from === "control/main.ts" && CONFIG_CHECKS.has(target)) return undefined;
      const fine =
        inside("control") || inside("runtime/contract") || inside("sdk/build") || inside("sdk/wit") || isTest;
      return fine ? undefined : "control imports only runtime/contract and sdk/build";
    }
    case "filters": {
      const own = from.split("/").slice(0, 2).join("/");
      return inside("sdk") || inside(own) ? undefined : "filters import only the SDK and their own folder";
    }
    case "sdk":
      if (inside("control")) return "sdk never imports control";
      if (inside("runtime") && !inside("runtime/contract") && !/^sdk\/(?:testing|dev)\//u.test(from) && !isTest) {
        return "sdk imports only runtime/contract from the proxy (sdk/testing and sdk/dev run filters, and may import more)";
      }
      return undefined;
    default:
      return undefined;
  }
}

/** Inside the proxy nothing imports upward, and stages emit through exchange/observer.ts. */
function checkLevel(from: string, target: string, isTest: boolean): readonly Violation[] {
  if (isTest || !from.startsWith("runtime/") || !target.startsWith("runtime/")) return [];
  const [, part = ""] = from.split("/");
  const [, targetPart = ""] = target.split("/");
  if (targetPart === "telemetry" && part !== "telemetry" && from !== "runtime/data-path.ts") {
    return [{ rule: "layer", path: from, message: `imports ${target}: only data-path.ts imports telemetry` }];
  }
  const own = levelOf(part);
  const other = levelOf(targetPart);
  if (own === undefined) return [{ rule: "layer", path: from, message: `"${part}" has no level in LEVELS` }];
  if (other === undefined || other <= own) return [];
  return [{ rule: "layer", path: from, message: `imports ${target}, which is above it` }];
}

function levelOf(part: string): number | undefined {
  if (part === "main.ts" || part === "run.ts") return MAIN_LEVEL;
  if (part.endsWith(".ts")) return MAP_LEVEL;
  const level = LEVELS.findIndex((parts) => parts.includes(part));
  return level < 0 ? undefined : level;
}

interface Scanned {
  readonly imports: readonly string[];
  readonly exports: readonly string[];
  /** The code without comments and types. */
  readonly plain: string;
}

const transpiler = new Bun.Transpiler({
  loader: "ts",
  tsconfig: JSON.stringify({ compilerOptions: { verbatimModuleSyntax: true } }),
});

/** Reads a file's imports with Bun's own parser. Type imports count: they bind a file to another as much as values do. */
function scan(text: string): Scanned {
  const asValues = text
    .replaceAll(/^(import|export)\s+type\s+(?=[\w$*{])(?![\w$]+\s*[=<])/gmu, "$1 ")
    .replaceAll(/^(?:import|export)\b[^"';{}]*\{[^}]*\}\s*from/gmu, (head) =>
      head.replaceAll(/\btype\s+(?=[\w$])/gu, ""),
    );
  const { imports, exports } = transpiler.scan(asValues);
  return { imports: imports.map(({ path }) => path), exports, plain: transpiler.transformSync(text) };
}
