// The engines that the filter contract runs over, each behind `buildFilter` as the proxy calls it.
import { join } from "node:path";
import type { Filter } from "../../runtime/chain/filter.ts";
import type { AnyFilter } from "../../sdk/define-filter.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import { renderProblem, type Parsed } from "../../runtime/contract/problem.ts";
import { buildFilter, type FilterDeps } from "../../runtime/wasm/build-filter.ts";
import type { Engine, GuestHost } from "../../runtime/wasm/engine.ts";
import { jscEngine } from "../../runtime/wasm/jsc-engine.ts";
import { buildFilterFile } from "../../sdk/build/build.ts";
import { deriveBundle, type DerivedBundle } from "../../sdk/build/derive.ts";
import { startClock, type TestClock } from "../../sdk/testing/exchange.ts";
import { surroundingsOf } from "../../sdk/testing/run-filter.ts";
import probe from "../fixtures/probe/filter.ts";
import { wasmtimeEngine } from "../harness/wasmtime.ts";

/** Fields of a use that a test sets; the rest is plain. */
export type UseInit = Partial<Omit<FilterUse, "source" | "limits">> & {
  readonly limits?: Partial<FilterUse["limits"]>;
};

/** What a test gives of what filters are built with. */
export type TestDeps = Partial<Omit<FilterDeps, "clock">> & { readonly clock?: TestClock };

/** One engine. */
export interface Subject {
  readonly engine: "native" | Engine["name"];
  build(init?: UseInit, deps?: TestDeps): Promise<Parsed<Filter>>;
}

export const PROBE = join(import.meta.dir, "../fixtures/probe/filter.ts");

/** The probe, built and derived; one build for all tests of a run. */
export function probeBundle(): Promise<DerivedBundle> {
  built ??= deriveFile(PROBE);
  return built;
}

let built: Promise<DerivedBundle> | undefined;

/** What control makes of a filter's file. */
export async function deriveFile(path: string): Promise<DerivedBundle> {
  const artifact = unwrap(await buildFilterFile(path));
  return unwrap(await deriveBundle(artifact.artifact));
}

/** The filter itself, or an exception that says what is wrong. */
export function unwrap<T>(parsed: Parsed<T>): T {
  if (parsed.ok) return parsed.value;
  throw new Error(parsed.problems.map((problem) => renderProblem(problem)).join("\n"));
}

/** What `buildFilter` needs, with the files of a bundle at hand. */
export function depsFor(bundle: DerivedBundle | undefined, deps: TestDeps = {}): FilterDeps {
  return {
    builtins: new Map([[probe.name, probe]]),
    engine: jscEngine,
    fetchFile: ({ digest }) => {
      const bytes = bundle?.files.get(digest);
      return Promise.resolve(bytes === undefined ? { ok: false, error: "is not there" } : { ok: true, value: bytes });
    },
    ...surroundingsOf(deps.clock ?? startClock()),
    ...deps,
  };
}

/** The sandbox engines, by name. */
export const ENGINES: readonly Engine["name"][] = ["jsc", "wasmtime"];

export const SUBJECTS: readonly Subject[] = subjectsOf(probe, PROBE);

/** One of them. */
export function engineOf(name: Engine["name"]): Engine {
  return name === "jsc" ? jscEngine : wasmtimeEngine();
}

/** Every engine, for a fixture. */
export function subjectsOf(filter: AnyFilter, path: string): readonly Subject[] {
  const builtins = new Map([[filter.name, filter]]);
  let derived: Promise<DerivedBundle> | undefined;
  const bundleOf = (): Promise<DerivedBundle> => (path === PROBE ? probeBundle() : (derived ??= deriveFile(path)));
  const native: Subject = {
    engine: "native",
    build: (init, deps) =>
      buildFilter(
        useOf({ kind: "builtin", name: filter.name }, { name: filter.name, ...init }),
        depsFor(undefined, { builtins, ...deps }),
      ),
  };
  const sandboxed = ENGINES.map((engine): Subject => ({
    engine,
    build: async (init, deps) => {
      const bundle = await bundleOf();
      return buildFilter(
        useOf({ kind: "bundle", bundle: bundle.ref }, { name: filter.name, ...init }),
        depsFor(bundle, { engine: engineOf(engine), ...deps }),
      );
    },
  }));
  return [native, ...sandboxed];
}

/** A use of a filter as a snapshot holds it. */
export function useOf(source: FilterUse["source"], init: UseInit = {}): FilterUse {
  return FilterUse.parse({ name: "probe", stage: "transform", ...init, source });
}

/** A host that offers nothing but what a test gives. */
export function idleHost(given: Pick<GuestHost, "clock" | "log"> & Partial<GuestHost>): GuestHost {
  const refused = { ok: false, error: "is not offered" } as const;
  return {
    start: () => refused,
    stop: () => undefined,
    emit: () => undefined,
    settle: () => undefined,
    text: () => ({ result: refused, fuel: 0 }),
    bytes: () => ({ result: refused, fuel: 0 }),
    ...given,
  };
}
