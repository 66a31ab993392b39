// The metering pass: a module that spends fuel, from one that does not. The fuel becomes the last imported global, so
// the module's own globals move up by one; nothing else changes its index. Those that change are exported besides, so
// that a host can put a guest back to where it was. Custom sections go: names would be wrong.
import {
  BODY_MAX_BYTES,
  FUEL_IMPORT,
  readImports,
  readLimits,
  SECTION,
  STATE_EXPORT,
  skipLocals,
  spendBulkBody,
  spendOne,
  type Imports,
} from "./metered.ts";
import { isBulk, OP, readInstruction, skipValueType } from "./opcodes.ts";
import { PATH_MAX_BYTES, PathCost } from "./path-cost.ts";
import { readSections, WasmFault, WasmReader, WasmWriter, type Section } from "./wasm-reader.ts";

/** Elements that a table of a guest may grow to; QuickJS's own has a few thousand. */
const TABLE_MAX = 65_536;
/** Tables of one module: outside of the memory limit, so few. */
const TABLES_MAX = 4;
/** The call that is inserted before a bulk instruction. */
const CALL_MAX_BYTES = 6;
const GLOBAL = 3;
const I32 = 0x7f;

/** The metered form of a core module. Throws `WasmFault` where the module is malformed or uses what cannot be bounded. */
export function meterModule(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const sections = readSections(bytes, 0);
  const imports = readImports(sections);
  if (imports.fuel !== undefined) throw new WasmFault("imports fuel already");
  const functions = countOf(sections, SECTION.code);
  const state = functions > 0 ? mutableGlobals(sections, imports.globals + 1) : [];
  const shape: Shape = { imports, types: countOf(sections, SECTION.type), functions, state };

  const writer = new WasmWriter(bytes.length * 2);
  writer.bytes(HEADER);
  let isImported = false;
  let isExported = state.length === 0;
  for (const section of sections) {
    // The import section comes second; a module without one gets it before whatever comes next.
    if (!isImported && section.id > SECTION.import) {
      isImported = true;
      if (shape.functions > 0) writer.section(SECTION.import, addImport(undefined));
    }
    if (!isExported && section.id > SECTION.export) {
      isExported = true;
      writer.section(SECTION.export, exportState(new WasmWriter(), 0, state));
    }
    if (section.id === SECTION.custom) continue;
    if (section.id === SECTION.export) isExported = true;
    if (section.id === SECTION.import) isImported = true;
    writer.section(section.id, rewrite(section, shape));
  }
  return writer.finish().slice();
}

interface Shape {
  readonly imports: Imports;
  /** Types of the module; the charging function's comes behind them. */
  readonly types: number;
  /** Functions with a body; a module without any is not metered. */
  readonly functions: number;
  /** Own globals that change, by their index behind the fuel. */
  readonly state: readonly number[];
}

const HEADER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

function rewrite({ id, payload }: Section, shape: Shape): Uint8Array {
  if (id === SECTION.table) return limitTables(payload);
  if (id === SECTION.memory) checkMemories(payload);
  if (shape.functions === 0) return payload.bytes.subarray(payload.position, payload.end);
  switch (id) {
    case SECTION.type:
      return addType(payload);
    case SECTION.import:
      return addImport(payload);
    case SECTION.function:
      return append(payload, [shape.types]);
    case SECTION.global:
      return moveGlobals(payload, shape.imports.globals, readGlobals);
    case SECTION.export:
      return moveExports(payload, shape);
    case SECTION.element:
      return moveGlobals(payload, shape.imports.globals, readElements);
    case SECTION.data:
      return moveGlobals(payload, shape.imports.globals, readData);
    case SECTION.code:
      return meterCode(payload, shape);
    default:
      return payload.bytes.subarray(payload.position, payload.end);
  }
}

function countOf(sections: readonly Section[], id: number): number {
  const payload = sections.find((section) => section.id === id)?.payload;
  return payload === undefined ? 0 : new WasmReader(payload.bytes, payload.position, payload.end).u32();
}

/** A vector with `entries` bytes, one entry's worth, behind what it has. */
function append(payload: WasmReader, entry: readonly number[]): Uint8Array {
  const writer = new WasmWriter(payload.end - payload.position + 16);
  writer.u32(payload.u32() + 1);
  writer.bytes(payload.bytes, payload.position, payload.end);
  for (const byte of entry) writer.u32(byte);
  return writer.finish();
}

