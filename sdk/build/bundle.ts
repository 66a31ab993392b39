// An author's file and everything that it imports, as one script that a bare JavaScript engine runs.
import { build, context, stop, type BuildFailure, type BuildOptions, type BuildResult, type Plugin } from "esbuild";
import { dirname, join, relative, resolve } from "node:path";
import type { Parsed, Problem } from "../../runtime/contract/problem.ts";
import { HOST_INTERFACE } from "../wit/world.ts";
import { INJECTED, INJECTED_NAMES } from "./sandbox-globals.ts";
import { cutSourceMap } from "./source-map.ts";

const SDK = join(import.meta.dir, "..");
const RUNTIME = join(SDK, "../runtime");
/** What the engine offers to the guest's side of the SDK besides the WIT's imports. */
const ENGINE_MODULE = "vespid:engine";

/** One script, and where in the author's files its parts are. */
export interface Bundle {
  readonly script: string;
  /** `source-map.ts` reads it. */
  readonly sourceMap: string;
}

/** Bundles `path` with the guest side of the SDK around it; the result exports the world's `handler`. */
export async function bundleGuest(path: string): Promise<Parsed<Bundle>> {
  // Imports run in order: the globals are there before the author's code is loaded.
  const entry = `
    import "vespid:guest/globals";
    import filter from ${JSON.stringify(resolve(path))};
    import { createHandler } from ${JSON.stringify(join(SDK, "guest/handler.ts"))};
    export const handler = createHandler(filter);`;
  return bundle(entry, path, {
    external: [HOST_INTERFACE, ENGINE_MODULE],
    plugins: [guestGlobals, smallZod],
    // Names of the web that are used come in, as themselves or as the global object's.
    inject: [INJECTED],
    define: Object.fromEntries(INJECTED_NAMES.map((name) => [`globalThis.${name}`, name])),
  });
}

/** Bundles `path` for this process, which loads it to read its manifest. */
export async function bundleNative(path: string): Promise<Parsed<Bundle>> {
  const entry = `export { default } from ${JSON.stringify(resolve(path))};`;
  return bundle(entry, path, {});
}

async function bundle(
  entry: string,
  path: string,
  options: Pick<BuildOptions, "external" | "plugins" | "inject" | "define">,
): Promise<Parsed<Bundle>> {
  running++;
  try {
    const result = await build({ ...bundlingOf(entry, path), ...options });
    return { ok: true, value: bundleOf(result, path) };
  } catch (error) {
    return { ok: false, problems: bundleProblems(error) };
  } finally {
    // esbuild works in a process of its own; the last one out ends it.
    if (--running === 0) await stop();
  }
}

/** A bundler of one file that stays, so that a change costs milliseconds. */
export interface StayingBundler {
  bundle(): Promise<Parsed<StayingBundle>>;
  stop(): Promise<void>;
}

export interface StayingBundle extends Bundle {
  /** Files that it is made of, the author's and others. */
  readonly inputs: readonly string[];
}

/** Bundles `path` for this process, again and again; the SDK and zod are those that are loaded already. */
export async function openBundler(path: string): Promise<StayingBundler> {
  running++;
  const options = bundlingOf(`export { default } from ${JSON.stringify(resolve(path))};`, path);
  const { alias: _, ...native } = options;
  const staying = await context({ ...native, metafile: true, plugins: [loadedPackages(dirname(resolve(path)))] });
  return {
    async bundle() {
      try {
        const result = await staying.rebuild();
        const inputs = Object.keys(result.metafile.inputs).map((input) => resolve(input));
        return { ok: true, value: { ...bundleOf(result, path), inputs } };
      } catch (error) {
        return { ok: false, problems: bundleProblems(error) };
      }
    },
    async stop() {
      await staying.dispose();
      if (--running === 0) await stop();
    },
  };
}

/** The SDK and zod from where this process has them. */
function loadedPackages(folder: string): Plugin {
  return {
    name: "loaded-packages",
    setup: (esbuild) => {
      esbuild.onResolve({ filter: /^vespid$/ }, () => ({ path: join(SDK, "index.ts"), external: true }));
      esbuild.onResolve({ filter: /^zod$/ }, () => ({ path: findZod(folder), external: true }));
    },
  };
}

/** The author's own where there is one. */
function findZod(folder: string): string {
  try {
    return Bun.resolveSync("zod", folder);
  } catch {
    // Not installed there.
    return Bun.resolveSync("zod", SDK);
  }
}

