// Components compiled for Wasmtime: from the folder where they were compiled before, else by a process of its own, and
// ready to be instantiated.
import { join } from "node:path";
import type { Pointer } from "bun:ffi";
import { HANDLER_INTERFACE } from "../../sdk/wit/world.ts";
import type { Result } from "../exchange/failure.ts";
import { codePath, isCodeIntact } from "./code-file.ts";
import type { LoadedFile } from "./engine.ts";
import { NativeMemory, OUT } from "./native-memory.ts";
import { REALLOCATE } from "./place-bytes.ts";
import { STATE_EXPORT_NAME } from "./state-exports.ts";
import type { WasmtimeHost } from "./wasmtime-host.ts";
import { required, takeMessage, type Wasmtime } from "./wasmtime-library.ts";

const COMPILE_PROCESS = join(import.meta.dir, "wasmtime-compile.ts");
/** The engine core of QuickJS takes 2 s of a processor. */
const COMPILE_MAX_MS = 120_000;
/** Changes when what is compiled, or how, does. */
const FORMAT = "4";

/** The functions of `handler`, in the order in which instances hold them. */
export const HANDLER_FUNCTIONS = ["configure", "begin", "resume", "chunk", "cancel"] as const;

/** A component as Wasmtime has it, with what it imports; freed when nothing holds it any more. */
export interface WasmtimeCode {
  readonly component: Pointer;
  readonly linker: Pointer;
  readonly exports: readonly Pointer[];
  /** What makes room in its memory; `undefined` where its bytes cross as lists. */
  readonly reallocate: Pointer | undefined;
  /** What keeps its globals and puts them back; none where it cannot be put back. */
  readonly states: readonly Pointer[];
}

/** What loading needs. */
export interface CodeParts {
  readonly wasmtime: Wasmtime;
  readonly engine: Pointer;
  readonly host: WasmtimeHost;
  /** Compiled code lies here. */
  readonly folder: string;
}

/** Compiles a component, or finds it compiled. */
export async function loadCode(
  file: LoadedFile,
  parts: CodeParts,
  nowMs: number,
): Promise<Result<WasmtimeCode, string>> {
  const { wasmtime, folder } = parts;
  const path = codePath(folder, file.digest, `wasmtime-${FORMAT}-${wasmtime.build}`);
  if (await isCodeIntact(path, nowMs)) {
    const code = openCode(path, parts);
    // Wasmtime refuses what it did not compile for this processor, or with other settings: a folder that moved.
    if (code.ok) return code;
    await Bun.file(path).delete();
  }
  const reason = await runCompile(path, file.bytes, wasmtime);
  if (reason !== undefined) return { ok: false, error: `does not compile: ${reason}` };
  return (await isCodeIntact(path, nowMs))
    ? openCode(path, parts)
    : { ok: false, error: `was compiled to ${path}, where it is not` };
}

async function runCompile(
  path: string,
  component: Uint8Array,
  { path: library }: Wasmtime,
): Promise<string | undefined> {
  const child = Bun.spawn([process.execPath, COMPILE_PROCESS, library, path], {
    stdin: component,
    stdout: "ignore",
    stderr: "pipe",
    timeout: COMPILE_MAX_MS,
    killSignal: "SIGKILL",
  });
  const [errors, code] = await Promise.all([child.stderr.text(), child.exited]);
  if (child.signalCode === "SIGKILL") return `it took longer than ${COMPILE_MAX_MS} ms`;
  if (code === 0) return undefined;
  const said = errors.trim().split("\n").at(-1) ?? "";
  return said === "" ? `the compiler ended with code ${code}, signal ${child.signalCode ?? "none"}` : said;
}

function openCode(path: string, parts: CodeParts): Result<WasmtimeCode, string> {
  const { wasmtime, engine, host } = parts;
  const { api, memory } = wasmtime;
  const failed = api.wasmtime_component_deserialize_file(engine, NativeMemory.cString(path), memory.at(OUT));
  if (failed !== null) return { ok: false, error: takeMessage(wasmtime, failed) };
  const component = required(memory.pointerAt(OUT));
  const linker = required(api.wasmtime_component_linker_new(engine));
  const refused = host.define(linker, importsOf(wasmtime, engine, component));
  const unknown =
    refused === undefined ? api.wasmtime_component_linker_define_unknown_imports_as_traps(linker, component) : null;
  const reason = refused ?? (unknown === null ? undefined : takeMessage(wasmtime, unknown));
  const exports = reason === undefined ? exportsOf(wasmtime, component) : [];
  const reallocate = exportOf(wasmtime, component, null, REALLOCATE) ?? undefined;
  const states = statesOf(wasmtime, component);
  const code: WasmtimeCode = { component, linker, exports, reallocate, states };
  if (reason === undefined && exports.length === HANDLER_FUNCTIONS.length) {
    freed.register(code, { api, ...code });
    return { ok: true, value: code };
  }
  free({ api, ...code });
  return { ok: false, error: reason ?? `does not export ${HANDLER_INTERFACE}` };
}

function importsOf({ api, memory }: Wasmtime, engine: Pointer, component: Pointer): readonly string[] {
  const type = required(api.wasmtime_component_type(component));
  const count = Number(api.wasmtime_component_type_import_count(type, engine));
  const names: string[] = [];
  for (let index = 0; index < count; index++) {
    const out = { name: memory.at(OUT), length: memory.at(OUT + 8), item: memory.at(OUT + 16) };
    api.wasmtime_component_type_import_nth(type, engine, index, out.name, out.length, out.item);
    names.push(memory.text(memory.pointerAt(OUT), memory.words[(OUT + 8) >>> 2] ?? 0));
    const item = memory.pointerAt(OUT + 16);
    if (item !== null) api.wasmtime_component_extern_delete(item);
  }
  api.wasmtime_component_type_delete(type);
  return names;
}

function exportsOf(wasmtime: Wasmtime, component: Pointer): readonly Pointer[] {
  const handler = exportOf(wasmtime, component, null, HANDLER_INTERFACE);
  if (handler === null) return [];
  const found = HANDLER_FUNCTIONS.map((name) => exportOf(wasmtime, component, handler, name)).filter(
    (index) => index !== null,
  );
  wasmtime.api.wasmtime_component_export_index_delete(handler);
  return found;
}

function statesOf(wasmtime: Wasmtime, component: Pointer): readonly Pointer[] {
  const found: Pointer[] = [];
  for (;;) {
    const index = exportOf(wasmtime, component, null, `${STATE_EXPORT_NAME}${found.length}`);
    if (index === null) return found;
    found.push(index);
  }
}

function exportOf({ api }: Wasmtime, component: Pointer, parent: Pointer | null, name: string): Pointer | null {
  const bytes = Buffer.from(name);
  const index = api.wasmtime_component_get_export_index(component, parent, bytes, bytes.length);
  return index === null ? null : required(index);
}

interface Handles extends WasmtimeCode {
  readonly api: Wasmtime["api"];
}

const freed = new FinalizationRegistry<Handles>(free);

function free({ api, component, linker, exports, reallocate, states }: Handles): void {
  for (const index of [...exports, ...states, ...(reallocate === undefined ? [] : [reallocate])])
    api.wasmtime_component_export_index_delete(index);
  api.wasmtime_component_linker_delete(linker);
  api.wasmtime_component_delete(component);
}
