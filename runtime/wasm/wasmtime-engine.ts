// Guests on Wasmtime: the component itself, compiled ahead of time. Fuel, memory and stack are bounded by the engine's own
// means, so nothing is metered and nothing of a bundle is run that its author did not write.
import type { Pointer } from "bun:ffi";
import type { FilterLimits } from "../contract/filter.ts";
import type { Result } from "../exchange/failure.ts";
import type { Engine, GuestFault, GuestHost, GuestInstance, GuestModule, LoadedFile } from "./engine.ts";
import { LinearMemories } from "./linear-memories.ts";
import { loadCode, type CodeParts, type WasmtimeCode } from "./wasmtime-code.ts";
import { WasmtimeHost } from "./wasmtime-host.ts";
import { startInstance } from "./wasmtime-instance.ts";
import { newConfig, openWasmtime, required, type Wasmtime } from "./wasmtime-library.ts";
import { Values } from "./wasmtime-values.ts";
import { WeakCache } from "./weak-cache.ts";

const COMPONENT_FILE = "component.wasm";

/** What an engine is made with. */
export interface WasmtimeOptions {
  /** `libwasmtime.so`; where the system keeps libraries by default. */
  readonly library: string | undefined;
  /** Compiled code is kept here, some 7 MB a component, at most 32 of them. */
  readonly codeFolder: string;
  readonly now: () => number;
}

/** What instances share. */
export interface WasmtimeParts extends CodeParts {
  readonly memories: LinearMemories;
  readonly values: Values;
}

/** Loads the library; the error says what is missing and where to get it. */
export function createWasmtimeEngine({ library, codeFolder, now }: WasmtimeOptions): Result<Engine, string> {
  const opened = openWasmtime(library);
  if (!opened.ok) return opened;
  const parts = assemble(opened.value, codeFolder);
  const known = new WeakCache<string, WasmtimeCode>();
  const underway = new Map<string, Promise<Result<WasmtimeCode, string>>>();

  async function codeOf(file: LoadedFile): Promise<Result<WasmtimeCode, string>> {
    const code = known.get(file.digest);
    if (code !== undefined) return { ok: true, value: code };
    const loading =
      underway.get(file.digest) ?? loadCode(file, parts, now()).finally(() => underway.delete(file.digest));
    underway.set(file.digest, loading);
    const loaded = await loading;
    if (loaded.ok) known.set(file.digest, loaded.value);
    return loaded;
  }

  const engine: Engine = {
    name: "wasmtime",
    selectFiles({ files }) {
      const component = files.find(({ name }) => name === COMPONENT_FILE);
      return component === undefined
        ? { ok: false, error: `bundle has no file ${COMPONENT_FILE}` }
        : { ok: true, value: [component] };
    },
    async load(files, limits) {
      const [file] = files;
      if (file === undefined) return { ok: false, error: `bundle has no file ${COMPONENT_FILE}` };
      const code = await codeOf(file);
      return code.ok
        ? { ok: true, value: new WasmtimeModule(parts, code.value, limits) }
        : { ok: false, error: `${file.name} ${code.error}` };
    },
  };
  return { ok: true, value: engine };
}

class WasmtimeModule implements GuestModule {
  readonly #parts: WasmtimeParts;
  readonly #code: WasmtimeCode;
  readonly #limits: FilterLimits;

  constructor(parts: WasmtimeParts, code: WasmtimeCode, limits: FilterLimits) {
    this.#parts = parts;
    this.#code = code;
    this.#limits = limits;
  }

  instantiate(host: GuestHost): Result<GuestInstance, GuestFault> {
    return startInstance(this.#parts, this.#code, this.#limits, host);
  }
}

function assemble(wasmtime: Wasmtime, folder: string): WasmtimeParts {
  const { api, memory } = wasmtime;
  const memories = new LinearMemories(memory, api);
  const config = newConfig(api);
  api.wasmtime_config_host_memory_creator_set(config, memories.creator());
  const engine: Pointer = required(api.wasm_engine_new_with_config(config));
  const values = new Values(memory, api);
  return { wasmtime, engine, memories, values, host: new WasmtimeHost(wasmtime, values), folder };
}
