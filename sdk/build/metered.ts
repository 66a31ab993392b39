// How a metered module spends fuel, and the check that a module does. Fuel is one mutable i32 that the host imports into
// every module of a component: each loop turn and each function entry takes one, and below zero the module traps. Bulk
// instructions take one more for each 64 items, through a function of their own. A trap cannot be caught by the guest.
import { isBulk, OP, readInstruction, skipValueType } from "./opcodes.ts";
import { PATH_MAX_BYTES, PathCost } from "./path-cost.ts";
import { readSections, WasmFault, WasmReader, type Section } from "./wasm-reader.ts";

/** Where the fuel comes from: the import's module and name. */
export const FUEL_IMPORT = { module: "vespid", name: "fuel" } as const;
/** Names, with a number behind, by which a metered module exports its own mutable globals: what a host puts back to reset a guest. */
export const STATE_EXPORT = "vespid:state";
/** JavaScriptCore keeps larger functions in its slow tier for ever. */
export const BODY_MAX_BYTES = 100_000;

/** Locals of one function: all are set to zero on each entry, which costs one unit. */
const LOCALS_MAX = 2000;
/** What the metering pass inserts and renumbers makes a path longer, but not twice as long. */
const METERED_PATH_MAX_BYTES = 2 * PATH_MAX_BYTES;

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const;

const KIND = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;
const I32 = 0x7f;

/** What a module imports, counted as far as metering needs it. */
export interface Imports {
  readonly functions: number;
  readonly globals: number;
  /** Index of the fuel among the globals, where it is imported. */
  readonly fuel: number | undefined;
}

/** `global.get fuel; i32.const 1; i32.sub; global.set fuel; global.get fuel; i32.const 0; i32.lt_s; if; unreachable; end` */
export function spendOne(fuel: number): Uint8Array {
  const index = leb(fuel);
  return Uint8Array.of(0x23, ...index, 0x41, 1, 0x6b, 0x24, ...index, 0x23, ...index, ...TRAP_BELOW_ZERO);
}

/** Body of the function that bulk instructions pass their count through: takes a 64th of it and returns it. */
export function spendBulkBody(fuel: number): Uint8Array {
  const index = leb(fuel);
  const take = [0x23, ...index, 0x20, 0, 0x41, 6, 0x76, 0x6b, 0x24, ...index, 0x23, ...index];
  return Uint8Array.of(0, ...take, ...TRAP_BELOW_ZERO, 0x20, 0, OP.end);
}

const TRAP_BELOW_ZERO = [0x41, 0, 0x48, 0x04, 0x40, 0x00, 0x0b];

/** Imports of a module; refuses what metering and limits do not cover. */
export function readImports(sections: readonly Section[]): Imports {
  const payload = sections.find(({ id }) => id === SECTION.import)?.payload;
  const found = { functions: 0, globals: 0, fuel: undefined as number | undefined };
  if (payload === undefined) return found;
  const reader = new WasmReader(payload.bytes, payload.position, payload.end);
  for (let left = reader.u32(); left > 0; left--) {
    const module = reader.name();
    const name = reader.name();
    const kind = reader.byte();
    if (kind === KIND.global) {
      const type = reader.bytes[reader.position];
      // A reference's type is longer than a byte: read short, everything behind it would be counted wrong.
      skipValueType(reader);
      const isMutable = reader.byte() === 1;
      if (module === FUEL_IMPORT.module) {
        if (name !== FUEL_IMPORT.name || type !== I32 || !isMutable || found.fuel !== undefined) {
          throw new WasmFault(`imports "${module}" "${name}" as something else than fuel`);
        }
        found.fuel = found.globals;
      }
      found.globals++;
      continue;
    }
    if (module === FUEL_IMPORT.module) throw new WasmFault(`imports "${module}" "${name}" as something else than fuel`);
    if (kind === KIND.function) found.functions++;
    skipImportType(reader, kind);
  }
  return found;
}

/** Passes over what follows an import's kind. */
export function skipImportType(reader: WasmReader, kind: number): void {
  if (kind === KIND.function) reader.u32();
  else if (kind === KIND.table) {
    skipValueType(reader);
    readLimits(reader);
  } else if (kind === KIND.memory) readLimits(reader);
  else if (kind === KIND.global) {
    skipValueType(reader);
    reader.byte();
  } else if (kind === KIND.tag) {
    reader.byte();
    reader.u32();
  } else throw new WasmFault(`import kind ${kind} is not known`);
}

/** Limits of a table or memory; shared and 64-bit ones are refused, since neither fuel nor the memory limit covers them. */
export function readLimits(reader: WasmReader): { readonly min: number; readonly max: number | undefined } {
  const flags = reader.byte();
  if (flags > 1) throw new WasmFault("has a shared or 64-bit memory or table, which is not accepted");
  const min = reader.u32();
  return { min, max: flags === 1 ? reader.u32() : undefined };
}

