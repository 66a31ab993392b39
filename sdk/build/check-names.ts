// Names inside of core modules. The transpiler writes them into the glue between quotes and escapes nothing, and proxies
// run that glue outside of the sandbox: a name that ends its quote is code. Only names that cannot are accepted.
import { readSections, WasmFault, WasmReader } from "./wasm-reader.ts";
import { SECTION, skipImportType } from "./metered.ts";

/** Printable ASCII without quotes and backslash: what toolchains use, `[method]output-stream.write` and `a:b/c@1.0.0#d` among it. */
const PLAIN = /^[ !#$%&()*+,\-./0-9:;<=>?@A-Z[\]^_a-z{|}~]*$/u;

/** Throws `WasmFault` where a core module imports or exports a name that could be read as code. */
export function checkNames(module: Uint8Array): void {
  for (const { id, payload } of readSections(module, 0)) {
    if (id === SECTION.import) checkImports(new WasmReader(payload.bytes, payload.position, payload.end));
    else if (id === SECTION.export) checkExports(new WasmReader(payload.bytes, payload.position, payload.end));
  }
}

function checkImports(reader: WasmReader): void {
  for (let left = reader.u32(); left > 0; left--) {
    checkName("imports", reader.name());
    checkName("imports", reader.name());
    skipImportType(reader, reader.byte());
  }
}

function checkExports(reader: WasmReader): void {
  for (let left = reader.u32(); left > 0; left--) {
    checkName("exports", reader.name());
    reader.byte();
    reader.u32();
  }
}

function checkName(does: "imports" | "exports", name: string): void {
  if (PLAIN.test(name)) return;
  throw new WasmFault(`${does} ${JSON.stringify(name.slice(0, 100))}, a name that is not plain ASCII without quotes`);
}
