import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { parse, print } from "@bytecodealliance/jco";
import { transpile } from "@bytecodealliance/jco/component";
import fc from "fast-check";
import { parseArtifact } from "../../sdk/build/artifact.ts";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { placeBytes } from "./place-bytes.ts";

const FIXTURES = join(import.meta.dir, "../../test/fixtures");

function componentOf(artifact: Uint8Array): Uint8Array {
  const parsed = parseArtifact(artifact);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.value.component;
}

const rust = componentOf(await Bun.file(join(FIXTURES, "foreign/rust/filter.vespid.wasm")).bytes());

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
      // The transpiler validates what it is given.
      const { exports } = await transpile(placed, { name: "placed", instantiation: { tag: "sync" } });
      expect(exports.map(([name]) => name)).toEqual(
        expect.arrayContaining(["reallocateBytes", "vespid:filter/handler@2.0.0"]),
      );
    }
  });

  test("takes and gives pairs of numbers in the place of lists of bytes", async () => {
    const [before, after] = await Promise.all([typesOf(rust), typesOf(placeBytes(rust))]);
    expect(count(before, "(tuple u32 u32)")).toBe(0);
    expect(count(after, "(tuple u32 u32)")).toBe(count(before, "(list u8)") - 1);
    // What is written to WASI's streams, which is text and little, and what the host answers.
    expect(count(after, "(list u8)")).toBe(2);
  });
});

test("what the host answers stays a list", async () => {
  const placed = placeBytes(await answering());
  const types = (await typesOf(placed)).map((line) => line.trim());
  expect(types).toContainEqual(expect.stringMatching(/\(list u8\)/u));
  expect(types).toContainEqual(expect.stringMatching(/\(param "payload" 0\) \(result \d+\)/u));
  expect(types.filter((line) => line.startsWith("(export") && line.includes('"bytes"'))).toHaveLength(1);
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
function answering(): Promise<Uint8Array> {
  return parse(`(component
    (import "vespid:filter/host@2.0.0" (instance $host
      (type (list u8))
      (type (result 0 (error string)))
      (type (func (param "name" string) (param "request" string) (param "payload" 0) (result 1)))
      (export "bytes" (func (type 2)))))
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
