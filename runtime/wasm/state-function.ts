// Core modules with a function that keeps their globals, and one day puts them back: with its memories, which are the
// proxy's, that makes of a guest that has answered a call one that has just been born, for a copy in the place of a new
// instance. What changes beside memories and globals cannot be put back, so a module that changes it gets no function.
import { leb, readImports, SECTION, skipLocals } from "../../sdk/build/metered.ts";
import { OP, readInstruction } from "../../sdk/build/opcodes.ts";
import { readSections, WasmFault, WasmReader, WasmWriter, type Section } from "../../sdk/build/wasm-reader.ts";

/** The function: `0` keeps what the module's own globals are, anything else puts them back. */
export const STATE_FUNCTION = "vespid:state";

const KIND_FUNCTION = 0;
const I32 = 0x7f;
/** How a constant of each type begins, and how many zeros follow. */
const ZEROS: ReadonlyMap<number, readonly number[]> = new Map([
  [I32, [0x41, 0]],
  [0x7e, [0x42, 0]],
  [0x7d, [0x43, 0, 0, 0, 0]],
  [0x7c, [0x44, 0, 0, 0, 0, 0, 0, 0, 0]],
]);
/** Sections stand in this order, whatever their ids. */
const ORDER: readonly number[] = [
  SECTION.type,
  SECTION.import,
  SECTION.function,
  SECTION.table,
  SECTION.memory,
  SECTION.tag,
  SECTION.global,
  SECTION.export,
  SECTION.start,
  SECTION.element,
  SECTION.dataCount,
  SECTION.code,
  SECTION.data,
];
/** Instructions that change a table, or let go of what a segment holds, behind their prefix. */
const CHANGING: ReadonlySet<number> = new Set([9, 12, 13, 14, 15, 17]);
const TABLE_SET = 0x26;
const BULK_PREFIX = 0xfc;

interface Global {
  readonly index: number;
  readonly type: number;
}

/**
 * The module with the function, or as it is where none of its globals change. Throws `WasmFault` where it is malformed,
 * and where it may change what the function would not put back: tables, segments, references.
 */
export function withStateFunction(module: Uint8Array): { readonly bytes: Uint8Array; readonly hasFunction: boolean } {
  const sections = readSections(module, 0);
  const imports = readImports(sections);
  checkCode(sections);
  const all = countOf(sections, SECTION.global);
  const globals = changingGlobals(sections, imports.globals);
  if (globals.length === 0) return { bytes: module, hasFunction: false };
  const added = new Map<number, readonly (readonly number[])[]>([
    [SECTION.type, [[0x60, 1, I32, 0]]],
    [SECTION.function, [leb(countOf(sections, SECTION.type))]],
    [SECTION.global, globals.map(({ type }) => [type, 1, ...(ZEROS.get(type) ?? []), OP.end])],
    [SECTION.export, [exportOf(imports.functions + countOf(sections, SECTION.function))]],
    [SECTION.code, [bodyOf(globals, imports.globals + all)]],
  ]);
  return { bytes: extended(module, sections, added), hasFunction: true };
}

/** Own globals that change. */
function changingGlobals(sections: readonly Section[], first: number): readonly Global[] {
  const reader = payloadOf(sections, SECTION.global);
  const found: Global[] = [];
  if (reader === undefined) return found;
  const count = reader.u32();
  for (let index = first; index < first + count; index++) {
    const type = reader.byte();
    const isMutable = reader.byte() === 1;
    if (isMutable && !ZEROS.has(type)) throw new WasmFault(`has a global of type ${type} that changes`);
    if (isMutable) found.push({ index, type });
    while (readInstruction(reader) !== OP.end);
  }
  return found;
}

function checkCode(sections: readonly Section[]): void {
  const reader = payloadOf(sections, SECTION.code);
  if (reader === undefined) return;
  for (let left = reader.u32(); left > 0; left--) {
    const body = reader.part(reader.u32());
    skipLocals(body);
    while (!body.isAtEnd) {
      const opcode = readInstruction(body);
      if (opcode === TABLE_SET || (opcode >>> 16 === BULK_PREFIX && CHANGING.has(opcode & 0xffff)))
        throw new WasmFault("changes a table or a segment");
    }
  }
}

/** `local.get 0; if; for each: global.get kept, global.set own; else; the other way; end; end`, without locals. */
function bodyOf(globals: readonly Global[], firstKept: number): readonly number[] {
  const back = globals.flatMap(({ index }, kept) => move(firstKept + kept, index));
  const keep = globals.flatMap(({ index }, kept) => move(index, firstKept + kept));
  const body = [0, 0x20, 0, OP.if, 0x40, ...back, OP.else, ...keep, OP.end, OP.end];
  return [...leb(body.length), ...body];
}

function move(from: number, to: number): readonly number[] {
  return [OP.globalGet, ...leb(from), OP.globalSet, ...leb(to)];
}

function exportOf(index: number): readonly number[] {
  const writer = new WasmWriter();
  writer.name(STATE_FUNCTION);
  writer.byte(KIND_FUNCTION);
  writer.u32(index);
  return [...writer.finish()];
}

/** The module with entries behind those that its sections have; a section that it lacks is made. */
function extended(
  module: Uint8Array,
  sections: readonly Section[],
  added: ReadonlyMap<number, readonly (readonly number[])[]>,
): Uint8Array {
  const writer = new WasmWriter(module.length + 1024);
  writer.bytes(module, 0, 8);
  const left = new Map(added);
  const writeMissing = (before: number): void => {
    for (const [id, entries] of left) {
      if (ORDER.indexOf(id) >= before) continue;
      left.delete(id);
      writer.section(id, listOf(entries, undefined));
    }
  };
  for (const { id, start, payload } of sections) {
    const { position, end } = payload;
    const entries = left.get(id);
    // Custom sections stand anywhere.
    if (id !== SECTION.custom) writeMissing(ORDER.indexOf(id));
    if (entries === undefined) writer.bytes(module, start, end);
    else {
      left.delete(id);
      writer.section(id, listOf(entries, new WasmReader(module, position, end)));
    }
  }
  writeMissing(ORDER.length);
  return writer.finish().slice();
}

function listOf(entries: readonly (readonly number[])[], before: WasmReader | undefined): Uint8Array {
  const writer = new WasmWriter();
  writer.u32((before?.u32() ?? 0) + entries.length);
  if (before !== undefined) writer.bytes(before.bytes, before.position, before.end);
  for (const entry of entries) writer.bytes(Uint8Array.from(entry));
  return writer.finish();
}

function payloadOf(sections: readonly Section[], id: number): WasmReader | undefined {
  const payload = sections.find((section) => section.id === id)?.payload;
  return payload && new WasmReader(payload.bytes, payload.position, payload.end);
}

function countOf(sections: readonly Section[], id: number): number {
  return payloadOf(sections, id)?.u32() ?? 0;
}
