// The engine's core module as a component of the filter world. build.sh runs this: `bun encode.ts CORE ENGINE`.
import { componentEmbed, componentNew } from "@bytecodealliance/jco";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { WasmWriter } from "../build/wasm-reader.ts";
import { WORLD } from "../wit/world.ts";

/** Custom section with what `sourcesDigest` answered when the engine was built. */
export const SOURCES_SECTION = "vespid:sources";

const CUSTOM = 0;
const WIT = "../wit/filter.wit";
const SOURCES = ["Cargo.lock", "allocate.c", "build.sh", "guest.c", "quickjs.patch", "system.c", WIT];

/** Of WASI what the core imports: two functions. */
const CLOCKS = `
package wasi:clocks@0.2.12 {
  interface wall-clock {
    record datetime { seconds: u64, nanoseconds: u32 }
    now: func() -> datetime;
  }
  interface monotonic-clock {
    now: func() -> u64;
  }
}`;

/** SHA-256 of everything that the engine is made of, in hex. */
export async function sourcesDigest(): Promise<string> {
  const hash = createHash("sha256");
  for (const name of SOURCES) hash.update(await Bun.file(join(import.meta.dir, name)).bytes());
  return hash.digest("hex");
}

async function encode(core: Uint8Array): Promise<Uint8Array> {
  const filter = await Bun.file(join(import.meta.dir, WIT)).text();
  const witSource = `package vespid:engine;
world engine {
  import wasi:clocks/wall-clock@0.2.12;
  import wasi:clocks/monotonic-clock@0.2.12;
  include ${WORLD};
}
${CLOCKS}
${filter.replace(/^package (?<name>[^;]+);/mu, "package $<name> {")}
}`;
  const component = await componentNew(
    await componentEmbed({ binary: core, witSource, world: "engine", stringEncoding: "utf8" }),
  );
  const sources = new WasmWriter();
  sources.name(SOURCES_SECTION);
  sources.bytes(new TextEncoder().encode(await sourcesDigest()));
  const writer = new WasmWriter(component.length + 256);
  writer.bytes(component);
  writer.section(CUSTOM, sources.finish());
  return writer.finish().slice();
}

if (import.meta.main) {
  const [from = "", to = ""] = process.argv.slice(2);
  await Bun.write(to, await encode(await Bun.file(from).bytes()));
}
