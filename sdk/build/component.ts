// A filter's script as a component: the engine loads it here, once, and what its memory then holds becomes a module of its
// own beside the engine's, which so stays the same for every filter.
import { join } from "node:path";
import { HOST_INTERFACE } from "../wit/world.ts";
import { SECTION } from "./metered.ts";
import { readSections, WasmFault, WasmWriter, type Section } from "./wasm-reader.ts";

/** The engine as a component without a script; ../engine/build.sh makes it. */
export const ENGINE_FILE: string = join(import.meta.dir, "../engine/engine.wasm");

/** Sections of a component, and the sort of memories. */
const CORE_MODULE = 1;
const CORE_INSTANCE = 2;
const MEMORY_SORT = 2;

const PAGE_BYTES = 65_536;
/** Bytes that are as they were, and are written all the same rather than begin another piece. */
const GAP_MAX_BYTES = 512;

/** The script throws where it is loaded. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";
}

/** The component of a script that exports `handler` and imports the interface `host`. Throws `ScriptError`. */
export async function componentOf(script: string): Promise<Uint8Array> {
  const engine = await Bun.file(ENGINE_FILE).bytes();
  const sections = readSections(engine, 1);
  // The others link the first one, and have little code.
  const core = sections.find(({ id }) => id === CORE_MODULE)?.payload;
  if (core === undefined) throw new WasmFault("holds no engine");
  const data = renderPieces(await loadScript(engine.slice(core.position, core.end), script));
  const writer = new WasmWriter(engine.length + data.length + 256);
  writer.bytes(engine);
  writer.section(CORE_MODULE, data);
  writer.section(CORE_INSTANCE, linkData(sections));
  return writer.finish().slice();
}

/** Memory as it is when a script was loaded, as far as it differs from what the engine begins with. */
interface Loaded {
  /** By how many pages it has grown. */
  readonly pages: number;
  readonly pieces: readonly Piece[];
}

interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

async function loadScript(core: Uint8Array<ArrayBuffer>, script: string): Promise<Loaded> {
  let thrown = "";
  let memory = new WebAssembly.Memory({ initial: 0 });
  const host: Record<string, (...values: number[]) => number> = {
    log: (_, text = 0, length = 0) => {
      // The engine's last words come here too.
      thrown = new TextDecoder().decode(new Uint8Array(memory.buffer, text, length));
      return 0;
    },
    start: unavailable("an operation"),
    stop: unavailable("an operation"),
    emit: unavailable("a message"),
    settle: unavailable("a call"),
    text: (...at) => refuse(memory, at),
    bytes: (...at) => refuse(memory, at),
  };
  const imports = {
    [HOST_INTERFACE]: host,
    // The same script gives the same component.
    "wasi:clocks/wall-clock@0.2.12": {
      now: (time: number) => {
        new Uint8Array(memory.buffer, time, 16).fill(0);
      },
    },
    "wasi:clocks/monotonic-clock@0.2.12": { now: () => 0n },
  };
  const { exports } = await WebAssembly.instantiate(await WebAssembly.compile(core), imports);
  const engine = engineOf(exports);
  memory = engine.memory;
  const before = new Uint8Array(memory.buffer).slice();
  const text = new TextEncoder().encode(script);
  const pointer = engine.reallocate(0, 0, 1, text.length + 1);
  const place = new Uint8Array(memory.buffer, pointer, text.length + 1);
  place.set(text);
  place[text.length] = 0;
  try {
    const stack = engine.load(pointer, text.length);
    const after = new Uint8Array(memory.buffer);
    after.fill(0, 0, stack);
    return { pages: (after.length - before.length) / PAGE_BYTES, pieces: differences(before, after) };
  } catch (error) {
    if (error instanceof ScriptError) throw error;
    throw new ScriptError(thrown === "" ? String(error) : thrown);
  }
}

function unavailable(name: string): () => never {
  return () => {
    throw new ScriptError(`${name} is not there while a filter loads`);
  };
}

/** `text` and `bytes` answer an error, which a script can catch. */
function refuse(memory: WebAssembly.Memory, at: readonly number[]): number {
  const result = new DataView(memory.buffer, at[6] ?? 0, 12);
  result.setUint8(0, 1);
  result.setUint32(4, 1, true);
  result.setUint32(8, 0, true);
  return 0;
}

interface Engine {
  readonly memory: WebAssembly.Memory;
  reallocate(old: number, oldSize: number, alignment: number, size: number): number;
  load(script: number, length: number): number;
}

