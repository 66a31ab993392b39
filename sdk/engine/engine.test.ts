// The engine that is committed, and its allocator through the function that the component model calls.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { openCore, openScript } from "../../test/harness/engine-script.ts";
import { ENGINE_FILE } from "../build/component.ts";
import { readSections } from "../build/wasm-reader.ts";
import { SOURCES_SECTION, sourcesDigest } from "./encode.ts";

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

test("texts cross whole, and come back in UTF-8 whatever they are made of", async () => {
  const { begin: same } = await openScript("(head) => head");
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 5000 }), (text) => {
      expect(same(text)).toBe(text.toWellFormed());
    }),
    { numRuns: 300 },
  );
  const { begin: units } = await openScript("(head) => String.fromCharCode(...JSON.parse(head))");
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 200 }), (codes) => {
      expect(units(JSON.stringify(codes))).toBe(String.fromCharCode(...codes).toWellFormed());
    }),
    { numRuns: 300 },
  );
});

test("a level that is none is an error of the script's, and logs nothing", async () => {
  const { begin: log } = await openScript(`(level) => {
    try { host.log(level, "text", ""); return "logged"; } catch (error) { return error.name; }
  }`);
  expect(["debug", "info", "warn", "error", "", "fatal"].map((level) => log(level))).toEqual([
    ...Array.from({ length: 4 }, () => "logged"),
    "TypeError",
    "TypeError",
  ]);
});

test("edits are taken one by one: becoming a text, one may change the others", async () => {
  const { begin: render } = await openScript(
    `(change) => {
      const others = [];
      const move = {
        grow() { for (let at = 0; at < 100; at++) edits.push("more"); },
        shrink() { edits.length = 0; },
      }[change];
      const toString = () => {
        move();
        for (let at = 0; at < 100; at++) others.push(Array.from({ length: 9 }, () => "another's"));
        return "1";
      };
      const edits = ["set", "x-a", { toString }, "set", "x-b", "2", "remove", "x-c", ""];
      return renderEdits("proceed\\n", edits);
    }`,
    'import { renderEdits } from "vespid:engine"',
  );
  expect(render("grow")).toBe("proceed\nset x-a: 1\nset x-b: 2\nremove x-c\n");
  expect(render("shrink")).toBe(`proceed\nset x-a: 1\n${"undefined undefined: undefined\n".repeat(2)}`);
  const { begin: fail } = await openScript(
    `() => {
      try { return renderEdits("", ["set", "x-a", { toString() { throw new Error("no text"); } }]); }
      catch (error) { return error.message; }
    }`,
    'import { renderEdits } from "vespid:engine"',
  );
  expect(fail("")).toBe("no text");
  const { begin: plain } = await openScript(
    '() => renderEdits("proceed\\n", ["set", "x-é", "1", "remove", "x-b", "", "add", "x-c", "€"])',
    'import { renderEdits } from "vespid:engine"',
  );
  expect(plain("")).toBe("proceed\nset x-é: 1\nremove x-b\nadd x-c: €\n");
});

test("indexOf finds what it finds elsewhere", async () => {
  const { begin: find } = await openScript(`(asked) => {
    const [text, sought, from] = JSON.parse(asked);
    return JSON.stringify([text.indexOf(sought, from), text.includes(sought, from), text.split(sought).length,
      text.replaceAll(sought, "-")]);
  }`);
  const small = fc.string({ unit: fc.constantFrom("a", "b", "é", "€"), maxLength: 60 });
  const sought = fc.string({ unit: fc.constantFrom("a", "b", "é", "€"), maxLength: 4 });
  fc.assert(
    fc.property(small, sought, fc.integer({ min: -3, max: 70 }), (text, part, from) => {
      const expected = [
        text.indexOf(part, from),
        text.includes(part, from),
        text.split(part).length,
        text.replaceAll(part, "-"),
      ];
      expect(JSON.parse(find(JSON.stringify([text, part, from])))).toEqual(expected);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ["before its declaration", "() => { const read = () => later; const got = read(); const later = 1; return got; }"],
  ["in its own declaration", "() => { const self = self; return self; }"],
  ["behind a case that was not run", "(head) => { switch (head) { case 'a': let late = 1; case 'b': return late; } }"],
  ["assigned before it", "() => { late = 2; let late = 1; return late; }"],
  ["in a loop's next turn", "() => { for (let turn = 0; turn < 2; turn++) { if (turn === 1) late; let late = 1; } }"],
  ["compound before it", "() => { late += 2; let late = 1; return late; }"],
])("a variable is not there %s", async (_, script) => {
  const { begin: run } = await openScript(`(head) => {
    try { return "read " + (${script})(head); } catch (error) { return error.name; }
  }`);
  expect(run("b")).toBe("ReferenceError");
});

test.each([
  [
    "in loops, each turn its own",
    "() => { const all = []; for (let turn = 0; turn < 3; turn++) { const own = turn; all.push(() => own * 10 + turn); } return all.map((one) => one()).join(); }",
    "0,11,22",
  ],
  [
    "in generators",
    "() => { function* count() { let at = 1; yield at; at += 1; yield at; } return [...count()].join(); }",
    "1,2",
  ],
  [
    "behind a label",
    "() => { let sum = 0; outer: for (const left of [1, 2]) { for (const right of [1, 2]) { if (right === 2) continue outer; sum += left * right; } } return sum; }",
    "3",
  ],
  [
    "where another is thrown past",
    "() => { let got = 0; try { const one = 1; got = one; throw new Error(); } catch { const two = 2; got += two; } finally { const three = 3; got += three; } return got; }",
    "6",
  ],
])("variables hold what they were given %s", async (_, script, expected) => {
  const { begin: run } = await openScript(`() => String((${script})())`);
  expect(run("")).toBe(expected);
});

test("endless recursion is an error that a script can catch", async () => {
  const { begin: run } = await openScript(`() => {
    const deeper = (depth) => 1 + deeper(depth + 1);
    try { return String(deeper(0)); } catch (error) { return error.name; }
  }`);
  expect(run("")).toBe("RangeError");
  expect(run("")).toBe("RangeError");
});
