// The filter of the fixtures that is not written with the SDK, as its toolchain built it.
import { join } from "node:path";
import { parseArtifact } from "../../sdk/build/artifact.ts";

/** The component of an artifact; throws where it is none. */
export function componentOf(artifact: Uint8Array): Uint8Array {
  const parsed = parseArtifact(artifact);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.value.component;
}

/** The component in Rust. */
export async function rustComponent(): Promise<Uint8Array> {
  return componentOf(await Bun.file(join(import.meta.dir, "../fixtures/foreign/rust/filter.vespid.wasm")).bytes());
}
