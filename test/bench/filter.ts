// What does a filter cost: a call, an instance, a start?
import { join } from "node:path";
import type { Filter } from "../../runtime/chain/filter.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import { buildFilter, type FilterDeps } from "../../runtime/wasm/build-filter.ts";
import type { GuestModule } from "../../runtime/wasm/engine.ts";
import { jscEngine } from "../../runtime/wasm/jsc-engine.ts";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { deriveBundle, type DerivedBundle } from "../../sdk/build/derive.ts";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { surroundingsOf } from "../../sdk/testing/run-filter.ts";
import { idleHost } from "../contract/subjects.ts";
import stamp from "../fixtures/stamp/filter.ts";
import { measureEngines } from "./filter-engines.ts";
import { loadBareComponent } from "./bare-component.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "What does a filter cost a request, natively and sandboxed, and what does an instance take?";

const NATIVE_MAX_US = 1;
const SANDBOXED_MAX_US = 12;
const FILE = join(import.meta.dir, "../fixtures/stamp/filter.ts");

/** Ten headers, of which the filter reads three; it makes one edit. */
const HEADERS = {
  "user-agent": "bench/1.0",
  accept: "*/*",
  "accept-encoding": "gzip",
  "accept-language": "en",
  "x-user": "ada",
  "x-tenant": "books",
  "x-request-id": "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
  "x-forwarded-for": "10.0.0.7",
  cookie: "session=0123456789abcdef",
  referer: "https://shop.example.com/",
};

/** Builds the filter, runs it in both engines and takes the median of the rounds. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  progress("building and deriving the filter");
  const { bundle, buildMs, deriveMs } = await prepare();
  const deps = depsFor(bundle);
  const starts = await measureStarts(bundle, deps, isQuick ? 3 : 9);

  progress("the engines side by side");
  const engines = await measureEngines(bundle, isQuick);
  const bare = await loadBareComponent();
  const native = await filterOf({ kind: "builtin", name: stamp.name }, deps);
  const sandboxed = await filterOf({ kind: "bundle", bundle: bundle.ref }, deps);
  const rounds = isQuick ? 5 : 15;
  const figures = { native: [] as number[], sandboxed: [] as number[], bare: [] as number[] };
  // A round of each in turn, so that what else the machine does falls on both.
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    figures.native.push(measureCall(native, 20_000));
    figures.sandboxed.push(measureCall(sandboxed, isQuick ? 3000 : 10_000));
    figures.bare.push(measureBare(bare, isQuick ? 3000 : 10_000));
  }
  const fuel = sandboxed.fuelUsed;
  native.stop();
  sandboxed.stop();
  const rows: BenchRow[] = [
    { figure: "native call", value: settled(figures.native), unit: "µs", limit: NATIVE_MAX_US },
    { figure: "sandboxed call", value: settled(figures.sandboxed), unit: "µs", limit: SANDBOXED_MAX_US },
    { figure: "fuel of a call", value: fuel, unit: "fuel" },
    {
      figure: "bare call",
      value: settled(figures.bare),
      unit: "µs",
      note: "nothing of ours: QuickJS and jco's glue pass a text back; 3.9 where the limits were set",
    },
    ...starts,
    ...engines,
    { figure: "build", value: buildMs, unit: "ms", limit: 3000, note: "TypeScript to artifact" },
    { figure: "derive", value: deriveMs, unit: "ms", note: "artifact to what proxies load, in its own process" },
  ];
  return { name: "filter", question, rows };
}

/** The median without the first two rounds, which compile. */
function settled(values: readonly number[]): number {
  return median(values.slice(2));
}

async function prepare(): Promise<{ bundle: DerivedBundle; buildMs: number; deriveMs: number }> {
  const startedMs = performance.now();
  const built = await buildFilterFile(FILE);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const builtMs = performance.now();
  const derived = await deriveBundle(built.value.artifact);
  if (!derived.ok) throw new Error(JSON.stringify(derived.problems));
  return { bundle: derived.value, buildMs: builtMs - startedMs, deriveMs: performance.now() - builtMs };
}

function depsFor(bundle: DerivedBundle): FilterDeps {
  return {
    builtins: new Map([[stamp.name, stamp]]),
    engine: jscEngine,
    fetchFile: ({ digest }) => {
      const bytes = bundle.files.get(digest);
      return Promise.resolve(bytes === undefined ? { ok: false, error: "is not there" } : { ok: true, value: bytes });
    },
    ...surroundingsOf(startClock()),
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
  };
}

async function filterOf(source: FilterUse["source"], deps: FilterDeps): Promise<Filter> {
  const built = await buildFilter(FilterUse.parse({ name: "stamp", stage: "transform", source }), deps);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  return built.value;
}

/** Microseconds of one call of the request handler. */
function measureCall(filter: Filter, calls: number): number {
  const exchange = makeExchange({ path: "/cart?item=7", headers: HEADERS });
  const startedMs = performance.now();
  for (let call = 0; call < calls; call++) {
    const verdict = filter.request?.(exchange);
    if (verdict === undefined || verdict instanceof Promise || verdict.kind !== "proceed")
      throw new Error("expected proceed");
  }
  return ((performance.now() - startedMs) * 1000) / calls;
}

/** Microseconds of one call of the component that is not ours. */
function measureBare(call: (text: string) => string, calls: number): number {
  const head = "x-user: ada\nx-tenant: books\nx-request-id: 0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9\n";
  const startedMs = performance.now();
  for (let count = 0; count < calls; count++) if (call(head) !== head) throw new Error("expected the text");
  return ((performance.now() - startedMs) * 1000) / calls;
}

async function measureStarts(bundle: DerivedBundle, deps: FilterDeps, rounds: number): Promise<readonly BenchRow[]> {
  const selected = jscEngine.selectFiles(bundle.ref);
  if (!selected.ok) throw new Error(selected.error);
  const files = selected.value.map(({ name, digest, sizeBytes }) => ({
    name,
    digest,
    sizeBytes,
    bytes: bundle.files.get(digest) ?? new Uint8Array(),
  }));
  const limits = FilterUse.parse({
    name: "x",
    stage: "transform",
    source: { kind: "bundle", bundle: bundle.ref },
  }).limits;
  const host = idleHost({ clock: deps.clock, log: () => undefined });

  const loadStartedMs = performance.now();
  const loaded = await jscEngine.load(files, limits);
  if (!loaded.ok) throw new Error(loaded.error);
  const loadMs = performance.now() - loadStartedMs;
  const cold = startInstance(loaded.value, host);
  const warm = Array.from({ length: rounds }, () => startInstance(loaded.value, host));
  return [
    { figure: "load", value: loadMs, unit: "ms", note: "verify and compile, once for each version" },
    { figure: "cold start", value: cold.ms, unit: "ms", note: "first instance and its configuration" },
    { figure: "warm start", value: median(warm.map(({ ms }) => ms)), unit: "ms" },
    { figure: "memory of an instance", value: cold.memoryBytes / 1024 / 1024, unit: "MiB" },
  ];
}

function startInstance(
  module: GuestModule,
  host: Parameters<GuestModule["instantiate"]>[0],
): { readonly ms: number; readonly memoryBytes: number } {
  const startedMs = performance.now();
  const made = module.instantiate(host);
  if (!made.ok) throw new Error(made.error.message);
  const configured = made.value.configure("{}");
  if (!configured.ok || configured.value.problems !== undefined) throw new Error("expected a configured instance");
  return { ms: performance.now() - startedMs, memoryBytes: made.value.memoryBytes };
}
