// Components whose bytes cross as places: Wasmtime's C API makes a value of 32 bytes of each element of a list, which
// costs 35 ms a megabyte. A pair of numbers crosses at once, and looks to the guest's code like the list that it was: both
// are flattened to a pointer and a length (component model, "Canonical ABI"). The proxy, whose the memories are, copies.
import { HANDLER_INTERFACE, HOST_INTERFACE } from "../../sdk/wit/world.ts";
import { readSections, WasmFault, WasmWriter, type Section } from "../../sdk/build/wasm-reader.ts";
import { ComponentItems, SECTION, type Interface } from "./component-items.ts";
import { SORT, type Span } from "./component-types.ts";

/** The export that makes room in the guest's memory: old pointer, old size, alignment, size; answers the pointer. */
export const REALLOCATE = "reallocate-bytes";

const FUNCTION = 0x40;
const RESULT = 0x6a;
const STRING = 0x73;
const U32 = 0x79;
const DECLARED_TYPE = 1;
const DECLARED_EXPORT = 4;
/** Declarations that `bytes` gets, beside its own. */
const ADDED = 2;
/** The encoding of strings that are Latin-1 where they can be, which is a byte for each character. */
const LATIN1 = Uint8Array.of(2);
/** `tuple<u32, u32>` */
const PLACE = Uint8Array.of(0x6f, 2, U32, U32);
const NOTHING = new Uint8Array();

/** A part of a binary, and what stands there instead. */
interface Patch extends Span {
  readonly bytes: Uint8Array;
}

/** The component with places for lists of bytes. `undefined` where it is not built as toolchains build: its bytes then cross as lists. */
export function placeBytes(component: Uint8Array): Uint8Array | undefined {
  try {
    const { bytes, isProvider } = rewrite(component);
    return isProvider ? bytes : undefined;
  } catch (error) {
    if (error instanceof WasmFault) return undefined;
    throw error;
  }
}

interface Rewritten {
  readonly bytes: Uint8Array;
  /** It exports `REALLOCATE`. */
  readonly isProvider: boolean;
}

function rewrite(component: Uint8Array): Rewritten {
  const items = new ComponentItems();
  const inner = new Map<number, Rewritten & Span>();
  for (const section of readSections(component, 1)) {
    if (section.id === SECTION.component) {
      const { position: start, end } = section.payload;
      inner.set(items.components, { ...rewrite(component.subarray(start, end)), start, end });
    }
    items.read(section);
  }
  const patches: Patch[] = hostPatches(items);
  const writer = new WasmWriter();
  const chunk = items.lifted.find(({ name }) => name === `${HANDLER_INTERFACE}#chunk`);
  const [provider] = [...items.instantiated].find(([, of]) => inner.get(of)?.isProvider === true) ?? [];
  const isLifting = chunk?.reallocate !== undefined;
  if (isLifting) {
    patches.push(...items.byteLists.map(toPlace));
    writeLift(writer, items, chunk.reallocate);
  } else if (provider !== undefined) writeAlias(writer, items, provider);
  for (const { bytes, start, end } of inner.values()) {
    // Beside a lifted interface stands a component that gives its functions their types, and has no code.
    const isTypes = isLifting && readSections(bytes, 1).every(({ id }) => id !== SECTION.coreModule);
    patches.push({ start, end, bytes: isTypes ? withPlaces(bytes) : bytes });
  }
  return {
    bytes: Buffer.concat([patched(component, patches), writer.finish()]),
    isProvider: isLifting || provider !== undefined,
  };
}

/** Every list of bytes among a component's own types as a place. */
function withPlaces(component: Uint8Array): Uint8Array {
  const items = new ComponentItems();
  for (const section of readSections(component, 1)) items.read(section);
  return patched(component, items.byteLists.map(toPlace));
}

function toPlace({ start, end }: Span): Patch {
  return { start, end, bytes: PLACE };
}

/**
 * What the host imports takes as places. What `bytes` answers is a string of Latin-1: a guest cannot be asked for room while
 * it calls, but a string crosses at once, and lies in the guest's memory as its bytes, behind a pointer and a length as the
 * list's were. Its texts are places too then, since the encoding of a function is that of all its strings.
 */
