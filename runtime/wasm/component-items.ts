// What the sections of a component define, counted: an item is named by its number among those of its sort.
import { WasmFault, type Section, type WasmReader } from "../../sdk/build/wasm-reader.ts";
import {
  readAlias,
  readDescription,
  readExternName,
  readSort,
  SORT,
  readType,
  type InterfaceType,
  type Span,
} from "./component-types.ts";

/** Sections by their ids. */
export const SECTION = {
  coreModule: 1,
  coreInstance: 2,
  component: 4,
  instance: 5,
  alias: 6,
  type: 7,
  canon: 8,
  import: 10,
  export: 11,
} as const;

/** Sorts of what a module defines or is. */
export const CORE_SORT = { function: 0, module: 0x11 } as const;

/** A core function that is a component's. */
export interface Lifted {
  /** By what name it was exported by its module, where it was. */
  readonly name: string | undefined;
  /** The function that makes room in its memory. */
  readonly reallocate: number | undefined;
}

/** A function that modules may call. */
export interface Lowered {
  readonly function: number;
  /** Where it says that its strings are UTF-8, where it does. */
  readonly utf8: Span | undefined;
}

/** The type of an interface, with the lists of bytes in it. */
export interface Interface {
  readonly type: InterfaceType;
  readonly byteLists: readonly Span[];
}

/** What stands in one component; those inside of it are not looked into. */
export class ComponentItems {
  types = 0;
  functions = 0;
  instances = 0;
  components = 0;
  /** Core modules. */
  modules = 0;
  /** Of which module each core instance is, where it is of one. */
  readonly linked: (number | undefined)[] = [];
  /** Core functions, by the names that aliases took them from modules by. */
  readonly #core: (string | undefined)[] = [];
  readonly lifted: Lifted[] = [];
  /** Types of interfaces, by their numbers. */
  readonly interfaces = new Map<number, Interface>();
  /** Numbers of imported instances and of their types, by name. */
  readonly imported = new Map<string, { readonly instance: number; readonly type: number }>();
  /** Functions that aliases took from instances, by their numbers. */
  readonly #aliased = new Map<number, { readonly instance: number; readonly name: string }>();
  readonly #lowered: Lowered[] = [];
  /** Lists of bytes that are types of its own, in no interface. */
  readonly byteLists: Span[] = [];
  /** Of which component each instance is, where it is of one. */
  readonly instantiated = new Map<number, number>();

  /** Reads the next section; they come in order. */
  read({ id, payload }: Section): void {
    const read = this.#readers[id];
    if (id === SECTION.component) this.components++;
    if (id === SECTION.coreModule) this.modules++;
    if (read === undefined) return;
    for (let count = payload.u32(); count > 0; count--) read(payload);
  }

  /** How a function of an imported instance is made one of modules', as often as it is. */
  loweredOf(instance: number, name: string): readonly Lowered[] {
    return this.#lowered.filter(({ function: index }) => {
      const aliased = this.#aliased.get(index);
      return aliased?.instance === instance && aliased.name === name;
    });
  }

  get coreFunctions(): number {
    return this.#core.length;
  }

  readonly #readers: Readonly<Record<number, (reader: WasmReader) => void>> = {
    [SECTION.coreInstance]: (reader) => this.#coreInstance(reader),
    [SECTION.instance]: (reader) => this.#instance(reader),
    [SECTION.alias]: (reader) => {
      const { sort, coreSort, name, instance } = readAlias(reader);
      if (sort === SORT.function && name !== undefined) this.#aliased.set(this.functions, { instance, name });
      if (sort !== SORT.core) this.#count(sort);
      else if (coreSort === CORE_SORT.function) this.#core.push(name);
      else if (coreSort === CORE_SORT.module) this.modules++;
    },
    [SECTION.type]: (reader) => {
      const { type, byteLists } = readType(reader);
      if (type === undefined) this.byteLists.push(...byteLists);
      else this.interfaces.set(this.types, { type, byteLists });
      this.types++;
    },
    [SECTION.canon]: (reader) => this.#canon(reader),
    [SECTION.import]: (reader) => {
      const name = readExternName(reader);
      const { sort, index } = readDescription(reader);
      if (sort === SORT.instance) this.imported.set(name, { instance: this.instances, type: index });
      // Of what is core only modules are imported.
      if (sort === SORT.core) this.modules++;
      this.#count(sort);
    },
    [SECTION.export]: (reader) => {
      readExternName(reader);
      const { sort } = readSort(reader);
      reader.u32();
      if (reader.byte() === 1) readDescription(reader);
      this.#count(sort);
    },
  };

  #coreInstance(reader: WasmReader): void {
    const isInstantiated = reader.byte() === 0;
    this.linked.push(isInstantiated ? reader.u32() : undefined);
    for (let count = reader.u32(); count > 0; count--) {
      reader.name();
      reader.byte();
      reader.u32();
    }
  }

  #instance(reader: WasmReader): void {
    const isInstantiated = reader.byte() === 0;
    if (isInstantiated) this.instantiated.set(this.instances, reader.u32());
    for (let count = reader.u32(); count > 0; count--) {
      if (isInstantiated) reader.name();
      else readExternName(reader);
      readSort(reader);
      reader.u32();
    }
    this.instances++;
  }

  #canon(reader: WasmReader): void {
    const kind = reader.byte();
    if (kind > 4) throw new WasmFault(`has a canonical function ${kind}, which is not known`);
    // Functions of resources, which modules call.
    if (kind > 1) reader.u32();
    else if (reader.byte() !== 0) throw new WasmFault("has a canonical function of an unknown kind");
    else {
      const index = reader.u32();
      const { reallocate, utf8 } = readOptions(reader);
      if (kind === 0) {
        reader.u32();
        this.lifted.push({ name: this.#core[index], reallocate });
        this.functions++;
        return;
      }
      this.#lowered.push({ function: index, utf8 });
    }
    this.#core.push(undefined);
  }

  #count(sort: number): void {
    if (sort === SORT.function) this.functions++;
    else if (sort === SORT.type) this.types++;
    else if (sort === SORT.component) this.components++;
    else if (sort === SORT.instance) this.instances++;
  }
}

/** The options of a canonical function: the function that makes room and the encoding, where they are named. */
function readOptions(reader: WasmReader): {
  readonly reallocate: number | undefined;
  readonly utf8: Span | undefined;
} {
  let reallocate: number | undefined;
  let utf8: Span | undefined;
  for (let count = reader.u32(); count > 0; count--) {
    const start = reader.position;
    const option = reader.byte();
    if (option === 0) utf8 = { start, end: reader.position };
    // Encodings of strings, and then what has an index: memory, reallocation, what runs after the return.
    if (option <= 2) continue;
    if (option > 5) throw new WasmFault(`has an option ${option} of a canonical function, which is not known`);
    const index = reader.u32();
    if (option === 4) reallocate = index;
  }
  return { reallocate, utf8 };
}