function addType(payload: WasmReader): Uint8Array {
  const reader = new WasmReader(payload.bytes, payload.position, payload.end);
  for (let left = reader.u32(); left > 0; left--) {
    if (reader.byte() !== 0x60)
      throw new WasmFault("has types of the garbage collection proposal, which is not accepted");
    for (let lists = 0; lists < 2; lists++) for (let types = reader.u32(); types > 0; types--) skipValueType(reader);
  }
  // The charging function: (i32) -> i32.
  return append(payload, [0x60, 1, I32, 1, I32]);
}

function addImport(payload: WasmReader | undefined): Uint8Array {
  const writer = new WasmWriter();
  writer.u32(payload === undefined ? 1 : payload.u32() + 1);
  if (payload !== undefined) writer.bytes(payload.bytes, payload.position, payload.end);
  writer.name(FUEL_IMPORT.module);
  writer.name(FUEL_IMPORT.name);
  writer.byte(GLOBAL);
  writer.byte(I32);
  writer.byte(1);
  return writer.finish();
}

function limitTables(payload: WasmReader): Uint8Array {
  const writer = new WasmWriter();
  const count = payload.u32();
  if (count > TABLES_MAX) throw new WasmFault(`has ${count} tables, limit is ${TABLES_MAX}`);
  writer.u32(count);
  for (let left = count; left > 0; left--) {
    const start = payload.position;
    // A table with an initial value begins with 0x40; its expression would have to be walked, and no toolchain makes one.
    if (payload.bytes[start] === 0x40) throw new WasmFault("has a table with an initial value, which is not accepted");
    skipValueType(payload);
    writer.bytes(payload.bytes, start, payload.position);
    const { min, max } = readLimits(payload);
    if (min > TABLE_MAX) throw new WasmFault(`has a table of ${min} elements, limit is ${TABLE_MAX}`);
    writer.byte(1);
    writer.u32(min);
    writer.u32(Math.min(max ?? TABLE_MAX, TABLE_MAX));
  }
  return writer.finish();
}

function checkMemories(payload: WasmReader): void {
  const reader = new WasmReader(payload.bytes, payload.position, payload.end);
  const count = reader.u32();
  if (count > 1) throw new WasmFault(`has ${count} memories, limit is 1`);
  for (let left = count; left > 0; left--) readLimits(reader);
}

/** Own globals that change; the first has index `first`. */
function mutableGlobals(sections: readonly Section[], first: number): readonly number[] {
  const payload = sections.find(({ id }) => id === SECTION.global)?.payload;
  if (payload === undefined) return [];
  const reader = new WasmReader(payload.bytes, payload.position, payload.end);
  const found: number[] = [];
  const count = reader.u32();
  for (let index = 0; index < count; index++) {
    skipValueType(reader);
    if (reader.byte() === 1) found.push(first + index);
    while (readInstruction(reader) !== OP.end);
  }
  return found;
}

/** Adds the exports of the globals that change to a list of `count` that `writer` holds. */
function exportState(exports: WasmWriter, count: number, state: readonly number[]): Uint8Array {
  const writer = new WasmWriter();
  writer.u32(count + state.length);
  writer.bytes(exports.finish());
  state.forEach((index, number) => {
    writer.name(`${STATE_EXPORT}${number}`);
    writer.byte(GLOBAL);
    writer.u32(index);
  });
  return writer.finish();
}

function moveExports(payload: WasmReader, { imports: { globals: from }, state }: Shape): Uint8Array {
  const writer = new WasmWriter(payload.end - payload.position + 16);
  const count = payload.u32();
  for (let left = count; left > 0; left--) {
    const start = payload.position;
    payload.name();
    const kind = payload.byte();
    writer.bytes(payload.bytes, start, payload.position);
    const index = payload.u32();
    writer.u32(kind === GLOBAL && index >= from ? index + 1 : index);
  }
  return exportState(writer, count, state);
}

/** Copies a section, with every `global.get` of its constant expressions moved. `read` walks it and calls back for each expression. */
function moveGlobals(
  payload: WasmReader,
  from: number,
  read: (reader: WasmReader, expression: () => void) => void,
): Uint8Array {
  const copy = new Copy(payload);
  read(payload, () => {
    for (let opcode = -1; opcode !== OP.end;) {
      const start = payload.position;
      opcode = readInstruction(payload);
      if (opcode === OP.globalGet) copy.moveIndex(start, from);
    }
  });
  return copy.finish();
}