function hostPatches(items: ComponentItems): Patch[] {
  const { instance = -1, type = -1 } = items.imported.get(HOST_INTERFACE) ?? {};
  const host = items.interfaces.get(type);
  if (host === undefined) return [];
  const patches = host.byteLists.map(toPlace);
  const answering = host.type.declarations.find(({ exported }) => exported?.name === "bytes");
  if (answering === undefined) return patches;
  patches.push(...answerPatches(host, answering));
  for (const { utf8 } of items.loweredOf(instance, "bytes")) {
    if (utf8 === undefined) throw new WasmFault("has strings in another encoding than UTF-8");
    patches.push({ ...utf8, bytes: LATIN1 });
  }
  return patches;
}

/** The declaration of `bytes` goes to the end, behind a function type like its own whose result holds a string. */
function answerPatches({ type, byteLists }: Interface, answering: Span): readonly Patch[] {
  const { count, declarations, types } = type;
  const [list] = byteLists;
  const last = declarations.at(-1);
  const place = declarations.find(({ start, end }) => list !== undefined && list.start >= start && list.end <= end);
  if (last === undefined || place?.defined === undefined) return [];
  const added = new WasmWriter();
  added.bytes(Uint8Array.of(DECLARED_TYPE, RESULT, 1, STRING, 1, STRING));
  added.bytes(Uint8Array.of(DECLARED_TYPE, FUNCTION, 3));
  for (const name of ["name", "request", "payload"]) {
    added.name(name);
    writeType(added, place.defined);
  }
  added.byte(0);
  writeType(added, types);
  added.bytes(Uint8Array.of(DECLARED_EXPORT, 0));
  added.name("bytes");
  added.byte(SORT.function);
  added.u32(types + 1);
  const counted = new WasmWriter();
  counted.u32(declarations.length + ADDED);
  return [
    { ...count, bytes: counted.finish() },
    { ...answering, bytes: NOTHING },
    { start: last.end, end: last.end, bytes: added.finish() },
  ];
}

/** Lifts what makes room once more, for the host, and exports it. */
function writeLift(writer: WasmWriter, { types, functions }: ComponentItems, core: number): void {
  const type = new WasmWriter();
  type.bytes(Uint8Array.of(1, FUNCTION, 4));
  for (const name of ["pointer", "old-size", "alignment", "size"]) {
    type.name(name);
    type.byte(U32);
  }
  type.bytes(Uint8Array.of(0, U32));
  writer.section(SECTION.type, type.finish());
  const lift = new WasmWriter();
  lift.bytes(Uint8Array.of(1, 0, 0));
  lift.u32(core);
  lift.u32(0);
  lift.u32(types);
  writer.section(SECTION.canon, lift.finish());
  writeExport(writer, functions);
}

/** Passes on what an inner component exports. */
function writeAlias(writer: WasmWriter, { functions }: ComponentItems, instance: number): void {
  const alias = new WasmWriter();
  alias.bytes(Uint8Array.of(1, SORT.function, 0));
  alias.u32(instance);
  alias.name(REALLOCATE);
  writer.section(SECTION.alias, alias.finish());
  writeExport(writer, functions);
}

function writeExport(writer: WasmWriter, index: number): void {
  const exported = new WasmWriter();
  exported.bytes(Uint8Array.of(1, 0));
  exported.name(REALLOCATE);
  exported.byte(SORT.function);
  exported.u32(index);
  exported.byte(0);
  writer.section(SECTION.export, exported.finish());
}

/** The index of a type in the place of a type: a signed LEB128, so that names of types and numbers are told apart. */
function writeType(writer: WasmWriter, index: number): void {
  let rest = index;
  for (; rest > 0x3f; rest >>>= 7) writer.byte((rest & 0x7f) | 0x80);
  writer.byte(rest);
}

/** The sections with the patches in them; each patch lies in one section. */
function patched(component: Uint8Array, patches: readonly Patch[]): Uint8Array {
  const writer = new WasmWriter(component.length);
  writer.bytes(component, 0, 8);
  for (const section of readSections(component, 1)) writeSection(writer, component, section, patches);
  return writer.finish();
}

function writeSection(
  writer: WasmWriter,
  component: Uint8Array,
  { id, start, payload: { position, end } }: Section,
  patches: readonly Patch[],
): void {
  const own = patches.filter((patch) => patch.start >= position && patch.end <= end);
  if (own.length === 0) return writer.bytes(component, start, end);
  const payload = new WasmWriter(end - position);
  let reached = position;
  for (const patch of own.toSorted((a, b) => a.start - b.start)) {
    payload.bytes(component, reached, patch.start);
    payload.bytes(patch.bytes);
    reached = patch.end;
  }
  payload.bytes(component, reached, end);
  return writer.section(id, payload.finish());
}
