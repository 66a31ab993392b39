import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { parse, print } from "@bytecodealliance/jco";
import fc from "fast-check";
import { componentOf, rustComponent } from "../../test/harness/foreign-component.ts";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { builtPeer } from "../../test/harness/built-peers.ts";
import { OUT } from "./native-memory.ts";
import { placeBytes } from "./place-bytes.ts";
import { newConfig, openWasmtime, required, takeMessage } from "./wasmtime-library.ts";

const FIXTURES = join(import.meta.dir, "../../test/fixtures");

const rust = await rustComponent();

/** What Wasmtime, which validates what it compiles, has against it. */
function whyInvalid(component: Uint8Array): string | undefined {
  const opened = openWasmtime(builtPeer("libwasmtime.so"));
  if (!opened.ok) throw new Error(opened.error);
  const { api, memory } = opened.value;
  const engine = required(api.wasm_engine_new_with_config(newConfig(api)));
  const failed = api.wasmtime_component_new(engine, component, component.length, memory.at(OUT));
  return failed === null ? undefined : takeMessage(opened.value, failed);
}

function count(lines: readonly string[], type: string): number {
  return lines.filter((line) => line.includes(type)).length;
}

/** The lines of a component's text that tell of types. */
async function typesOf(component: Uint8Array | undefined): Promise<readonly string[]> {
  const text = await print(component ?? new Uint8Array());
  return text.split("\n").filter((line) => /\((?:type|param|list|tuple|export)/u.test(line));
}

describe("a component as toolchains build", () => {
  test("stays valid, with what makes room beside its handler", async () => {
    const built = await buildFilterFile(join(FIXTURES, "stamp/filter.ts"));
    if (!built.ok) throw new Error(JSON.stringify(built.problems));
    for (const component of [rust, componentOf(built.value.artifact)]) {
      const placed = placeBytes(component);
      if (placed === undefined) throw new Error("was left as it is");
      expect(whyInvalid(placed)).toBeUndefined();
      const lines = (await print(placed)).split("\n");
      expect(
        lines.filter((line) => line.startsWith("  (export (;") && line.includes('"reallocate-bytes"')),
      ).toHaveLength(1);
    }
  });

  test("takes and gives pairs of numbers in the place of lists of bytes", async () => {
    const [before, after] = await Promise.all([typesOf(rust), typesOf(placeBytes(rust))]);
    expect(count(before, "(tuple u32 u32)")).toBe(0);
    expect(count(after, "(tuple u32 u32)")).toBe(count(before, "(list u8)") - 1);
    // What is written to WASI's streams, which is text and little.
    expect(count(after, "(list u8)")).toBe(1);
  });
});

describe("what the host answers", () => {
  test("is a string of Latin-1 in the list's place", async () => {
    const placed = placeBytes(await answering("string-encoding=utf8"));
    const types = (await typesOf(placed)).map((line) => line.trim());
    expect(types).not.toContainEqual(expect.stringMatching(/\(list u8\)/u));
    expect(types).toContainEqual(expect.stringMatching(/\(result string \(error string\)\)/u));
    expect(types).toContainEqual(
      expect.stringMatching(/\(param "name" 0\) \(param "request" 0\) \(param "payload" 0\) \(result \d+\)/u),
    );
    expect(types.filter((line) => line.startsWith("(export") && line.includes('"bytes"'))).toHaveLength(1);
    expect(await print(placed ?? new Uint8Array())).toContain("string-encoding=latin1+utf16");
  });

  test.each(["", "string-encoding=utf16"])("stays a list where strings are of encoding %p", async (encoding) => {
    expect(placeBytes(await answering(encoding))).toBeUndefined();
  });
});

describe("what is left as it is", () => {
  test("a component whose handler is not lifted from the name that toolchains give it", async () => {
    expect(placeBytes(await parse("(component)"))).toBeUndefined();
  });

  test("anything else, without an exception", () => {
    fc.assert(
      fc.property(fc.nat(rust.length - 1), fc.nat(255), fc.nat(rust.length), (at, byte, length) => {
        const broken = rust.slice(0, length);
        if (at < length) broken[at] = byte;
        placeBytes(broken);
      }),
      { numRuns: 2000 },
    );
  });
});

/** A component that imports `bytes` of the host and nothing else of it. */
function answering(encoding: string): Promise<Uint8Array> {
  return parse(`(component
    (import "vespid:filter/host@2.0.0" (instance $host
      (type (list u8))
      (type (result 0 (error string)))
      (type (func (param "name" string) (param "request" string) (param "payload" 0) (result 1)))
      (export "bytes" (func (type 2)))))
    (core module $allocator
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 16))
    (core instance $a (instantiate $allocator))
    (alias core export $a "memory" (core memory $memoryOf))
    (alias core export $a "realloc" (core func $reallocOf))
    (core func $bytes (canon lower (func $host "bytes") ${encoding} (memory $memoryOf) (realloc $reallocOf)))
    (core module $main
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 16)
      (func (export "vespid:filter/handler@2.0.0#chunk") (param i32 i32 i32 i32 i32) (result i32) i32.const 16))
    (core instance $i (instantiate $main))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (alias core export $i "vespid:filter/handler@2.0.0#chunk" (core func $core))
    (func $chunk (param "call" u32) (param "source" u32) (param "bytes" (list u8)) (param "end" bool) (result string)
      (canon lift (core func $core) (memory $memory) (realloc $realloc)))
    (instance $handler (export "chunk" (func $chunk)))
    (export "vespid:filter/handler@2.0.0" (instance $handler)))`);
}