function engineOf(exports: Readonly<Record<string, unknown>>): Engine {
  const { memory, cabi_realloc: reallocate, load } = exports;
  if (!(memory instanceof WebAssembly.Memory) || !isFunction(reallocate) || !isFunction(load))
    throw new WasmFault("is not an engine");
  return { memory, reallocate, load };
}

function isFunction(value: unknown): value is (...values: number[]) => number {
  return typeof value === "function";
}

function differences(before: Uint8Array, after: Uint8Array): readonly Piece[] {
  const pieces: Piece[] = [];
  const differs = (at: number): boolean => after[at] !== (before[at] ?? 0);
  for (let at = 0; at < after.length; at++) {
    if (!differs(at)) continue;
    let end = at + 1;
    for (let next = end; next < after.length && next - end <= GAP_MAX_BYTES; next++) if (differs(next)) end = next + 1;
    pieces.push({ at, bytes: after.slice(at, end) });
    at = end;
  }
  return pieces;
}

/** A module that puts the pieces into the engine's memory when it starts, which it makes grow first. */
function renderPieces({ pages, pieces }: Loaded): Uint8Array {
  const writer = new WasmWriter(pieces.reduce((sum, { bytes }) => sum + bytes.length + 32, 1024));
  writer.bytes(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  // One type, of a function that takes and answers nothing.
  writer.section(SECTION.type, Uint8Array.of(1, 0x60, 0, 0));
  const imported = new WasmWriter();
  imported.u32(1);
  imported.name("engine");
  imported.name("memory");
  imported.bytes(Uint8Array.of(MEMORY_SORT, 0, 0));
  writer.section(SECTION.import, imported.finish());
  writer.section(SECTION.function, Uint8Array.of(1, 0));
  writer.section(SECTION.start, Uint8Array.of(0));
  const count = new WasmWriter();
  count.u32(pieces.length);
  writer.section(SECTION.dataCount, count.finish());
  writer.section(SECTION.code, renderStart(pages, pieces));
  const data = new WasmWriter(writer.length);
  data.u32(pieces.length);
  for (const { bytes } of pieces) {
    // Passive: active ones are put in place before anything can make the memory grow.
    data.byte(1);
    data.u32(bytes.length);
    data.bytes(bytes);
  }
  writer.section(SECTION.data, data.finish());
  return writer.finish().slice();
}

const I32_CONST = 0x41;
const MEMORY_GROW = [0x40, 0] as const;
const TRAP_WHERE_NEGATIVE = [I32_CONST, 0, 0x48, 0x04, 0x40, 0x00, 0x0b] as const;
const MEMORY_INIT = [0xfc, 8] as const;
const END = 0x0b;

function renderStart(pages: number, pieces: readonly Piece[]): Uint8Array {
  const body = new WasmWriter(pieces.length * 24 + 64);
  body.byte(0);
  constant(body, pages);
  body.bytes(Uint8Array.from([...MEMORY_GROW, ...TRAP_WHERE_NEGATIVE]));
  for (const [index, { at, bytes }] of pieces.entries()) {
    constant(body, at);
    constant(body, 0);
    constant(body, bytes.length);
    body.bytes(Uint8Array.from(MEMORY_INIT));
    body.u32(index);
    body.byte(0);
  }
  body.byte(END);
  const code = new WasmWriter(body.length + 16);
  code.u32(1);
  code.u32(body.length);
  code.bytes(body.finish());
  return code.finish().slice();
}

/** `i32.const`, whose operand is a signed LEB128. */
function constant(writer: WasmWriter, value: number): void {
  writer.byte(I32_CONST);
  let rest = value;
  for (; rest > 0x3f; rest >>>= 7) writer.byte((rest & 0x7f) | 0x80);
  writer.byte(rest);
}

/** Two core instances: one that exports the engine's memory, and the data's, which imports it. */
function linkData(sections: readonly Section[]): Uint8Array {
  const modules = sections.filter(({ id }) => id === CORE_MODULE).length;
  const instances = sections
    .filter(({ id }) => id === CORE_INSTANCE)
    .reduce((sum, { payload: { bytes, position } }) => sum + (bytes[position] ?? 0), 0);
  const writer = new WasmWriter();
  writer.bytes(Uint8Array.of(2, 1, 1));
  writer.name("memory");
  writer.bytes(Uint8Array.of(MEMORY_SORT, 0));
  writer.byte(0);
  writer.u32(modules);
  writer.u32(1);
  writer.name("engine");
  writer.bytes(Uint8Array.of(0x12));
  writer.u32(instances);
  return writer.finish().slice();
}
