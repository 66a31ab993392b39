// What follows each WebAssembly opcode: enough to walk a function body instruction by instruction (WebAssembly 3.0
// without garbage collection, plus threads, legacy exceptions and relaxed SIMD). An opcode that is not here is refused:
// guessing its length would let the rest of the body be read wrong.
import { WasmFault, WasmReader } from "./wasm-reader.ts";

export const OP = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  try: 0x06,
  catch: 0x07,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  delegate: 0x18,
  catchAll: 0x19,
  tryTable: 0x1f,
  globalGet: 0x23,
  globalSet: 0x24,
  memoryGrow: 0x40,
  brOnNull: 0xd5,
  brOnNonNull: 0xd6,
} as const;

/** Labels that the branching instruction at `start` may go to; those of `try_table` are counted outside of it. */
export function readLabels(bytes: Uint8Array, start: number, opcode: number): readonly number[] {
  const reader = new WasmReader(bytes, start + 1);
  if (opcode === OP.brTable) return Array.from({ length: reader.u32() + 1 }, () => reader.u32());
  if (opcode !== OP.tryTable) return [reader.u32()];
  blockType(reader);
  return Array.from({ length: reader.u32() }, () => {
    if (reader.byte() <= 1) reader.u32();
    return reader.u32();
  });
}

/** Instructions whose cost grows with their last operand, a 32-bit count: `0xfc` and these. */
const BULK: ReadonlySet<number> = new Set([8, 10, 11, 12, 14, 15, 17]);

/** `prefix << 16 | sub-opcode` for prefixed instructions. */
export function isBulk(opcode: number): boolean {
  return opcode >>> 16 === 0xfc && BULK.has(opcode & 0xffff);
}

/** Passes over one instruction and its immediates; returns its opcode, prefixed ones as `prefix << 16 | sub-opcode`. */
export function readInstruction(reader: WasmReader): number {
  const opcode = reader.byte();
  if (opcode >= 0x28 && opcode <= 0x3e) {
    skipMemoryArgument(reader);
    return opcode;
  }
  if (opcode >= 0x45 && opcode <= 0xc4) return opcode;
  if (opcode >= 0xfb) return skipPrefixed(reader, opcode);
  const skip = IMMEDIATES[opcode];
  if (skip === undefined) throw unknown(opcode, reader);
  skip(reader);
  return opcode;
}

/** Passes over a value type: a byte, or a reference with its heap type. */
export function skipValueType(reader: WasmReader): void {
  const type = reader.byte();
  if (type === 0x63 || type === 0x64) reader.skipLeb(5);
  else if (type < 0x40) throw new WasmFault(`value type ${type} at byte ${reader.position} is not known`);
}

type Skip = (reader: WasmReader) => void;

const none: Skip = () => undefined;
const index: Skip = (reader) => reader.skipLeb(5);
const twoIndexes: Skip = (reader) => {
  reader.skipLeb(5);
  reader.skipLeb(5);
};
/** A block type is one byte, or a type's index, or a reference type. */
const blockType: Skip = (reader) => {
  const first = reader.bytes[reader.position];
  if (first === 0x63 || first === 0x64) skipValueType(reader);
  else reader.skipLeb(5);
};

