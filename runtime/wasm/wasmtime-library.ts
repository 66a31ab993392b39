// Wasmtime's shared library, called by its C API: found, checked to be of the version whose structures are laid out
// here, and told how to compile. A user who has not installed it loses nothing: JavaScriptCore runs guests too.
import { statSync } from "node:fs";
import { dlopen, FFIType, type Pointer } from "bun:ffi";
import type { Result } from "../exchange/failure.ts";
import { NativeMemory, OUT, type Returned } from "./native-memory.ts";

/** The release whose C API this is: it lays out structures, which change between major versions. */
export const WASMTIME_MAJOR = 50;

/** A loaded library. */
export interface Wasmtime {
  readonly path: string;
  /** Changes when the file does: what one build of it compiled is not for another. */
  readonly build: string;
  readonly api: WasmtimeApi;
  readonly memory: NativeMemory;
}

export type WasmtimeApi = ReturnType<typeof link>;

/** Where the loader looks without a path. */
const LIBRARY = "libwasmtime.so";
const HOW_TO_GET =
  `take it from a release of Wasmtime ${WASMTIME_MAJOR} (wasmtime-v${WASMTIME_MAJOR}.…-c-api) or from PyPI's wheel ` +
  `(pip install "wasmtime==${WASMTIME_MAJOR}.*"; it is wasmtime/linux-…/_libwasmtime.so), and name it in VESPID_LIBWASMTIME`;

/** Loads the library at `path`, or where the system keeps libraries. The error names the path, what was found and what is needed. */
export function openWasmtime(path: string | undefined): Result<Wasmtime, string> {
  const name = path ?? LIBRARY;
  let api: WasmtimeApi;
  try {
    api = link(name);
  } catch (error) {
    // What dlopen says: no such file, no library, or a symbol that it lacks.
    const reason = error instanceof Error ? error.message : String(error);
    return fault(`${name} cannot be loaded as Wasmtime ${WASMTIME_MAJOR}: ${reason}`);
  }
  const memory = new NativeMemory();
  const found = majorOf(api, memory);
  if (found !== WASMTIME_MAJOR) return fault(`${name} is Wasmtime ${found ?? "of an unknown version"}`);
  return { ok: true, value: { path: name, build: buildOf(path), api, memory } };
}

/** The message of a `wasmtime_error_t`, which is deleted. */
export function takeMessage({ api, memory }: Pick<Wasmtime, "api" | "memory">, failed: Pointer | bigint): string {
  const error = required(failed);
  api.wasmtime_error_message(error, memory.at(OUT));
  const message = memory.text(memory.pointerAt(OUT + 8), memory.words[OUT >>> 2] ?? 0);
  api.wasm_byte_vec_delete(memory.at(OUT));
  api.wasmtime_error_delete(error);
  return message;
}

/**
 * How code is compiled and run; the same in the process that compiles and in the one that runs, or Wasmtime refuses it.
 * The caller hands the configuration to `wasm_engine_new_with_config`.
 */
export function newConfig(api: WasmtimeApi): Pointer {
  const config = required(api.wasm_config_new());
  api.wasmtime_config_consume_fuel_set(config, true);
  api.wasmtime_config_max_wasm_stack_set(config, STACK_MAX_BYTES);
  // The proxy calls guests synchronously; what serves several tasks of a component costs a call and offers nothing here.
  api.wasmtime_config_concurrency_support_set(config, false);
  // Guests' memories are the proxy's own (linear-memories.ts), which copies their first content itself.
  api.wasmtime_config_memory_init_cow_set(config, false);
  api.wasmtime_config_memory_may_move_set(config, false);
  return config;
}

/** Stack of a guest. It lies on the stack of the thread, which has 8 MiB. */
const STACK_MAX_BYTES = 512 * 1024;

/** A pointer that Wasmtime never returns as null. */
export function required(pointer: Returned): Pointer {
  if (pointer === null || typeof pointer === "bigint") throw new Error("wasmtime returned a null pointer");
  return pointer;
}

function fault(reason: string): { readonly ok: false; readonly error: string } {
  return { ok: false, error: `${reason}; needed is libwasmtime ${WASMTIME_MAJOR}: ${HOW_TO_GET}` };
}

function buildOf(path: string | undefined): string {
  if (path === undefined) return "system";
  const { size, mtimeMs } = statSync(path);
  return `${size}-${Math.round(mtimeMs)}`;
}

/** There is no function that tells the version, but compiled code does: an empty component is compiled and read. */
function majorOf(api: WasmtimeApi, memory: NativeMemory): number | undefined {
  const engine = required(api.wasm_engine_new_with_config(newConfig(api)));
  if (api.wasmtime_component_new(engine, EMPTY_COMPONENT, EMPTY_COMPONENT.length, memory.at(OUT)) !== null)
    return undefined;
  const component = required(memory.pointerAt(OUT));
  const failed = api.wasmtime_component_serialize(component, memory.at(OUT));
  let major: number | undefined;
  if (failed === null) {
    const head = new Uint8Array(VERSION_AT + 32);
    memory.copyOut(required(memory.pointerAt(OUT + 8)), head);
    const start = VERSION_AT + 1;
    major = Number(new TextDecoder().decode(head.subarray(start, start + Math.min(8, head[VERSION_AT] ?? 0))));
    api.wasm_byte_vec_delete(memory.at(OUT));
  }
  api.wasmtime_component_delete(component);
  api.wasm_engine_delete(engine);
  return major;
}

