import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { idleHost, probeBundle } from "../../test/contract/subjects.ts";
import { digestOf } from "../../sdk/build/artifact.ts";
import { builtPeer } from "../../test/harness/built-peers.ts";
import { makeTempFolder, type TempFolder } from "../../test/harness/temp-folder.ts";
import { FilterLimits } from "../contract/filter.ts";
import type { Engine, GuestHost, GuestInstance, GuestModule, LoadedFile } from "./engine.ts";
import { createWasmtimeEngine } from "./wasmtime-engine.ts";

const LIMITS = FilterLimits.parse({});
const HEAD = "x-do: count\n";

let folder: TempFolder;
let files: readonly LoadedFile[];
let engine: Engine;
let module: GuestModule;

beforeAll(async () => {
  folder = await makeTempFolder();
  engine = make();
  const bundle = await probeBundle();
  const selected = engine.selectFiles(bundle.ref);
  if (!selected.ok) throw new Error(selected.error);
  files = selected.value.map((file) =>
    Object.assign({ bytes: bundle.files.get(file.digest) ?? new Uint8Array() }, file),
  );
  module = await load(engine);
}, 60_000);
afterAll(() => folder[Symbol.asyncDispose]());

function make(): Engine {
  const made = createWasmtimeEngine({
    library: builtPeer("libwasmtime.so"),
    codeFolder: folder.file("code"),
    now: () => Date.now(),
  });
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

async function load(by: Engine): Promise<GuestModule> {
  const loaded = await by.load(files, LIMITS);
  if (!loaded.ok) throw new Error(loaded.error);
  return loaded.value;
}

function start(host: Partial<GuestHost> = {}): GuestInstance {
  const made = module.instantiate(
    idleHost({ clock: { now: () => 0, monotonic: () => 0 }, log: () => undefined, ...host }),
  );
  if (!made.ok) throw new Error(made.error.message);
  const configured = made.value.configure("{}");
  if (!configured.ok || configured.value.problems !== undefined) throw new Error("expected a configured instance");
  return made.value;
}

async function codeFile(): Promise<string> {
  const names = await readdir(folder.file("code"));
  return folder.file(`code/${names.find((name) => name.endsWith(".cwasm")) ?? "none"}`);
}

/** Resident memory after so many instances came and went. */
function residentAfter(count: number): number {
  for (let turn = 0; turn < count; turn++) start().stop();
  Bun.gc(true);
  return process.memoryUsage.rss();
}

test("a fresh instance has nothing of the one before, whose memory it has", () => {
  for (let turn = 0; turn < 30; turn++) {
    const instance = start();
    expect(instance.begin(1, "request", HEAD)).toMatchObject({ ok: true, value: expect.stringContaining("x-a: 1\n") });
    instance.stop();
  }
});

test("a guest that was kept is put back as often as asked, and not where its memory has grown", () => {
  const instance = start();
  expect(instance.reset()).toBe(false);
  expect(instance.keep()).toBe(true);
  for (let turn = 0; turn < 30; turn++) {
    expect(instance.begin(1, "request", HEAD)).toMatchObject({ ok: true, value: expect.stringContaining("x-a: 1\n") });
    expect(instance.reset()).toBe(true);
  }
  instance.fuelMax = 100_000_000;
  expect(instance.begin(1, "request", "x-do: memory\n").ok).toBe(true);
  expect(instance.reset()).toBe(false);
  instance.stop();
});

test("a guest that has trapped is not put back", () => {
  const instance = start();
  expect(instance.keep()).toBe(true);
  instance.fuelMax = 1_000_000;
  expect(instance.begin(1, "request", "x-do: loop\n").ok).toBe(false);
  expect(instance.reset()).toBe(false);
  instance.stop();
});

test("instances that were stopped leave no memory behind", () => {
  const before = residentAfter(300);
  expect(residentAfter(1500) - before).toBeLessThan(8 * 1024 * 1024);
}, 30_000);

test("more instances than memories are kept for live side by side", () => {
  const instances = Array.from({ length: 20 }, () => start());
  const counted = instances.map((instance) => instance.begin(1, "request", HEAD));
  expect(counted.every((answer) => answer.ok && answer.value.includes("x-a: 1\n"))).toBe(true);
  expect(instances.every(({ memoryBytes }) => memoryBytes > 1024 * 1024)).toBe(true);
  for (const instance of instances) instance.stop();
});

test("an instance that was stopped answers nothing, and may be stopped again", () => {
  const instance = start();
  instance.stop();
  instance.stop();
  expect(instance.begin(1, "request", HEAD)).toMatchObject({ ok: false, error: { message: "was stopped" } });
});

test("a host that throws, or stops the guest that calls it, costs that guest alone", () => {
  const other = start();
  const throwing = start({
    log: () => {
      throw new Error("the log is full");
    },
  });
  expect(throwing.begin(1, "request", "x-do: log\n")).toMatchObject({
    ok: false,
    error: { kind: "trap", message: expect.stringContaining("the log is full") },
  });
  throwing.stop();
  const stopping: GuestInstance = start({ log: () => stopping.stop() });
  expect(stopping.begin(1, "request", "x-do: log\n")).toMatchObject({ ok: true });
  expect(stopping.begin(2, "request", HEAD)).toMatchObject({ ok: false });
  expect(other.begin(1, "request", HEAD)).toMatchObject({ ok: true });
  other.stop();
});

test("long texts cross whole, both ways", () => {
  const instance = start();
  const user = "ä☕".repeat(200_000);
  const answered = instance.begin(1, "request", `x-do: count\nx-user: ${user}\n`);
  expect(answered).toMatchObject({ ok: true });
  expect(instance.begin(2, "request", HEAD)).toMatchObject({ ok: true });
  instance.stop();
});

describe("compiled code on disk", () => {
  test("is used by the next start, and the compiler is not", async () => {
    const path = await codeFile();
    const before = await stat(path);
    await load(make());
    expect((await stat(path)).ino).toBe(before.ino);
  });

  test("that was damaged is compiled anew", async () => {
    const path = await codeFile();
    const code = new Uint8Array(await Bun.file(path).arrayBuffer());
    // Beside and not in place: the code is mapped.
    await rm(path);
    await writeFile(path, code.with(100_000, (code[100_000] ?? 0) ^ 1));
    await load(make());
    expect(new Uint8Array(await Bun.file(path).arrayBuffer())).toEqual(code);
  }, 60_000);
});

describe("a library that is not the one", () => {
  test.each([
    ["is not there", "/nowhere/libwasmtime.so", "/nowhere/libwasmtime.so cannot be loaded"],
    ["is another library", "libm.so.6", "libm.so.6 cannot be loaded"],
  ])("%s: the error names it, and where to get the right one", (_, library, message) => {
    const made = createWasmtimeEngine({ library, codeFolder: folder.path, now: () => 0 });
    const error = made.ok ? "" : made.error;
    expect(error).toContain(message);
    expect(error).toContain("pip install");
  });
});

test("what is not a component does not compile, and the reason is told", async () => {
  const bytes = Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 99);
  const loaded = await engine.load(
    [{ name: "component.wasm", digest: digestOf(bytes), sizeBytes: bytes.length, bytes }],
    LIMITS,
  );
  expect(loaded).toMatchObject({ ok: false, error: expect.stringContaining("component.wasm does not compile") });
}, 30_000);