function readGlobals(reader: WasmReader, expression: () => void): void {
  for (let left = reader.u32(); left > 0; left--) {
    skipValueType(reader);
    reader.byte();
    expression();
  }
}

function readElements(reader: WasmReader, expression: () => void): void {
  for (let left = reader.u32(); left > 0; left--) {
    const form = reader.u32();
    if (form > 7) throw new WasmFault(`element segment of form ${form} is not known`);
    const isActive = (form & 1) === 0;
    const isExplicit = (form & 2) !== 0;
    const holdsExpressions = (form & 4) !== 0;
    if (isActive && isExplicit) reader.u32();
    if (isActive) expression();
    if (!isActive || isExplicit) {
      if (holdsExpressions) skipValueType(reader);
      else reader.byte();
    }
    for (let items = reader.u32(); items > 0; items--) {
      if (holdsExpressions) expression();
      else reader.u32();
    }
  }
}

function readData(reader: WasmReader, expression: () => void): void {
  for (let left = reader.u32(); left > 0; left--) {
    const form = reader.u32();
    if (form > 2) throw new WasmFault(`data segment of form ${form} is not known`);
    if (form === 2) reader.u32();
    if (form !== 1) expression();
    reader.skip(reader.u32());
  }
}

function meterCode(payload: WasmReader, { imports, functions }: Shape): Uint8Array {
  const fuel = imports.globals;
  const spend = spendOne(fuel);
  const charge = imports.functions + functions;
  const writer = new WasmWriter((payload.end - payload.position) * 2);
  writer.u32(payload.u32() + 1);
  for (let index = 0; index < functions; index++) {
    const body = meterBody(payload.part(payload.u32()), { fuel, spend, charge });
    if (body.length > BODY_MAX_BYTES) {
      throw new WasmFault(
        `function ${imports.functions + index} is ${body.length} bytes when metered, limit is ${BODY_MAX_BYTES}`,
      );
    }
    writer.u32(body.length);
    writer.bytes(body);
  }
  const last = spendBulkBody(fuel);
  writer.u32(last.length);
  writer.bytes(last);
  return writer.finish();
}

function meterBody(
  body: WasmReader,
  { fuel, spend, charge }: { readonly fuel: number; readonly spend: Uint8Array; readonly charge: number },
): Uint8Array {
  const copy = new Copy(body);
  skipLocals(body);
  copy.insert(body.position, spend);
  const path = new PathCost(PATH_MAX_BYTES);
  while (!body.isAtEnd) {
    const start = body.position;
    const opcode = readInstruction(body);
    const length = body.position - start + (isBulk(opcode) ? CALL_MAX_BYTES : 0);
    if (path.isDue(opcode, length)) {
      copy.insert(start, spend);
      path.spend();
    }
    path.pass(opcode, length, body.bytes, start);
    if (opcode === OP.loop) {
      copy.insert(body.position, spend);
      path.spend();
    } else if (opcode === OP.globalGet || opcode === OP.globalSet) copy.moveIndex(start, fuel);
    else if (isBulk(opcode)) copy.insertCall(start, charge);
  }
  return copy.finish();
}

/** A copy of a part of a binary with changes at rising positions; what lies between is copied in runs. */
class Copy {
  readonly #source: WasmReader;
  readonly #writer: WasmWriter;
  #copied: number;

  constructor(source: WasmReader) {
    this.#source = source;
    this.#copied = source.position;
    this.#writer = new WasmWriter((source.end - source.position) * 1.5 + 64);
  }

  insert(at: number, bytes: Uint8Array): void {
    this.#writer.bytes(this.#source.bytes, this.#copied, at);
    this.#copied = at;
    this.#writer.bytes(bytes);
  }

  insertCall(at: number, target: number): void {
    this.insert(at, EMPTY);
    this.#writer.byte(OP.call);
    this.#writer.u32(target);
  }

  /** The instruction at `start` names a global: those from `from` on have moved up by one. */
  moveIndex(start: number, from: number): void {
    const operand = new WasmReader(this.#source.bytes, start + 1, this.#source.end);
    const index = operand.u32();
    if (index < from) return;
    this.insert(start + 1, EMPTY);
    this.#writer.u32(index + 1);
    this.#copied = operand.position;
  }

  finish(): Uint8Array {
    this.insert(this.#source.end, EMPTY);
    return this.#writer.finish();
  }
}

const EMPTY = new Uint8Array(0);
