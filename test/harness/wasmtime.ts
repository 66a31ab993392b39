// Wasmtime for tests and benchmarks: the library that install.sh fetches, and code that is compiled once for all runs.
import { homedir } from "node:os";
import { join } from "node:path";
import type { Engine } from "../../runtime/wasm/engine.ts";
import { createWasmtimeEngine } from "../../runtime/wasm/wasmtime-engine.ts";
import { builtPeer } from "./built-peers.ts";

/** The one of this process; throws where the library is not there. */
export function wasmtimeEngine(): Engine {
  made ??= makeEngine();
  return made;
}

let made: Engine | undefined;

function makeEngine(): Engine {
  const { XDG_CACHE_HOME: cache = join(homedir(), ".cache") } = process.env;
  const created = createWasmtimeEngine({
    library: builtPeer("libwasmtime.so"),
    codeFolder: join(cache, "vespid/code"),
    now: () => Date.now(),
  });
  if (!created.ok) throw new Error(created.error);
  return created.value;
}