/** Says why a module's fuel cannot be trusted; `undefined` where every loop and every function spends it. */
export function findUnmetered(bytes: Uint8Array): string | undefined {
  const steps = findUnmeteredInSteps(bytes);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The same in steps that yield the position reached: an engine's core takes long enough that a busy proxy does other work in between. */
export function* findUnmeteredInSteps(bytes: Uint8Array): Generator<number, string | undefined> {
  try {
    return yield* checkModule(bytes);
  } catch (error) {
    if (error instanceof WasmFault) return error.message;
    throw error;
  }
}

function* checkModule(bytes: Uint8Array): Generator<number, string | undefined> {
  const sections = readSections(bytes, 0);
  checkOrder(sections);
  const imports = readImports(sections);
  const code = sections.find(({ id }) => id === SECTION.code)?.payload;
  if (code === undefined) return undefined;
  const { fuel } = imports;
  if (fuel === undefined) return "does not import fuel";
  if (exportsGlobal(sections, fuel)) return "exports its fuel";

  const count = code.u32();
  const expected = { spend: spendOne(fuel), charge: imports.functions + count - 1, fuel };
  for (let index = 0; index < count; index++) {
    const body = code.part(code.u32());
    if (index === count - 1) {
      if (!startsWith(body, spendBulkBody(fuel))) return "has no function that charges for bulk instructions";
    } else {
      const reason = checkBody(body, expected);
      if (reason !== undefined) return `function ${imports.functions + index} ${reason}`;
      yield body.end;
    }
  }
  return undefined;
}

interface Expected {
  readonly spend: Uint8Array;
  readonly charge: number;
  readonly fuel: number;
}

function checkBody(body: WasmReader, { spend, charge, fuel }: Expected): string | undefined {
  if (body.end - body.position > BODY_MAX_BYTES) return `is larger than ${BODY_MAX_BYTES} bytes`;
  skipLocals(body);
  if (!startsWith(body, spend)) return "does not spend fuel when it is entered";
  body.skip(spend.length);
  const path = new PathCost(METERED_PATH_MAX_BYTES);
  let isCharged = false;
  while (!body.isAtEnd) {
    if (startsWith(body, spend)) {
      body.skip(spend.length);
      path.spend();
      isCharged = false;
      continue;
    }
    const start = body.position;
    const opcode = readInstruction(body);
    const length = body.position - start;
    if (path.isDue(opcode, length)) return `has too much code before byte ${start} that spends no fuel`;
    path.pass(opcode, length, body.bytes, start);
    if (opcode === OP.loop) {
      if (!startsWith(body, spend)) return `has a loop at byte ${start} that spends no fuel`;
    } else if (isBulk(opcode) && !isCharged) return `has a bulk instruction at byte ${start} that spends no fuel`;
    else if (opcode === OP.globalSet && operandOf(body, start) === fuel) return `sets the fuel itself at byte ${start}`;
    isCharged = opcode === OP.call && operandOf(body, start) === charge;
  }
  return undefined;
}

/** The index that the one-byte instruction at `start` names. */
function operandOf(reader: WasmReader, start: number): number {
  return new WasmReader(reader.bytes, start + 1, reader.end).u32();
}

/** Sections that are not custom come once each, in the specification's order; the second of a kind would go unseen. */
function checkOrder(sections: readonly Section[]): void {
  const seen = new Set<number>();
  for (const { id } of sections) {
    if (id === SECTION.custom) continue;
    if (seen.has(id)) throw new WasmFault(`has section ${id} twice`);
    seen.add(id);
  }
}

function exportsGlobal(sections: readonly Section[], global: number): boolean {
  const payload = sections.find(({ id }) => id === SECTION.export)?.payload;
  if (payload === undefined) return false;
  const reader = new WasmReader(payload.bytes, payload.position, payload.end);
  for (let left = reader.u32(); left > 0; left--) {
    reader.name();
    const kind = reader.byte();
    if (reader.u32() === global && kind === KIND.global) return true;
  }
  return false;
}

/** Passes over a body's declarations of locals. */
export function skipLocals(body: WasmReader): void {
  let locals = 0;
  for (let left = body.u32(); left > 0; left--) {
    locals += body.u32();
    skipValueType(body);
  }
  if (locals > LOCALS_MAX) throw new WasmFault(`has a function of ${locals} locals, limit is ${LOCALS_MAX}`);
}

function startsWith(reader: WasmReader, expected: Uint8Array): boolean {
  if (reader.end - reader.position < expected.length) return false;
  for (let index = 0; index < expected.length; index++) {
    if (reader.bytes[reader.position + index] !== expected[index]) return false;
  }
  return true;
}

/** An index as code holds it. */
export function leb(value: number): readonly number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}