const EMPTY_COMPONENT = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0);
/** In the first section of the ELF file that compiled code is, behind the file's header: a length and digits. */
const VERSION_AT = 65;

const POINTER = "ptr" as const;
const NOTHING = "void" as const;
const SIZE = FFIType.u64_fast as const;
const LIMIT = FFIType.i64_fast;

function link(path: string) {
  return dlopen(path, {
    wasm_config_new: { args: [], returns: POINTER },
    wasm_engine_new_with_config: { args: [POINTER], returns: POINTER },
    wasm_engine_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_config_consume_fuel_set: { args: [POINTER, "bool"], returns: NOTHING },
    wasmtime_config_max_wasm_stack_set: { args: [POINTER, SIZE], returns: NOTHING },
    wasmtime_config_concurrency_support_set: { args: [POINTER, "bool"], returns: NOTHING },
    wasmtime_config_memory_init_cow_set: { args: [POINTER, "bool"], returns: NOTHING },
    wasmtime_config_memory_may_move_set: { args: [POINTER, "bool"], returns: NOTHING },
    wasmtime_config_host_memory_creator_set: { args: [POINTER, POINTER], returns: NOTHING },

    wasmtime_component_new: { args: [POINTER, POINTER, SIZE, POINTER], returns: POINTER },
    wasmtime_component_serialize: { args: [POINTER, POINTER], returns: POINTER },
    wasmtime_component_deserialize_file: { args: [POINTER, POINTER, POINTER], returns: POINTER },
    wasmtime_component_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_get_export_index: { args: [POINTER, POINTER, POINTER, SIZE], returns: POINTER },
    wasmtime_component_export_index_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_type: { args: [POINTER], returns: POINTER },
    wasmtime_component_type_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_type_import_count: { args: [POINTER, POINTER], returns: SIZE },
    wasmtime_component_type_import_nth: {
      args: [POINTER, POINTER, SIZE, POINTER, POINTER, POINTER],
      returns: "bool",
    },
    wasmtime_component_extern_delete: { args: [POINTER], returns: NOTHING },

    wasmtime_component_linker_new: { args: [POINTER], returns: POINTER },
    wasmtime_component_linker_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_linker_root: { args: [POINTER], returns: POINTER },
    wasmtime_component_linker_define_unknown_imports_as_traps: { args: [POINTER, POINTER], returns: POINTER },
    wasmtime_component_linker_instance_add_instance: { args: [POINTER, POINTER, SIZE, POINTER], returns: POINTER },
    wasmtime_component_linker_instance_add_func: {
      args: [POINTER, POINTER, SIZE, POINTER, POINTER, POINTER],
      returns: POINTER,
    },
    wasmtime_component_linker_instance_add_resource: {
      args: [POINTER, POINTER, SIZE, POINTER, POINTER, POINTER, POINTER],
      returns: POINTER,
    },
    wasmtime_component_linker_instance_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_linker_instantiate: { args: [POINTER, POINTER, POINTER, POINTER], returns: POINTER },

    wasmtime_store_new: { args: [POINTER, POINTER, POINTER], returns: POINTER },
    wasmtime_store_context: { args: [POINTER], returns: POINTER },
    wasmtime_store_limiter: {
      args: [POINTER, LIMIT, LIMIT, LIMIT, LIMIT, LIMIT],
      returns: NOTHING,
    },
    wasmtime_store_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_context_set_fuel: { args: [POINTER, SIZE], returns: POINTER },
    wasmtime_context_get_fuel: { args: [POINTER, POINTER], returns: POINTER },

    wasmtime_component_instance_get_func: { args: [POINTER, POINTER, POINTER, POINTER], returns: "bool" },
    wasmtime_component_func_call: { args: [POINTER, POINTER, POINTER, SIZE, POINTER, SIZE], returns: POINTER },

    wasmtime_component_resource_type_new_host: { args: ["u32"], returns: POINTER },
    wasmtime_component_resource_type_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_resource_host_new: { args: ["bool", "u32", "u32"], returns: POINTER },
    wasmtime_component_resource_host_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_resource_any_drop: { args: [POINTER, POINTER], returns: POINTER },
    wasmtime_component_resource_host_to_any: { args: [POINTER, POINTER, POINTER], returns: POINTER },

    wasmtime_component_val_new: { args: [POINTER], returns: POINTER },
    wasmtime_component_val_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_component_vallist_new_uninit: { args: [POINTER, SIZE], returns: NOTHING },
    wasmtime_component_valrecord_new_uninit: { args: [POINTER, SIZE], returns: NOTHING },
    wasmtime_component_valtuple_new_uninit: { args: [POINTER, SIZE], returns: NOTHING },
    wasm_byte_vec_new: { args: [POINTER, SIZE, POINTER], returns: NOTHING },
    wasm_byte_vec_delete: { args: [POINTER], returns: NOTHING },
    wasmtime_error_new: { args: [POINTER], returns: POINTER },
    wasmtime_error_message: { args: [POINTER, POINTER], returns: NOTHING },
    wasmtime_error_delete: { args: [POINTER], returns: NOTHING },
  }).symbols;
}