const IMMEDIATES: readonly (Skip | undefined)[] = table([
  [0x00, none], // unreachable
  [0x01, none], // nop
  [0x02, blockType], // block
  [0x03, blockType], // loop
  [0x04, blockType], // if
  [0x05, none], // else
  [0x06, blockType], // try
  [0x07, index], // catch
  [0x08, index], // throw
  [0x09, index], // rethrow
  [0x0a, none], // throw_ref
  [0x0b, none], // end
  [0x0c, index], // br
  [0x0d, index], // br_if
  [0x0e, skipBranchTable], // br_table
  [0x0f, none], // return
  [0x10, index], // call
  [0x11, twoIndexes], // call_indirect
  [0x12, index], // return_call
  [0x13, twoIndexes], // return_call_indirect
  [0x14, index], // call_ref
  [0x15, index], // return_call_ref
  [0x18, index], // delegate
  [0x19, none], // catch_all
  [0x1a, none], // drop
  [0x1b, none], // select
  [0x1c, skipTypes], // select with types
  [0x1f, skipTryTable], // try_table
  [0x20, index], // local.get
  [0x21, index], // local.set
  [0x22, index], // local.tee
  [0x23, index], // global.get
  [0x24, index], // global.set
  [0x25, index], // table.get
  [0x26, index], // table.set
  [0x3f, index], // memory.size
  [0x40, index], // memory.grow
  [0x41, (reader) => reader.skipLeb(5)], // i32.const
  [0x42, (reader) => reader.skipLeb(10)], // i64.const
  [0x43, (reader) => reader.skip(4)], // f32.const
  [0x44, (reader) => reader.skip(8)], // f64.const
  [0xd0, index], // ref.null
  [0xd1, none], // ref.is_null
  [0xd2, index], // ref.func
  [0xd3, none], // ref.eq
  [0xd4, none], // ref.as_non_null
  [0xd5, index], // br_on_null
  [0xd6, index], // br_on_non_null
]);

function table(entries: readonly (readonly [number, Skip])[]): readonly (Skip | undefined)[] {
  const skips: (Skip | undefined)[] = Array.from({ length: 256 });
  for (const [opcode, skip] of entries) skips[opcode] = skip;
  return skips;
}

function skipPrefixed(reader: WasmReader, prefix: number): number {
  const sub = reader.u32();
  switch (prefix) {
    case 0xfc:
      skipBulk(reader, sub);
      break;
    case 0xfd:
      skipVector(reader, sub);
      break;
    case 0xfe:
      if (sub === 3) reader.skip(1);
      else if (sub <= 2 || (sub >= 0x10 && sub <= 0x4e)) skipMemoryArgument(reader);
      else throw unknown((prefix << 16) | sub, reader);
      break;
    default:
      throw new WasmFault(`opcode 0x${prefix.toString(16)} (garbage collection) is not accepted`);
  }
  return (prefix << 16) | sub;
}

function skipBulk(reader: WasmReader, sub: number): void {
  if (sub <= 7 || (sub >= 19 && sub <= 22)) return;
  // memory.init, memory.copy, table.init, table.copy name two things, the others one.
  if (sub === 8 || sub === 10 || sub === 12 || sub === 14) twoIndexes(reader);
  else if (sub <= 17) index(reader);
  else throw unknown((0xfc << 16) | sub, reader);
}

function skipVector(reader: WasmReader, sub: number): void {
  if (sub <= 11 || sub === 92 || sub === 93) skipMemoryArgument(reader);
  else if (sub === 12 || sub === 13) reader.skip(16);
  else if (sub >= 21 && sub <= 34) reader.skip(1);
  else if (sub >= 84 && sub <= 91) {
    skipMemoryArgument(reader);
    reader.skip(1);
  } else if (sub > 275) throw unknown((0xfd << 16) | sub, reader);
}

/** Alignment, then the memory's index where bit 6 says so, then the offset. */
function skipMemoryArgument(reader: WasmReader): void {
  if ((reader.u32() & 0x40) !== 0) reader.skipLeb(5);
  reader.skipLeb(10);
}

function skipBranchTable(reader: WasmReader): void {
  for (let left = reader.u32() + 1; left > 0; left--) reader.skipLeb(5);
}

function skipTypes(reader: WasmReader): void {
  for (let left = reader.u32(); left > 0; left--) skipValueType(reader);
}

function skipTryTable(reader: WasmReader): void {
  blockType(reader);
  for (let left = reader.u32(); left > 0; left--) {
    const kind = reader.byte();
    if (kind > 3) throw new WasmFault(`catch clause ${kind} at byte ${reader.position} is not known`);
    if (kind <= 1) reader.skipLeb(5);
    reader.skipLeb(5);
  }
}

function unknown(opcode: number, reader: WasmReader): WasmFault {
  return new WasmFault(`opcode 0x${opcode.toString(16)} before byte ${reader.position} is not known`);
}
