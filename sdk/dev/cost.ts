// What a built filter costs a proxy: derived, loaded and run as control and a proxy would, on made-up heads.
import { buildAdapterCalls, buildFilter, type FilterDeps } from "../../runtime/wasm/build-filter.ts";
import { adapterPhasesOf } from "../../runtime/contract/adapter.ts";
import type { Manifest } from "../../runtime/contract/bundle.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import type { Parsed } from "../../runtime/contract/problem.ts";
import type { Verdict } from "../../runtime/chain/filter.ts";
import type { GuestInstance } from "../../runtime/wasm/engine.ts";
import { jscEngine } from "../../runtime/wasm/jsc-engine.ts";
import type { BuiltFilter } from "../build/build.ts";
import { deriveBundle } from "../build/derive.ts";
import { makeExchange, startClock } from "../testing/exchange.ts";
import { surroundingsOf } from "../testing/run-filter.ts";
import type { Config } from "./settings.ts";

/** What one filter takes of a proxy. */
export interface Cost {
  /** All that a proxy fetches; the engine's core, 1.4 MB of it, is the same for every filter. */
  readonly bundleBytes: number;
  /** Linear memory of one instance after the calls; each worker has one. */
  readonly memoryBytes: number;
  /** A request's handler that answered at once: fuel, and microseconds of this machine. */
  readonly request: CallCost | undefined;
  /** The same of an adapter, of the first of its kinds that answered at once. */
  readonly asked: (CallCost & { readonly phase: "check" | "quota" }) | undefined;
}

interface CallCost {
  readonly fuel: number;
  readonly us: number;
}

const CALLS = 200;

/** Measures a filter; its problems where control or a proxy would refuse it, or its configuration. */
export async function measureCost({ artifact, manifest }: BuiltFilter, config: Config): Promise<Parsed<Cost>> {
  const derived = await deriveBundle(artifact);
  if (!derived.ok) return derived;
  const { ref, files } = derived.value;
  const instances: GuestInstance[] = [];
  const clock = startClock();
  const upstreams = Object.fromEntries(
    manifest.upstreams.filter((name) => name !== "*").map((name) => [name, { cluster: name }]),
  );
  const source = { kind: "bundle" as const, bundle: ref };
  const use = FilterUse.parse({ name: manifest.name, source, stage: manifest.stage, config, upstreams });
  const deps: FilterDeps = {
    ...surroundingsOf(clock),
    builtins: new Map(),
    engine: {
      ...jscEngine,
      load: async (loaded, limits) => {
        const module = await jscEngine.load(loaded, limits);
        if (!module.ok) return module;
        return {
          ok: true,
          value: {
            instantiate: (host) => {
              const made = module.value.instantiate(host);
              if (made.ok) instances.push(made.value);
              return made;
            },
          },
        };
      },
    },
    fetchFile: ({ name, digest }) => {
      const bytes = files.get(digest);
      return Promise.resolve(
        bytes === undefined ? { ok: false, error: `${name} is not there` } : { ok: true, value: bytes },
      );
    },
  };
  const ran = adapterPhasesOf(manifest).length > 0 ? await runAdapter(use, deps, manifest) : await runFilter(use, deps);
  if (!ran.ok) return ran;
  const { request, asked, stop } = ran.value;
  const [first] = instances;
  const bundleBytes = ref.files.reduce(
    (sum, { name, sizeBytes }) => sum + (name === "component.wasm" ? 0 : sizeBytes),
    0,
  );
  const memoryBytes = first?.memoryBytes ?? 0;
  stop();
  return { ok: true, value: { bundleBytes, memoryBytes, request, asked } };
}

interface Ran extends Pick<Cost, "request" | "asked"> {
  /** Lets go of its instances. */
  readonly stop: () => void;
}

async function runFilter(use: FilterUse, deps: FilterDeps): Promise<Parsed<Ran>> {
  const built = await buildFilter(use, deps);
  if (!built.ok) return built;
  const filter = built.value;
  const ask = (): Verdict | Promise<Verdict> | undefined => filter.request?.(makeExchange({}, deps.clock));
  let request: Cost["request"];
  if (!(ask() instanceof Promise) && filter.request !== undefined) {
    const us = microseconds(() => void ask());
    request = { fuel: filter.fuelUsed, us };
  }
  return { ok: true, value: { request, asked: undefined, stop: () => filter.stop() } };
}

async function runAdapter(use: FilterUse, deps: FilterDeps, manifest: Manifest): Promise<Parsed<Ran>> {
  const built = await buildAdapterCalls(use, deps);
  if (!built.ok) return built;
  const calls = built.value;
  const lines = `:name: test\n:value: 1\n${manifest.reads.map((name) => `${name}: -\n`).join("")}`;
  let asked: Cost["asked"];
  for (const phase of ["check", "quota"] as const) {
    if (asked !== undefined || !manifest.phases.includes(phase)) continue;
    const first = calls.ask(phase, lines);
    if (!("kind" in first) || first.kind === "failed") continue;
    asked = { phase, fuel: first.fuel, us: microseconds(() => void calls.ask(phase, lines)) };
  }
  return { ok: true, value: { request: undefined, asked, stop: () => calls.stop() } };
}

function microseconds(call: () => void): number {
  const startedMs = performance.now();
  for (let count = 0; count < CALLS; count++) call();
  return ((performance.now() - startedMs) * 1000) / CALLS;
}
