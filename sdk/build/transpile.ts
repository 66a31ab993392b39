// A component as proxies on JavaScriptCore load it: metered core modules, and the glue that links them and passes strings.
import { transform } from "esbuild";
import { transpile } from "@bytecodealliance/jco/component";
import { openBuildCache } from "./build-cache.ts";
import { checkNames } from "./check-names.ts";
import { meterModule } from "./meter.ts";
import { SECTION } from "./metered.ts";
import { readSections, WasmFault } from "./wasm-reader.ts";

/** The glue's file; what runs in it is a script whose last value is `glue`, with `glue.instantiate` in it. */
export const GLUE_FILE = "filter.js";

/** Code that takes longer to meter than to read. */
const CACHED_MIN_BYTES = 256 * 1024;

/** Files by name. Throws `WasmFault` where the component is not what a filter must be. */
export async function transpileFilter(component: Uint8Array): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = await transpileComponent(component);
  const derived = new Map<string, Uint8Array>();
  for (const [name, bytes] of files) {
    if (name.endsWith(".wasm")) {
      derived.set(name, await meter(name, bytes));
    } else if (name === GLUE_FILE) derived.set(name, await asScript(bytes));
  }
  return derived;
}

/** The engine's core is the same for every filter: what was made of it is taken from the cache. */
async function meter(name: string, bytes: Uint8Array): Promise<Uint8Array> {
  const cache = bytes.length < CACHED_MIN_BYTES ? undefined : openBuildCache();
  const known = await cache?.read("metered", [bytes]);
  if (known !== undefined) return known;
  checkNames(bytes);
  const metered = meterModule(bytes);
  if (!WebAssembly.validate(metered)) throw new WasmFault(`holds a core module (${name}) that is not valid`);
  // A filter's own modules are data, and quickly metered.
  if (cache !== undefined && hasMuchCode(bytes)) await cache.write("metered", [bytes], metered);
  return metered;
}

function hasMuchCode(bytes: Uint8Array): boolean {
  return readSections(bytes, 0).some(
    ({ id, payload }) => id === SECTION.code && payload.end - payload.position >= CACHED_MIN_BYTES,
  );
}

async function transpileComponent(component: Uint8Array): Promise<readonly (readonly [string, Uint8Array])[]> {
  try {
    const { files } = await transpile(component, {
      name: "filter",
      instantiation: { tag: "sync" },
      map: [],
      noTypescript: true,
      noNodejsCompat: true,
      noNamespacedExports: true,
      base64Cutoff: 0,
    });
    return files;
  } catch (error) {
    // The transpiler validates the component; what it throws is what is wrong with it.
    throw new WasmFault(`is not a component that can be loaded: ${messageOf(error)}`, { cause: error });
  }
}

/** A module would stay in the process's registry for ever; a script goes with its last use. */
async function asScript(module: Uint8Array): Promise<Uint8Array> {
  const { code } = await transform(new TextDecoder().decode(module), {
    format: "iife",
    globalName: "glue",
    minify: true,
    // What is thrown is told apart by name.
    keepNames: false,
    target: "esnext",
  });
  return new TextEncoder().encode(code);
}

function messageOf(error: unknown): string {
  if (typeof error === "object" && error !== null && "payload" in error) return String(error.payload);
  return error instanceof Error ? error.message : String(error);
}
