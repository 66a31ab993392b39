// The memory that a snapshot left, in few pieces: componentize-qjs writes ten thousand data segments, and an engine that
// starts an instance pays for each of them. Zeroes between two neighbours are written out, which costs the file little.
import { readSections, WasmFault, WasmReader, WasmWriter, type Section } from "./wasm-reader.ts";

const CORE_MODULE = 1;
const COMPONENT = 4;
const DATA = 11;
const DATA_COUNT = 12;
const I32_CONST = 0x41;
const END = 0x0b;
/** Zeroes that are written out rather than begin another segment. */
const GAP_MAX_BYTES = 4096;

interface Segment {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** The component with the data of its core modules merged, nested components included; what it does is the same. */
export function mergeData(component: Uint8Array): Uint8Array {
  return rewrite(component, readSections(component, 1), ({ id, payload }) => {
    const inner = payload.bytes.subarray(payload.position, payload.end);
    if (id === CORE_MODULE) return mergeModule(inner);
    return id === COMPONENT ? mergeData(inner) : undefined;
  });
}

function mergeModule(module: Uint8Array): Uint8Array {
  const sections = readSections(module, 0);
  // With a count, instructions may name segments by their number.
  if (sections.some(({ id }) => id === DATA_COUNT)) return module;
  return rewrite(module, sections, ({ id, payload }) => {
    const segments = id === DATA ? readSegments(payload) : undefined;
    return segments === undefined ? undefined : renderSegments(segments);
  });
}

/** Every section as it was, but for the payloads that `change` gives. */
function rewrite(
  bytes: Uint8Array,
  sections: readonly Section[],
  change: (section: Section) => Uint8Array | undefined,
): Uint8Array {
  const writer = new WasmWriter(bytes.length);
  writer.bytes(bytes, 0, 8);
  for (const section of sections) {
    const changed = change(section);
    if (changed === undefined) writer.bytes(bytes, section.start, section.payload.end);
    else writer.section(section.id, changed);
  }
  return writer.finish().slice();
}

/** The segments where each is for memory 0, at a constant, behind the one before; `undefined` where one is not. */
function readSegments(payload: WasmReader): readonly Segment[] | undefined {
  const { bytes } = payload;
  const section = new WasmReader(bytes, payload.position, payload.end);
  const segments: Segment[] = [];
  let reached = 0;
  for (let count = section.u32(); count > 0; count--) {
    if (section.u32() !== 0 || section.byte() !== I32_CONST) return undefined;
    const at = readSigned(section);
    if (section.byte() !== END || at < reached) return undefined;
    const { position: start, end: stop } = section.part(section.u32());
    segments.push({ at, bytes: bytes.subarray(start, stop) });
    reached = at + stop - start;
  }
  return segments;
}

function renderSegments(segments: readonly Segment[]): Uint8Array {
  const merged: { at: number; readonly content: WasmWriter }[] = [];
  for (const { at, bytes } of segments) {
    const last = merged.at(-1);
    const gap = last === undefined ? Number.POSITIVE_INFINITY : at - last.at - last.content.length;
    if (last !== undefined && gap <= GAP_MAX_BYTES) {
      last.content.bytes(ZEROES, 0, gap);
      last.content.bytes(bytes);
    } else {
      const content = new WasmWriter(bytes.length);
      content.bytes(bytes);
      merged.push({ at, content });
    }
  }
  const writer = new WasmWriter(merged.reduce((sum, { content }) => sum + content.length + 16, 8));
  writer.u32(merged.length);
  for (const { at, content } of merged) {
    writer.u32(0);
    writer.byte(I32_CONST);
    writeSigned(writer, at);
    writer.byte(END);
    writer.u32(content.length);
    writer.bytes(content.finish());
  }
  return writer.finish();
}

const ZEROES = new Uint8Array(GAP_MAX_BYTES);

/** LEB128, 32 bits signed, as a position in memory. */
function readSigned(reader: WasmReader): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = reader.byte();
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return (shift < 28 && (byte & 0x40) !== 0 ? value | (-1 << (shift + 7)) : value) >>> 0;
  }
  throw new WasmFault("a number is longer than five bytes");
}

function writeSigned(writer: WasmWriter, value: number): void {
  let rest = value | 0;
  for (;;) {
    const byte = rest & 0x7f;
    rest >>= 7;
    const isLast = (rest === 0 && (byte & 0x40) === 0) || (rest === -1 && (byte & 0x40) !== 0);
    writer.byte(isLast ? byte : byte | 0x80);
    if (isLast) return;
  }
}
