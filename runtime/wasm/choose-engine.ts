// Which engine runs a proxy's sandboxed filters.
import type { Result } from "../exchange/failure.ts";
import type { Engine } from "./engine.ts";
import { jscEngine } from "./jsc-engine.ts";
import { createWasmtimeEngine, type WasmtimeOptions } from "./wasmtime-engine.ts";

/** What a proxy is told: `auto` is Wasmtime where its library is, else JavaScriptCore, which needs nothing. */
export type EngineChoice = "jsc" | "wasmtime" | "auto";

/**
 * The engine. A library that was named has to load, whatever the choice: that it was named and is not used would go
 * unseen. The error says what was found, what is needed and where it is to be had.
 */
export function chooseEngine(choice: EngineChoice, options: WasmtimeOptions): Result<Engine, string> {
  if (choice === "jsc") return { ok: true, value: jscEngine };
  const created = createWasmtimeEngine(options);
  return created.ok || choice === "wasmtime" || options.library !== undefined
    ? created
    : { ok: true, value: jscEngine };
}
