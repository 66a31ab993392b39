// The process that compiles for Wasmtime: seconds of work that the event loop of a proxy must not wait for. A component on
// standard input becomes a file. Workers that want the same one wait for the first of them.
import { closeSync, existsSync, mkdirSync, openSync } from "node:fs";
import { setPriority } from "node:os";
import { dirname } from "node:path";
import { dlopen } from "bun:ffi";
import { writeCode } from "./code-file.ts";
import { OUT } from "./native-memory.ts";
import { placeBytes } from "./place-bytes.ts";
import { exportState } from "./state-exports.ts";
import { newConfig, openWasmtime, required, takeMessage, type Wasmtime } from "./wasmtime-library.ts";

/** Below what serves requests. */
const NICENESS = 10;
const LOCK_EX = 2;

/** Compiles; the message says why it could not. */
function compile(library: string, path: string, component: Uint8Array): string | undefined {
  setPriority(NICENESS);
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = lockFile(`${path}.lock`);
  try {
    if (existsSync(path)) return undefined;
    const opened = openWasmtime(library === "" ? undefined : library);
    if (!opened.ok) return opened.error;
    const placed = placeBytes(component) ?? component;
    let code = compileComponent(opened.value, exportState(placed) ?? placed);
    // What is not built as we know it is compiled as it is.
    if (typeof code !== "object") code = compileComponent(opened.value, component);
    if (typeof code === "string") return code;
    writeCode(folder, path, code);
    return undefined;
  } finally {
    closeSync(lock);
  }
}

function compileComponent(wasmtime: Wasmtime, component: Uint8Array): Uint8Array | string {
  const { api, memory } = wasmtime;
  const engine = required(api.wasm_engine_new_with_config(newConfig(api)));
  const failed =
    api.wasmtime_component_new(engine, component, component.length, memory.at(OUT)) ??
    api.wasmtime_component_serialize(memory.pointerAt(OUT), memory.at(OUT));
  if (failed !== null) return takeMessage(wasmtime, failed);
  const code = new Uint8Array(memory.words[OUT >>> 2] ?? 0);
  memory.copyOut(required(memory.pointerAt(OUT + 8)), code);
  return code;
}

/** Waits until no other process holds the file; the system lets go of it when this one ends, however it ends. */
function lockFile(path: string): number {
  const file = openSync(path, "a", 0o600);
  const library = process.platform === "linux" ? "libc.so.6" : "libc.dylib";
  dlopen(library, { flock: { args: ["i32", "i32"], returns: "i32" } }).symbols.flock(file, LOCK_EX);
  return file;
}

if (import.meta.main) {
  const [library = "", path = ""] = process.argv.slice(2);
  const reason = compile(library, path, await Bun.stdin.bytes());
  if (reason !== undefined) {
    console.error(reason);
    process.exitCode = 1;
  }
}
