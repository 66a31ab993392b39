// The memory limit of a filter, written into its modules before they are compiled: the engine then refuses to grow further.
import { SECTION } from "../../sdk/build/metered.ts";
import { readSections, WasmFault, WasmWriter } from "../../sdk/build/wasm-reader.ts";
import type { Result } from "../exchange/failure.ts";

const PAGE_BYTES = 65_536;

/** Whether a module has a memory of its own; it is WebAssembly that was checked. */
export function definesMemory(bytes: Uint8Array): boolean {
  return readSections(bytes, 0).some(
    ({ id, payload }) => id === SECTION.memory && (payload.bytes[payload.position] ?? 0) > 0,
  );
}

/** The module with its memory limited, the same bytes where it has none, or why it cannot be. */
export function limitMemory(bytes: Uint8Array, memoryMaxBytes: number): Result<Uint8Array, string> {
  try {
    const section = readSections(bytes, 0).find(({ id }) => id === SECTION.memory);
    if (section === undefined) return { ok: true, value: bytes };
    const { payload, start } = section;
    if (payload.u32() !== 1) throw new WasmFault("has several memories");
    const flags = payload.byte();
    if (flags > 1) throw new WasmFault("has a shared or 64-bit memory");
    const min = payload.u32();
    const declared = flags === 1 ? payload.u32() : Number.POSITIVE_INFINITY;
    const max = Math.min(declared, Math.ceil(memoryMaxBytes / PAGE_BYTES));
    if (min > max) throw new WasmFault(`needs ${min * PAGE_BYTES} bytes of memory, limit is ${max * PAGE_BYTES}`);

    const limits = new WasmWriter();
    limits.byte(1);
    limits.byte(1);
    limits.u32(min);
    limits.u32(max);
    const writer = new WasmWriter(bytes.length + 16);
    writer.bytes(bytes, 0, start);
    writer.section(SECTION.memory, limits.finish());
    writer.bytes(bytes, payload.end);
    return { ok: true, value: writer.finish() };
  } catch (error) {
    if (error instanceof WasmFault) return { ok: false, error: error.message };
    throw error;
  }
}
