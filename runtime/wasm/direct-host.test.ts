// The canonical ABI of the host's functions, against a memory and an allocator made by hand.
import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DirectHost, type HostCalls } from "./direct-host.ts";

const RESULT_AT = 8;
const HEAP_AT = 1024;

let memory: WebAssembly.Memory;
let heap: number;
let seen: unknown[];
let imports: Readonly<Record<string, unknown>>;

beforeEach(() => {
  memory = new WebAssembly.Memory({ initial: 1, maximum: 64 });
  heap = HEAP_AT;
  seen = [];
  const calls: HostCalls = {
    log: (...line) => seen.push(line),
    start: (id, kind, request, payload) => seen.push([id, kind, request, payload.slice()]) + 41,
    stop: (operation) => seen.push(operation),
    emit: (id, to, bytes) => seen.push([id, to, [...bytes]]),
    settle: (...settled) => seen.push(settled),
    text: (name, request, payload) => ({
      result:
        name === "no" ? { ok: false, error: `no ${request}` } : { ok: true, value: `${request}☕${payload.length}` },
      fuel: 0,
    }),
    bytes: (_, request, payload) => ({
      result: { ok: true, value: new Uint8Array(Number(request)).fill(payload[0] ?? 0) },
      fuel: 0,
    }),
  };
  const host = new DirectHost(calls);
  imports = host.imports;
  host.linked(
    { memory, cabi_realloc: (_old: number, _oldSize: number, _align: number, size: number) => allocate(size) },
    {},
  );
});

/** Grows where it must, as a guest's allocator does. */
function allocate(size: number): number {
  const start = heap;
  heap += size;
  while (memory.buffer.byteLength < heap) memory.grow(1);
  return start;
}

function put(text: string): readonly [number, number] {
  const bytes = new TextEncoder().encode(text);
  const start = allocate(bytes.length);
  new Uint8Array(memory.buffer).set(bytes, start);
  return [start, bytes.length];
}

function call(name: string, ...values: readonly number[]): unknown {
  const run = imports[name];
  if (typeof run !== "function") throw new Error(`${name} is not there`);
  return Reflect.apply(run, undefined, values);
}

function readResult(): { readonly isError: boolean; readonly bytes: Uint8Array } {
  const words = new DataView(memory.buffer);
  const start = words.getUint32(RESULT_AT + 4, true);
  const bytes = new Uint8Array(memory.buffer, start, words.getUint32(RESULT_AT + 8, true));
  return { isError: words.getUint8(RESULT_AT) === 1, bytes };
}

test("strings and numbers arrive as they were sent", () => {
  call("log", 2, ...put("é ☕"), ...put(""));
  expect(call("start", -1, ...put("fetch"), ...put("GET /"), ...put("body"))).toBe(43);
  call("stop", 7);
  call("emit", 3, 1, ...put("ab"));
  call("settle", 4, ...put("proceed\n"));
  expect(seen).toEqual([
    ["warn", "é ☕", ""],
    [0xffff_ffff, "fetch", "GET /", new TextEncoder().encode("body")],
    7,
    [3, "upstream", [97, 98]],
    [4, "proceed\n"],
  ]);
});

test("a text comes back as a result, and an error as the other one", () => {
  call("text", ...put("x"), ...put("é"), ...put("abc"), RESULT_AT);
  expect([readResult().isError, new TextDecoder().decode(readResult().bytes)]).toEqual([false, "é☕3"]);
  call("text", ...put("no"), ...put("way"), ...put(""), RESULT_AT);
  expect([readResult().isError, new TextDecoder().decode(readResult().bytes)]).toEqual([true, "no way"]);
});

test("bytes come back although the memory had to grow for them", () => {
  call("bytes", ...put("x"), ...put("100000"), ...put("z"), RESULT_AT);
  expect(readResult().isError).toBe(false);
  expect(readResult().bytes).toEqual(new Uint8Array(100_000).fill(122));
});

test("what is not UTF-8 arrives as the web's decoder reads it, and so does what begins with a byte order mark", () => {
  const hostile = fc.uint8Array({ maxLength: 12 });
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  fc.assert(
    fc.property(
      fc.oneof(
        hostile,
        hostile.map((bytes) => Uint8Array.of(0xef, 0xbb, 0xbf, ...bytes)),
      ),
      (bytes) => {
        new Uint8Array(memory.buffer).set(bytes, HEAP_AT);
        call("settle", 4, HEAP_AT, bytes.length);
        expect(seen.pop()).toEqual([4, decoder.decode(bytes)]);
      },
    ),
  );
});

describe("a guest that points beyond its memory traps", () => {
  test.each([
    ["a string", () => call("settle", 1, 65_530, 100)],
    ["a string that wraps around", () => call("settle", 1, -1, 2)],
    ["a result", () => call("text", ...put("x"), ...put("y"), ...put(""), 65_530)],
  ])("%s", (_, run) => {
    expect(run).toThrow("points beyond its memory");
  });

  test("a side that is none", () => {
    expect(() => call("emit", 1, 2, 0, 0)).toThrow("side 2");
  });
});
