// A filter that does not come from our SDK runs on both sandbox engines: one in Rust, by Rust's own toolchain
// (test/fixtures/foreign/rust; build.sh makes the artifact that is committed).
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { GuestInstance } from "../../runtime/wasm/engine.ts";
import { FilterLimits } from "../../runtime/contract/filter.ts";
import { hash } from "../../runtime/host/digests.ts";
import { deriveBundle, type DerivedBundle } from "../../sdk/build/derive.ts";
import { wrapComponent } from "../../sdk/build/wrap.ts";
import { ENGINES, engineOf, idleHost, unwrap } from "./subjects.ts";

const FOLDER = join(import.meta.dir, "../fixtures/foreign/rust");
const MANIFEST: unknown = await Bun.file(join(FOLDER, "manifest.json")).json();

let bundle: DerivedBundle;
beforeAll(async () => {
  bundle = unwrap(await deriveBundle(await Bun.file(join(FOLDER, "filter.vespid.wasm")).bytes()));
}, 60_000);

describe.each([...ENGINES])("a filter in Rust on engine %s", (name) => {
  let instance: GuestInstance;
  let emitted: string[];
  const running: GuestInstance[] = [];
  afterEach(() => {
    for (const one of running.splice(0)) one.stop();
  });

  async function start(): Promise<void> {
    const engine = engineOf(name);
    const selected = engine.selectFiles(bundle.ref);
    if (!selected.ok) throw new Error(selected.error);
    const files = selected.value.map((file) =>
      Object.assign({ bytes: bundle.files.get(file.digest) ?? new Uint8Array() }, file),
    );
    const module = await engine.load(files, FilterLimits.parse({}));
    if (!module.ok) throw new Error(module.error);
    emitted = [];
    const made = module.value.instantiate(
      idleHost({
        clock: { now: () => 0, monotonic: () => 0 },
        log: (level, message, fields) => emitted.push(`${level} ${message} ${fields}`),
        start: (_call, kind, request) => ({ ok: true, value: emitted.push(`${kind} ${request}`) }),
        emit: (_call, to, bytes) => emitted.push(`${to} ${new TextDecoder().decode(bytes)}`),
        bytes: (what, request, payload) =>
          what === "hash" ? hash(request, payload) : { result: { ok: false, error: "is not known" }, fuel: 0 },
      }),
    );
    if (!made.ok) throw new Error(made.error.message);
    instance = made.value;
    running.push(instance);
    expect(instance.configure('{"a":1}')).toEqual({ ok: true, value: { problems: undefined } });
  }

  test("is called, and calls its host", async () => {
    await start();
    expect(emitted).toEqual(['debug configured {"a":1}']);
    expect(instance.begin(1, "request", "x-user: Zoë ☕\n")).toEqual({
      ok: true,
      value: "proceed\nset x-greeting: hello Zoë ☕\n",
    });
    expect(instance.begin(2, "request", "x-do: deny\n")).toMatchObject({
      ok: true,
      value: expect.stringContaining("403"),
    });
    expect(instance.begin(3, "request", "x-do: hash\nx-user: a\n")).toEqual({
      ok: true,
      value: "proceed\nset x-greeting: ca97\n",
    });
    expect(instance.begin(4, "request", "x-do: wait\n")).toEqual({ ok: true, value: "pending\n" });
    expect(instance.resume(4, 2, "", new Uint8Array())).toEqual({
      ok: true,
      value: "proceed\nset x-greeting: waited\n",
    });
    expect(emitted.at(-1)).toBe("sleep 5");
    expect(instance.chunk(5, "downstream", Buffer.from("héllo"), false)).toEqual({ ok: true, value: "proceed\n" });
    expect(emitted.at(-1)).toBe("upstream HéLLO");
    expect(instance.cancel(5)).toEqual({ ok: true, value: undefined });
    expect(instance.fuelUsed).toBeLessThan(1000);
  }, 30_000);

  test("its last words are logged", async () => {
    await start();
    instance.begin(1, "request", "x-do: trap\n");
    expect(emitted.join("")).toContain("as it was asked");
  }, 30_000);

  test.each([
    ["loop", { kind: "out_of_fuel", message: "ran out of fuel" }],
    ["trap", { kind: "trap", message: expect.stringMatching(/unreachable/iu) }],
  ])(
    "is stopped when it should %s",
    async (what, error) => {
      await start();
      expect(instance.begin(1, "request", `x-do: ${what}\n`)).toMatchObject({ ok: false, error });
    },
    30_000,
  );
});

test("wrapping tells what is wrong with a manifest, or that the component is none of ours", async () => {
  const component = await Bun.file(join(FOLDER, "filter.vespid.wasm")).bytes();
  const wrong = wrapComponent(component, { name: "Foreign", stage: "transform" });
  expect(wrong.ok ? [] : wrong.problems.map(({ path }) => path)).toContain("name");
  const twice = wrapComponent(component, MANIFEST);
  expect(twice.ok ? "" : twice.problems[0]?.message).toContain("has 2 sections");
  const empty = wrapComponent(Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), MANIFEST);
  expect(empty.ok ? "" : empty.problems[0]?.message).toContain("must export");
});
