// The types of a component, passed over one by one (component model, "Binary Format"): enough to find what is a list of
// bytes, and what an interface declares.
import { WasmFault, type WasmReader } from "../../sdk/build/wasm-reader.ts";

/** Where something stands in the binary. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** One declaration of an interface's type. */
export interface Declaration extends Span {
  /** Of a type that is defined here: its index among those of the interface. */
  readonly defined?: number;
  /** Of an exported function: its name, and its type's index among those of the interface. */
  readonly exported?: { readonly name: string; readonly type: number };
}

/** What an instance type declares. */
export interface InterfaceType {
  /** Where it says how many they are. */
  readonly count: Span;
  readonly declarations: readonly Declaration[];
  /** How many types it has; the next would have this index. */
  readonly types: number;
}

const U8 = 0x7d;
const LIST = 0x70;
const INSTANCE_TYPE = 0x42;
/** Sorts of what a component defines, as the binary numbers them. */
export const SORT = { core: 0, function: 1, value: 2, type: 3, component: 4, instance: 5 } as const;
/** Types hold types; those of real components are three deep. */
const DEPTH_MAX = 16;

/** Passes over one type: what it declares where it is an interface's, and every definition `list<u8>` in it. What is not known is a `WasmFault`. */
export function readType(reader: WasmReader): {
  readonly type: InterfaceType | undefined;
  readonly byteLists: readonly Span[];
} {
  const types = new TypeReader(reader);
  return { type: types.type(), byteLists: types.byteLists };
}

class TypeReader {
  readonly #reader: WasmReader;
  readonly byteLists: Span[] = [];
  #depth = 0;

  constructor(reader: WasmReader) {
    this.#reader = reader;
  }

  type(): InterfaceType | undefined {
    const reader = this.#reader;
    const start = reader.position;
    const code = reader.byte();
    if (code === INSTANCE_TYPE || code === 0x41) return this.#interface(code === INSTANCE_TYPE);
    const define = DEFINED[code];
    if (define === undefined && !isPrimitive(code)) throw new WasmFault(`has a type ${code}, which is not known`);
    const isByteList = code === LIST && reader.bytes[reader.position] === U8;
    define?.(reader);
    if (isByteList) this.byteLists.push({ start, end: reader.position });
    return undefined;
  }

  #interface(isInstance: boolean): InterfaceType {
    const reader = this.#reader;
    if (++this.#depth > DEPTH_MAX) throw new WasmFault("has types in types in types");
    const declarations: Declaration[] = [];
    let types = 0;
    const start = reader.position;
    const size = reader.u32();
    const count = { start, end: reader.position };
    while (declarations.length < size) {
      const at = reader.position;
      const kind = reader.byte();
      let declared: Pick<Declaration, "defined" | "exported"> = {};
      if (kind === 1) {
        this.type();
        declared = { defined: types++ };
      } else if (kind === 2) {
        if (readAlias(reader).sort === SORT.type) types++;
      } else if (kind === 4 || (kind === 3 && !isInstance)) {
        const name = readExternName(reader);
        const { sort, index } = readDescription(reader);
        if (sort === SORT.type) types++;
        if (sort === SORT.function) declared = { exported: { name, type: index } };
      } else throw new WasmFault(`declares ${kind} in a type, which is not known`);
      declarations.push({ start: at, end: reader.position, ...declared });
    }
    this.#depth--;
    return { count, declarations, types };
  }
}

/** An alias: what it is of, and the name that it takes from an instance, where it does. */
export interface Alias {
  readonly sort: number;
  /** Of sort `core`. */
  readonly coreSort: number | undefined;
  readonly name: string | undefined;
  /** The instance. */
  readonly instance: number;
}

export function readAlias(reader: WasmReader): Alias {
  const { sort, coreSort } = readSort(reader);
  const target = reader.byte();
  const instance = reader.u32();
  // Of an outer component by number, else of an instance by name.
  const name = target === 2 ? undefined : reader.name();
  if (target === 2) reader.u32();
  return { sort, coreSort, name, instance };
}

/** A sort, which says of what kind an index is. */
export function readSort(reader: WasmReader): { readonly sort: number; readonly coreSort: number | undefined } {
  const sort = reader.byte();
  return { sort, coreSort: sort === SORT.core ? reader.byte() : undefined };
}

export function readExternName(reader: WasmReader): string {
  reader.byte();
  return reader.name();
}

/** What is imported or exported: of what sort, and the index of its type where it has one. */
export function readDescription(reader: WasmReader): { readonly sort: number; readonly index: number } {
  const { sort } = readSort(reader);
  if (sort !== SORT.type && sort !== SORT.value) return { sort, index: reader.u32() };
  // Equal to a type, or a resource of its own.
  const isEqual = reader.byte() === 0;
  return { sort, index: isEqual || sort === SORT.value ? reader.u32() : 0 };
}

function valueType(reader: WasmReader): void {
  reader.skipLeb(5);
}

function optional(reader: WasmReader): void {
  if (reader.byte() === 1) valueType(reader);
}

function each(reader: WasmReader, pass: (reader: WasmReader) => void): void {
  for (let count = reader.u32(); count > 0; count--) pass(reader);
}

function named(reader: WasmReader): void {
  reader.name();
  valueType(reader);
}

function functionType(reader: WasmReader): void {
  each(reader, named);
  // A result, or none, which is written as an empty list.
  if (reader.byte() === 0) valueType(reader);
  else reader.byte();
}

/** How each kind of type goes on behind its code. */
const DEFINED: Readonly<Record<number, (reader: WasmReader) => void>> = {
  0x72: (reader) => each(reader, named),
  0x71: (reader) =>
    each(reader, () => {
      reader.name();
      optional(reader);
      reader.byte();
    }),
  0x70: valueType,
  0x6f: (reader) => each(reader, valueType),
  0x6e: (reader) => each(reader, () => reader.name()),
  0x6d: (reader) => each(reader, () => reader.name()),
  0x6b: valueType,
  0x6a: (reader) => {
    optional(reader);
    optional(reader);
  },
  0x69: (reader) => reader.u32(),
  0x68: (reader) => reader.u32(),
  0x40: functionType,
  0x3f: (reader) => {
    reader.byte();
    if (reader.byte() === 1) reader.u32();
  },
};

function isPrimitive(code: number): boolean {
  return code >= 0x73 && code <= 0x7f;
}
