// Components that can be put back to what they were: each module that has globals which change gets a function that keeps
// them, and the component exports those functions, numbered, for the proxy to call.
import { readSections, WasmFault, WasmWriter } from "../../sdk/build/wasm-reader.ts";
import { ComponentItems, CORE_SORT, SECTION } from "./component-items.ts";
import { SORT } from "./component-types.ts";
import { STATE_FUNCTION, withStateFunction } from "./state-function.ts";

/** The export's name, with a number from 0 on behind it. Takes a number: `0` keeps, anything else puts back. */
export const STATE_EXPORT_NAME = "state";

const FUNCTION_TYPE = 0x40;
const U32 = 0x79;
const CORE_EXPORT = 1;

/**
 * The component with the functions; `undefined` where it changes what cannot be put back, or is not built as toolchains
 * build: each exchange then has an instance of its own made.
 */
export function exportState(component: Uint8Array): Uint8Array | undefined {
  try {
    const { bytes, exported } = rewrite(component);
    return exported === 0 ? undefined : bytes;
  } catch (error) {
    if (error instanceof WasmFault) return undefined;
    throw error;
  }
}

interface Rewritten {
  readonly bytes: Uint8Array;
  /** How many functions it exports. */
  readonly exported: number;
}

function rewrite(component: Uint8Array): Rewritten {
  const items = new ComponentItems();
  const modules = new Map<number, boolean>();
  const inner = new Map<number, number>();
  const writer = new WasmWriter(component.length + 1024);
  writer.bytes(component, 0, 8);
  for (const section of readSections(component, 1)) {
    const { position, end } = section.payload;
    const content = component.subarray(position, end);
    if (section.id === SECTION.coreModule) {
      const { bytes, hasFunction } = withStateFunction(content);
      modules.set(items.modules, hasFunction);
      writer.section(section.id, bytes);
    } else if (section.id === SECTION.component) {
      const { bytes, exported } = rewrite(content);
      inner.set(items.components, exported);
      writer.section(section.id, bytes);
    } else writer.bytes(component, section.start, end);
    items.read(section);
  }
  const lifted = items.linked.flatMap((module, instance) => (hasState(modules, module) ? [instance] : []));
  const passed = [...items.instantiated].flatMap(([instance, of]) =>
    Array.from({ length: known(inner, of) }, (_, number) => ({ instance, name: `${STATE_EXPORT_NAME}${number}` })),
  );
  const exported = lifted.length + passed.length;
  if (exported > 0) {
    writeLifts(writer, items, lifted);
    writeAliases(writer, passed);
    writeExports(writer, items.functions, exported);
  }
  return { bytes: writer.finish().slice(), exported };
}

function hasState(modules: ReadonlyMap<number, boolean>, module: number | undefined): boolean {
  return module !== undefined && known(modules, module);
}

/** Of something that stands in this component; what comes from elsewhere is not looked into. */
function known<Value>(all: ReadonlyMap<number, Value>, index: number): Value {
  const value = all.get(index);
  if (value === undefined) throw new WasmFault("links what is not its own");
  return value;
}

/** Makes the functions of core instances those of the component. */
function writeLifts(writer: WasmWriter, { types, coreFunctions }: ComponentItems, instances: readonly number[]): void {
  if (instances.length === 0) return;
  const aliases = new WasmWriter();
  aliases.u32(instances.length);
  for (const instance of instances) {
    aliases.bytes(Uint8Array.of(SORT.core, CORE_SORT.function, CORE_EXPORT));
    aliases.u32(instance);
    aliases.name(STATE_FUNCTION);
  }
  writer.section(SECTION.alias, aliases.finish());
  const type = new WasmWriter();
  type.bytes(Uint8Array.of(1, FUNCTION_TYPE, 1));
  type.name("back");
  // No result is written as an empty list of them.
  type.bytes(Uint8Array.of(U32, 1, 0));
  writer.section(SECTION.type, type.finish());
  const lifts = new WasmWriter();
  lifts.u32(instances.length);
  for (const number of instances.keys()) {
    lifts.bytes(Uint8Array.of(0, 0));
    lifts.u32(coreFunctions + number);
    lifts.u32(0);
    lifts.u32(types);
  }
  writer.section(SECTION.canon, lifts.finish());
}

function writeAliases(
  writer: WasmWriter,
  passed: readonly { readonly instance: number; readonly name: string }[],
): void {
  if (passed.length === 0) return;
  const aliases = new WasmWriter();
  aliases.u32(passed.length);
  for (const { instance, name } of passed) {
    aliases.bytes(Uint8Array.of(SORT.function, 0));
    aliases.u32(instance);
    aliases.name(name);
  }
  writer.section(SECTION.alias, aliases.finish());
}

function writeExports(writer: WasmWriter, first: number, count: number): void {
  const exports = new WasmWriter();
  exports.u32(count);
  for (let number = 0; number < count; number++) {
    exports.byte(0);
    exports.name(`${STATE_EXPORT_NAME}${number}`);
    exports.byte(SORT.function);
    exports.u32(first + number);
    exports.byte(0);
  }
  writer.section(SECTION.export, exports.finish());
}
