import { expect, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import fc from "fast-check";
import { mergeData } from "./merge-data.ts";
import { readSections } from "./wasm-reader.ts";

const MEMORY_BYTES = 65_536;

/** A component whose core module has these segments, and what they leave in memory. */
async function componentOf(segments: readonly { readonly at: number; readonly bytes: readonly number[] }[]) {
  const data = segments.map(({ at, bytes }) => {
    const hex = bytes.map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
    return `(data (i32.const ${at}) "${hex}")`;
  });
  return parse(`(component (component (core module (memory (export "memory") 1) ${data.join(" ")})))`);
}

/** The core module inside of the component inside. */
function moduleOf(component: Uint8Array): Uint8Array<ArrayBuffer> {
  const inner = contentOf(component, 4);
  return contentOf(inner, 1);
}

function contentOf(bytes: Uint8Array, id: number): Uint8Array<ArrayBuffer> {
  const section = readSections(bytes, 1).find((one) => one.id === id);
  if (section === undefined) throw new Error(`no section ${id}`);
  return new Uint8Array(section.payload.bytes.subarray(section.payload.position, section.payload.end));
}

async function memoryOf(module: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const { instance } = await WebAssembly.instantiate(module);
  const { memory } = instance.exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new Error("no memory");
  return new Uint8Array(memory.buffer);
}

function countSegments(module: Uint8Array): number | undefined {
  return readSections(module, 0)
    .find(({ id }) => id === 11)
    ?.payload.u32();
}

test("ten thousand neighbours become one", async () => {
  const component = await componentOf(Array.from({ length: 10_000 }, (_, index) => ({ at: index * 6, bytes: [1, 2] })));
  expect(countSegments(moduleOf(component))).toBe(10_000);
  expect(countSegments(moduleOf(mergeData(component)))).toBe(1);
});

test("what lies far apart stays apart, and what overlaps is left alone", async () => {
  const apart = await componentOf([
    { at: 0, bytes: [1] },
    { at: 60_000, bytes: [2] },
  ]);
  expect(countSegments(moduleOf(mergeData(apart)))).toBe(2);
  const over = await componentOf([
    { at: 10, bytes: [1, 2] },
    { at: 11, bytes: [3] },
  ]);
  expect(mergeData(over)).toEqual(over);
});

test("memory begins as it did before", async () => {
  const segment = fc.record({
    at: fc.integer({ min: 0, max: MEMORY_BYTES - 16 }),
    bytes: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 16 }),
  });
  const some = fc.array(segment, { maxLength: 12 }).map((all) => all.toSorted((a, b) => a.at - b.at));
  await fc.assert(
    fc.asyncProperty(some, async (segments) => {
      const component = await componentOf(segments);
      expect(await memoryOf(moduleOf(mergeData(component)))).toEqual(await memoryOf(moduleOf(component)));
    }),
    { numRuns: 100 },
  );
});
