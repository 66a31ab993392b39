// The metering pass and its check, on modules small enough to write by hand, and on noise.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { meterModule } from "./meter.ts";
import { findUnmetered, FUEL_IMPORT, spendOne, STATE_EXPORT } from "./metered.ts";
import { WasmFault, WasmWriter } from "./wasm-reader.ts";

const VOID = [0x60, 0, 0];
const FOREVER = [0x03, 0x40, 0x0c, 0, 0x0b, 0x0b];
const RECURSE = [0x10, 0, 0x0b];
/** `memory.fill` of 65536 bytes in a loop. */
const FILL = [0x03, 0x40, 0x41, 0, 0x41, 1, 0x41, 0x80, 0x80, 4, 0xfc, 11, 0, 0x0c, 0, 0x0b, 0x0b];
/** Global 0 counts up; behind the fuel it is global 1. */
const COUNT = [0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x0b];

/** A module of one function `run`, with a page of memory and a global `count`. */
function moduleOf(code: readonly number[]): Uint8Array {
  const writer = new WasmWriter();
  writer.bytes(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  writer.section(1, Uint8Array.of(1, ...VOID));
  writer.section(3, Uint8Array.of(1, 0));
  writer.section(5, Uint8Array.of(1, 0, 2));
  writer.section(6, Uint8Array.of(1, 0x7f, 1, 0x41, 5, 0x0b));
  const names = [3, 0x72, 0x75, 0x6e, 0, 0, 5, 0x63, 0x6f, 0x75, 0x6e, 0x74, 3, 0];
  writer.section(7, Uint8Array.of(2, ...names));
  const body = new WasmWriter();
  body.byte(1);
  body.u32(code.length + 1);
  body.bytes(Uint8Array.of(0, ...code));
  writer.section(10, body.finish());
  return writer.finish().slice();
}

/** Runs a metered module; returns what is left, or that it trapped. */
function run(
  bytes: Uint8Array,
  units: number,
): { readonly left: number; readonly trapped: boolean; readonly count: number } {
  const fuel = new WebAssembly.Global({ value: "i32", mutable: true }, units);
  const module = new WebAssembly.Module(new Uint8Array(bytes));
  const { exports } = new WebAssembly.Instance(module, { [FUEL_IMPORT.module]: { [FUEL_IMPORT.name]: fuel } });
  const { run: start, count } = exports;
  if (typeof start !== "function" || !(count instanceof WebAssembly.Global)) throw new Error("exports moved");
  let trapped = false;
  try {
    start();
  } catch (error) {
    trapped = error instanceof WebAssembly.RuntimeError;
  }
  return { left: fuel.value, trapped, count: Number(count.value) };
}

describe("a metered module", () => {
  test("stops an endless loop, endless recursion and endless filling", () => {
    expect(run(meterModule(moduleOf(FOREVER)), 1000)).toMatchObject({ trapped: true, left: -1 });
    expect(run(meterModule(moduleOf(RECURSE)), 1000)).toMatchObject({ trapped: true, left: -1 });
    // 65536 bytes are 1024 units: the 10 million are gone after some 10 000 fills, not 10 million.
    expect(run(meterModule(moduleOf(FILL)), 10_000).trapped).toBe(true);
  });

  test("keeps its own globals, and pays for its entry", () => {
    expect(run(meterModule(moduleOf(COUNT)), 1000)).toEqual({ left: 999, trapped: false, count: 6 });
  });

  test("exports its globals that change, so that they can be put back", () => {
    const fuel = new WebAssembly.Global({ value: "i32", mutable: true }, 1000);
    const module = new WebAssembly.Module(new Uint8Array(meterModule(moduleOf(COUNT))));
    const { exports } = new WebAssembly.Instance(module, { [FUEL_IMPORT.module]: { [FUEL_IMPORT.name]: fuel } });
    const { run: start, count, [`${STATE_EXPORT}0`]: state } = exports;
    if (typeof start !== "function" || !(count instanceof WebAssembly.Global) || !(state instanceof WebAssembly.Global))
      throw new Error("exports moved");
    start();
    expect(state.value).toBe(6);
    state.value = 5;
    expect(count.value).toBe(5);
  });

  test("passes the check, and the module before does not", () => {
    for (const code of [FOREVER, RECURSE, FILL, COUNT]) {
      expect(findUnmetered(meterModule(moduleOf(code)))).toBeUndefined();
      expect(findUnmetered(moduleOf(code))).toBe("does not import fuel");
    }
  });

  test("is not metered twice", () => {
    expect(() => meterModule(meterModule(moduleOf(COUNT)))).toThrow(WasmFault);
  });
});

/** The metered module with one run of bytes replaced by one of the same length. */
function tamper(code: readonly number[], from: readonly number[], to: readonly number[], occurrence = 0): Uint8Array {
  const bytes = meterModule(moduleOf(code));
  const text = Buffer.from(bytes).toString("latin1");
  let at = -1;
  for (let left = occurrence; left >= 0; left--) at = text.indexOf(String.fromCharCode(...from), at + 1);
  expect(at).toBeGreaterThan(0);
  bytes.set(to, at);
  return bytes;
}

const NOP = [0x01];
const repeat = (count: number, code: readonly number[]): readonly number[] =>
  Array.from({ length: count }, () => code).flat();
/** `count` times `block; 400 × nop; br 0; 200 × nop; end`: what is charged behind the branch is never run. */
const HOPS = (count: number): readonly number[] => [
  ...repeat(count, [0x02, 0x40, ...repeat(400, NOP), 0x0c, 0, ...repeat(200, NOP), 0x0b]),
  0x0b,
];
/** The same with `br_table`, and with a branch out of an `if`. */
const TABLES = (count: number): readonly number[] => [
  ...repeat(count, [0x02, 0x40, ...repeat(400, NOP), 0x41, 0, 0x0e, 1, 0, 0, ...repeat(200, NOP), 0x0b]),
  0x0b,
];
const BRANCHES = (count: number): readonly number[] => [
  ...repeat(count, [0x41, 0, 0x04, 0x40, ...repeat(200, NOP), 0x05, ...repeat(400, NOP), 0x0b]),
  0x0b,
];
/** `memory.grow 0`, dropped. */
const GROW = [0x41, 0, 0x40, 0, 0x1a];

describe("straight code is paid for too", () => {
  test.each([
    ["a long body", [...repeat(50_000, NOP), 0x0b], 48],
    ["code that jumps over what would charge it", HOPS(100), 38],
    ["code that jumps by a table", TABLES(100), 38],
    ["code in the other branch", BRANCHES(100), 38],
    ["growing memory", [...repeat(100, GROW), 0x0b], 100],
  ])("%s", (_, code, unitsMin) => {
    const metered = meterModule(moduleOf(code));
    expect(findUnmetered(metered)).toBeUndefined();
    const { left, trapped } = run(metered, 1000);
    expect(trapped).toBe(false);
    expect(1000 - left).toBeGreaterThanOrEqual(unitsMin);
    expect(1000 - left).toBeLessThan(300);
  });

  test("a function of many locals is refused", () => {
    // One run of 20 000 locals of type i64.
    const locals = [0xa0, 0x9c, 1, 0x7e];
    const writer = new WasmWriter();
    writer.bytes(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    writer.section(1, Uint8Array.of(1, ...VOID));
    writer.section(3, Uint8Array.of(1, 0));
    writer.section(10, Uint8Array.of(1, locals.length + 2, 1, ...locals, 0x0b));
    expect(() => meterModule(writer.finish().slice())).toThrow("20000 locals");
  });

  test("a module that leaves the charge out is found", () => {
    const bytes = meterModule(moduleOf([...repeat(3000, NOP), 0x0b]));
    const spend = Buffer.from(spendOne(0));
    // The second one: the first is the entry's.
    const at = Buffer.from(bytes).indexOf(spend, Buffer.from(bytes).indexOf(spend) + 1);
    expect(at).toBeGreaterThan(0);
    bytes.fill(0x01, at, at + spend.length);
    expect(findUnmetered(bytes)).toContain("too much code before byte");
  });
});

describe("the check finds a module that only looks metered", () => {
  const CHECK = [0x23, 0, 0x41, 1, 0x6b, 0x24, 0];

  test.each([
    ["nothing is taken at the entry", tamper(FOREVER, CHECK, [0x23, 0, 0x41, 0, 0x6b, 0x24, 0]), "when it is entered"],
    ["nothing is taken in the loop", tamper(FOREVER, CHECK, [0x23, 0, 0x41, 0, 0x6b, 0x24, 0], 1), "loop at byte"],
    ["the function sets the fuel", tamper(COUNT, [0x24, 1, 0x0b], [0x24, 0, 0x0b]), "sets the fuel itself"],
    ["the fuel is exported", tamper(COUNT, [0x74, 3, 1], [0x74, 3, 0]), "exports its fuel"],
    ["a bulk instruction is not charged", tamper(FILL, [0x10, 1, 0xfc], [0x01, 0x01, 0xfc]), "bulk instruction"],
  ])("%s", (_, bytes, message) => {
    expect(findUnmetered(bytes)).toContain(message);
  });
});

test("noise is refused, never a crash", () => {
  const metered = meterModule(moduleOf(FILL));
  const mutation = fc.array(fc.tuple(fc.nat(metered.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(mutation, fc.nat(metered.length), (changes, length) => {
      const bytes = metered.slice(0, length);
      for (const [at, byte] of changes) if (at < length) bytes[at] = byte;
      expect(["string", "undefined"]).toContain(typeof findUnmetered(bytes));
      try {
        meterModule(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(WasmFault);
      }
    }),
    { numRuns: 2000 },
  );
});
