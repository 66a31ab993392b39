// The process that `deriveBundle` starts: a component on standard input, what proxies load on standard output.
import { renderDerived } from "./derived-files.ts";
import { transpileFilter } from "./transpile.ts";
import { WasmFault } from "./wasm-reader.ts";

async function derive(component: Uint8Array): Promise<Uint8Array> {
  try {
    return renderDerived(await transpileFilter(component));
  } catch (error) {
    if (error instanceof WasmFault) return renderDerived({ fault: error.message });
    throw error;
  }
}

if (import.meta.main) await Bun.write(Bun.stdout, await derive(await Bun.stdin.bytes()));