function bundleOf({ outputFiles = [] }: Pick<BuildResult, "outputFiles">, path: string): Bundle {
  const [script = "", map = ""] = [".js", ".js.map"].map(
    (suffix) => outputFiles.find((file) => file.path.endsWith(suffix))?.text ?? "",
  );
  return { script, sourceMap: cutToAuthors(map, dirname(resolve(path))) };
}

/** What the bundler found; anything else that it threw is thrown on. */
function bundleProblems(error: unknown): readonly Problem[] {
  if (!isBuildFailure(error)) throw error;
  return error.errors.map((fault) => toProblem(fault));
}

function bundlingOf(entry: string, path: string) {
  return {
    stdin: { contents: entry, resolveDir: dirname(resolve(path)), sourcefile: "entry.js" },
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2023",
    minify: true,
    legalComments: "none",
    outfile: OUTFILE,
    sourcemap: "external",
    sourcesContent: false,
    logLevel: "silent",
    alias: { vespid: join(SDK, "index.ts") },
    nodePaths: [join(SDK, "../node_modules")],
  } satisfies BuildOptions;
}

/** Bundles that are being made, and bundlers that stay. */
let running = 0;

/** Never written; sources are named relative to its folder. */
const OUTFILE = resolve("/bundle/filter.js");

/** Only files of the author's own, named from the filter's folder on: the artifact is the same wherever it is built. */
function cutToAuthors(map: string, folder: string): string {
  const cut = cutSourceMap(map, (source) => {
    const path = resolve(dirname(OUTFILE), source);
    const isOurs = [SDK, RUNTIME].some((own) => path.startsWith(`${own}/`));
    const isOthers = isOurs || source.includes(":") || path.includes("/node_modules/");
    return isOthers || path === join(folder, "entry.js") ? undefined : relative(folder, path);
  });
  return cut ?? "";
}

/** A module that runs `installGlobals` when it is imported. */
const guestGlobals: Plugin = {
  name: "guest-globals",
  setup: (esbuild) => {
    esbuild.onResolve({ filter: /^vespid:guest\/globals$/ }, ({ path }) => ({ path, namespace: "vespid" }));
    esbuild.onLoad({ filter: /.*/, namespace: "vespid" }, () => ({
      contents: `import { installGlobals } from ${JSON.stringify(join(SDK, "guest/globals.ts"))}; installGlobals();`,
      resolveDir: SDK,
    }));
  },
};

/**
 * Cuts zod down to what handlers call. Each instance holds what the bundle defines: whole, zod takes 3 MB of it and
 * slows every collection down; so translations and JSON Schema stay out, and `z` is imported as the namespace that
 * esbuild can see through (a re-exported one is kept whole).
 */
const smallZod: Plugin = {
  name: "small-zod",
  setup: (esbuild) => {
    const stubs: readonly (readonly [RegExp, string])[] = [
      [/zod\/v4\/locales\/index\.js$/, `export { default as en } from "./en.js";`],
      [/zod\/v4\/core\/json-schema-processors\.js$/, "module.exports = {};"],
      [
        /zod\/v4\/core\/to-json-schema\.js$/,
        "const none = () => undefined; module.exports = { createToJSONSchemaMethod: none, createStandardJSONSchemaMethod: none };",
      ],
    ];
    for (const [filter, contents] of stubs) {
      esbuild.onLoad({ filter }, ({ path }) => ({ contents, resolveDir: dirname(path) }));
    }
    esbuild.onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
      contents: seeThrough(await Bun.file(path).text()),
      loader: "ts",
    }));
  },
};

/** `import { defineFilter, z } from "vespid"` as `import { defineFilter } from "vespid"` and `import * as z from "zod"`. */
function seeThrough(source: string): string {
  return source.replaceAll(
    /^import\s*\{([^}]*)\}\s*from\s*(["'](?:vespid|[./]+\/sdk\/index\.ts)["'])/gmu,
    (whole, names: string, from: string) => {
      const kept = names.split(",").filter((name) => name.trim() !== "z");
      const lost = names.split("\n").length - kept.join(",").split("\n").length;
      return kept.length === names.split(",").length
        ? whole
        : // Lines stay where they are: failures are told by them.
          `import * as z from "zod"; import {${kept.join(",")}${"\n".repeat(lost)}} from ${from}`;
    },
  );
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && "errors" in error && Array.isArray(error.errors);
}

function toProblem({ text, location }: BuildFailure["errors"][number]): Problem {
  const path = location === null ? "" : `${location.file}:${location.line}:${location.column + 1}`;
  return { path, message: text };
}
