import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { parse } from "@bytecodealliance/jco";
import { transpile } from "@bytecodealliance/jco/component";
import fc from "fast-check";
import { componentOf, rustComponent } from "../../test/harness/foreign-component.ts";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { readSections } from "../../sdk/build/wasm-reader.ts";
import { exportState } from "./state-exports.ts";
import { STATE_FUNCTION, withStateFunction } from "./state-function.ts";

const FIXTURES = join(import.meta.dir, "../../test/fixtures");

const rust = await rustComponent();

/** The core module of a text, which jco parses inside of a component. */
async function moduleOf(text: string): Promise<Uint8Array> {
  const component = await parse(`(component (core module ${text}))`);
  const module = readSections(component, 1).find(({ id }) => id === 1);
  if (module === undefined) throw new Error("expected a module");
  return component.slice(module.payload.position, module.payload.end);
}

interface Counting {
  readonly count: () => bigint;
  readonly state: (back: number) => void;
}

async function start(text: string): Promise<Counting> {
  const { bytes, hasFunction } = withStateFunction(await moduleOf(text));
  expect(hasFunction).toBe(true);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes.slice()));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the text below exports `count`
  return { count: exports["count"], state: exports[STATE_FUNCTION] } as Counting;
}

const COUNT = `(func (export "count") (result i64) global.get $n i64.const 1 i64.add global.set $n global.get $n)`;

describe("a module", () => {
  test.each([
    [
      "of all sections",
      `(global f64 (f64.const 2)) (global $n (mut i64) (i64.const 40)) (global $m (mut f32) (f32.const 1)) ${COUNT}`,
    ],
    [
      "that imports nothing but has a memory",
      `(memory 1) (global $n (mut i64) (i64.const 40)) ${COUNT} (data (i32.const 0) "x")`,
    ],
  ])("%s is put back to what was kept", async (_, text) => {
    const { count, state } = await start(text);
    expect(count()).toBe(41n);
    state(0);
    expect([count(), count()]).toEqual([42n, 43n]);
    state(1);
    expect(count()).toBe(42n);
    state(1);
    state(1);
    expect(count()).toBe(42n);
  });

  test("whose code is none gets what it lacks", async () => {
    const { bytes, hasFunction } = withStateFunction(await moduleOf(`(global (export "g") (mut i32) (i32.const 7))`));
    expect(hasFunction).toBe(true);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes.slice()));
    const { g, [STATE_FUNCTION]: state } = exports;
    if (!(g instanceof WebAssembly.Global) || typeof state !== "function") throw new Error("expected both");
    state(0);
    g.value = 8;
    state(1);
    expect(g.value).toBe(7);
  });

  test("without globals that change stays as it is", async () => {
    const module = await moduleOf(`(global i32 (i32.const 1)) (func nop)`);
    expect(withStateFunction(module)).toEqual({ bytes: module, hasFunction: false });
  });

  test.each([
    ["a table's element", `(table 1 funcref) (func i32.const 0 ref.null func table.set 0)`],
    ["a table's size", `(table 1 funcref) (func ref.null func i32.const 1 table.grow 0 drop)`],
    ["a segment", `(memory 1) (data "x") (func data.drop 0)`],
    ["a reference", `(global (mut externref) (ref.null extern)) (func nop)`],
  ])("that changes %s is refused", async (_, text) => {
    const module = await moduleOf(text);
    expect(() => withStateFunction(module)).toThrow("change");
  });
});

describe("a component", () => {
  test("stays valid, and exports a function for each module that has globals", async () => {
    const built = await buildFilterFile(join(FIXTURES, "stamp/filter.ts"));
    if (!built.ok) throw new Error(JSON.stringify(built.problems));
    for (const [component, names] of [
      [rust, ["state0"]],
      [componentOf(built.value.artifact), ["state0"]],
    ] as const) {
      const exported = exportState(component);
      if (exported === undefined) throw new Error("was left as it is");
      const { exports } = await transpile(exported, { name: "kept", instantiation: { tag: "sync" } });
      expect(exports.map(([name]) => name).filter((name) => name.startsWith("state"))).toEqual([...names]);
    }
  });

  test("passes on what a component inside of it exports", async () => {
    const inner = `(component (core module $m (global $n (mut i64) (i64.const 0)) ${COUNT}) (core instance (instantiate $m)))`;
    const exported = exportState(
      await parse(
        `(component (component $inner ${inner.slice("(component ".length)} (instance (instantiate $inner)) (instance (instantiate $inner)))`,
      ),
    );
    if (exported === undefined) throw new Error("was left as it is");
    const { exports } = await transpile(exported, { name: "kept", instantiation: { tag: "sync" } });
    expect(exports.map(([name]) => name)).toEqual(["state0", "state1"]);
  });

  test("with a module that comes from elsewhere is left as it is", async () => {
    expect(
      exportState(await parse(`(component (import "m" (core module $m)) (core instance (instantiate $m)))`)),
    ).toBeUndefined();
  });

  test("that is broken is left as it is, without an exception", () => {
    fc.assert(
      fc.property(fc.nat(rust.length - 1), fc.nat(255), fc.nat(rust.length), (at, byte, length) => {
        const broken = rust.slice(0, length);
        if (at < length) broken[at] = byte;
        exportState(broken);
      }),
      { numRuns: 500 },
    );
  });
});
