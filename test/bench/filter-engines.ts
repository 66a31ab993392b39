// What the sandbox engines themselves cost, side by side: a fresh instance, a call, a piece of a body.
import { join } from "node:path";
import { FilterLimits } from "../../runtime/contract/filter.ts";
import type { Engine, GuestInstance, GuestModule } from "../../runtime/wasm/engine.ts";
import { deriveBundle, type DerivedBundle } from "../../sdk/build/derive.ts";
import { ENGINES, engineOf, idleHost } from "../contract/subjects.ts";
import { median, type BenchRow } from "./result.ts";

/** Issue figures: a call with three reads, a fresh instance on Wasmtime, 64 KB of a body at 0.3 ms a megabyte. */
const CALL_MAX_US = 8;
const FRESH_MAX_MS = 0.25;
const CHUNK_MAX_US = 18;
const CHUNK_BYTES = 64 * 1024;
const FOREIGN = join(import.meta.dir, "../fixtures/foreign/rust/filter.vespid.wasm");
/** What the filter reads of a request. */
const HEAD = "x-user: ada\nx-tenant: books\nx-request-id: 0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\n";

/** Rows of every engine; `bundle` is a filter that reads three headers. */
export async function measureEngines(bundle: DerivedBundle, isQuick: boolean): Promise<readonly BenchRow[]> {
  const derived = await deriveBundle(await Bun.file(FOREIGN).bytes());
  if (!derived.ok) throw new Error(JSON.stringify(derived.problems));
  const rows: BenchRow[] = [];
  for (const name of ENGINES) {
    const engine = engineOf(name);
    const quickjs = await load(engine, bundle);
    const rust = await load(engine, derived.value);
    rows.push(...measureFresh(engine, quickjs, isQuick), ...measureCalls(engine, quickjs, rust, isQuick));
  }
  return rows;
}

function measureFresh({ name }: Engine, module: GuestModule, isQuick: boolean): readonly BenchRow[] {
  const turns = isQuick ? 20 : 200;
  const made = Array.from({ length: turns }, () => timedMs(() => start(module).stop()));
  const guest = start(module);
  if (!guest.keep()) throw new Error("expected an instance that can be put back");
  const renewed = Array.from({ length: 4 * turns }, () => {
    if (!guest.begin(1, "request", HEAD).ok) throw new Error("expected an answer");
    return timedMs(() => {
      if (!guest.reset()) throw new Error("expected a reset");
    });
  });
  guest.stop();
  return [
    { figure: `${name}: new instance`, value: median(made), unit: "ms", note: "instantiate, configure and stop" },
    {
      figure: `${name}: fresh instance`,
      value: median(renewed.slice(renewed.length / 2)),
      unit: "ms",
      note: "after a call, back to what it was when it was configured: what isolation by request costs each",
      ...(name === "wasmtime" ? { limit: FRESH_MAX_MS } : {}),
    },
  ];
}

function timedMs(run: () => void): number {
  const startedMs = performance.now();
  run();
  return performance.now() - startedMs;
}

function measureCalls(
  { name }: Engine,
  quickjs: GuestModule,
  rust: GuestModule,
  isQuick: boolean,
): readonly BenchRow[] {
  const chunk = new Uint8Array(CHUNK_BYTES).fill(97);
  const turns = isQuick ? 2000 : 10_000;
  const guest = start(quickjs);
  const foreign = start(rust);
  const rows: BenchRow[] = [
    {
      figure: `${name}: call`,
      value: timed(() => guest.begin(1, "request", HEAD), turns),
      unit: "µs",
      limit: CALL_MAX_US,
      note: "TypeScript, three reads and an edit, without the chain around it",
    },
    {
      figure: `${name}: call, Rust`,
      value: timed(() => foreign.begin(1, "request", "x-user: ada\n"), turns),
      unit: "µs",
      note: "what the engine's own part of a call is, about",
    },
    {
      figure: `${name}: 64 KB of a body, passed on`,
      value: timed(() => guest.chunk(1, "downstream", chunk, false), turns / 20),
      unit: "µs",
      limit: CHUNK_MAX_US,
    },
    {
      figure: `${name}: 64 KB of a body, changed by Rust`,
      value: timed(() => foreign.chunk(1, "downstream", chunk, false), turns / 20),
      unit: "µs",
      note: "in, in capitals, out",
    },
  ];
  guest.stop();
  foreign.stop();
  return rows;
}

/** Microseconds of one turn: the median of five rounds, after five that compile: an engine in WebAssembly takes that long. */
function timed(run: () => { readonly ok: boolean }, turns: number): number {
  const rounds = Array.from({ length: 10 }, () => {
    const startedMs = performance.now();
    for (let turn = 0; turn < turns; turn++) if (!run().ok) throw new Error("expected an answer");
    return ((performance.now() - startedMs) * 1000) / turns;
  });
  return median(rounds.slice(5));
}

async function load(engine: Engine, bundle: DerivedBundle): Promise<GuestModule> {
  const selected = engine.selectFiles(bundle.ref);
  if (!selected.ok) throw new Error(selected.error);
  const files = selected.value.map((file) =>
    Object.assign({ bytes: bundle.files.get(file.digest) ?? new Uint8Array() }, file),
  );
  const loaded = await engine.load(files, FilterLimits.parse({}));
  if (!loaded.ok) throw new Error(loaded.error);
  return loaded.value;
}

function start(module: GuestModule): GuestInstance {
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const made = module.instantiate(idleHost({ clock, log: () => undefined }));
  if (!made.ok) throw new Error(made.error.message);
  const configured = made.value.configure("{}");
  if (!configured.ok || configured.value.problems !== undefined) throw new Error("expected a configured instance");
  return made.value;
}
