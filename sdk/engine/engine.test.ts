// The engine that is committed, and its allocator through the function that the component model calls.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ENGINE_FILE } from "../build/component.ts";
import { readSections } from "../build/wasm-reader.ts";
import { SOURCES_SECTION, sourcesDigest } from "./encode.ts";

const CORE_MODULE = 1;
const CUSTOM = 0;

test("engine.wasm is what these sources give", async () => {
  const engine = await Bun.file(ENGINE_FILE).bytes();
  const said = readSections(engine, 1)
    .filter(({ id }) => id === CUSTOM)
    .flatMap(({ payload }) => {
      const name = payload.name();
      return name === SOURCES_SECTION
        ? [new TextDecoder().decode(payload.bytes.subarray(payload.position, payload.end))]
        : [];
    });
  // Another digest: sources were changed, and `bash sdk/engine/build.sh` was not run.
  expect(said).toEqual([await sourcesDigest()]);
});

interface Core {
  readonly memory: WebAssembly.Memory;
  cabi_realloc(old: number, oldSize: number, alignment: number, size: number): number;
}

async function openCore(): Promise<Core> {
  const engine = await Bun.file(ENGINE_FILE).bytes();
  const core = readSections(engine, 1).find(({ id }) => id === CORE_MODULE)?.payload;
  if (core === undefined) throw new Error("has no core module");
  const module = await WebAssembly.compile(engine.slice(core.position, core.end));
  const imports = Object.fromEntries(
    WebAssembly.Module.imports(module).map(({ module: from }) => [from, new Proxy({}, { get: () => () => 0 })]),
  );
  const { exports } = await WebAssembly.instantiate(module, imports);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what every component's core exports
  return exports as unknown as Core;
}

const SIZE_MAX = 100_000;
/** Of one of sixteen places: what it is to hold; 0 frees it. */
const step = fc.record({
  place: fc.nat(15),
  size: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: SIZE_MAX })),
});

test("pieces keep their bytes, lie apart, and what is freed is used again", async () => {
  const core = await openCore();
  const pieces: { pointer: number; size: number; mark: number }[] = Array.from({ length: 16 }, () => ({
    pointer: 0,
    size: 0,
    mark: 0,
  }));
  let mark = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      for (const { place, size } of steps) {
        const piece = pieces[place];
        if (piece === undefined) continue;
        const pointer = core.cabi_realloc(piece.pointer, piece.size, 1, size);
        const memory = new Uint8Array(core.memory.buffer);
        const kept = memory.subarray(pointer, pointer + Math.min(size, piece.size));
        expect(kept.every((byte) => byte === piece.mark)).toBe(true);
        mark = (mark + 1) % 256;
        memory.fill(mark, pointer, pointer + size);
        Object.assign(piece, { pointer: size === 0 ? 0 : pointer, size, mark });
        const used = pieces.filter((one) => one.size > 0).toSorted((a, b) => a.pointer - b.pointer);
        for (const [index, one] of used.entries()) {
          expect(one.pointer % 16).toBe(0);
          expect(one.pointer + one.size).toBeLessThanOrEqual(used[index + 1]?.pointer ?? memory.length);
        }
      }
    }),
    { numRuns: 200 },
  );
  // Some 16 pieces of 100 kB lie in it at once, however many there were.
  expect(core.memory.buffer.byteLength).toBeLessThan(4 * 16 * SIZE_MAX);
});

test("a memory that cannot grow is a trap, not a piece", async () => {
  const core = await openCore();
  const half = 2 ** 31 - 1;
  expect(core.cabi_realloc(0, 0, 1, half)).toBeGreaterThan(0);
  expect(() => core.cabi_realloc(0, 0, 1, half)).toThrow(WebAssembly.RuntimeError);
});
