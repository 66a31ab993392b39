// What a built filter costs a proxy: derived, loaded and run as control and a proxy would, on made-up heads.
import { buildFilter } from "../../runtime/wasm/build-filter.ts";
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
  readonly request: { readonly fuel: number; readonly us: number } | undefined;
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
  const built = await buildFilter(use, {
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
  });
  if (!built.ok) return built;
  const filter = built.value;
  const ask = (): Verdict | Promise<Verdict> | undefined => filter.request?.(makeExchange({}, clock));
  let request: Cost["request"];
  if (!(ask() instanceof Promise) && filter.request !== undefined) {
    const startedMs = performance.now();
    for (let call = 0; call < CALLS; call++) void ask();
    request = { fuel: filter.fuelUsed, us: ((performance.now() - startedMs) * 1000) / CALLS };
  }
  const [first] = instances;
  const bundleBytes = ref.files.reduce(
    (sum, { name, sizeBytes }) => sum + (name === "component.wasm" ? 0 : sizeBytes),
    0,
  );
  filter.stop();
  return { ok: true, value: { bundleBytes, memoryBytes: first?.memoryBytes ?? 0, request } };
}
