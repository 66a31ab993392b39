// A filter's file as proxies get it: built and derived, once for each file of a test run.
import { buildAdapterCalls, buildFilter, type FilterDeps } from "../../runtime/wasm/build-filter.ts";
import type { AdapterCalls } from "../../runtime/chain/adapter-calls.ts";
import type { Filter } from "../../runtime/chain/filter.ts";
import type { FilterSurroundings } from "../../runtime/chain/native-filter.ts";
import type { FilterUse } from "../../runtime/contract/filter.ts";
import { renderProblem, type Parsed } from "../../runtime/contract/problem.ts";
import { jscEngine } from "../../runtime/wasm/jsc-engine.ts";
import { parseArtifact } from "../build/artifact.ts";
import { buildFilterFile } from "../build/build.ts";
import { deriveBundle, type DerivedBundle } from "../build/derive.ts";
import { explainFailure, guestPlaces } from "../build/failure-text.ts";
import { parseSourceMap } from "../build/source-map.ts";

/** A built filter, and how to run it. */
export interface BuiltComponent {
  readonly bundle: DerivedBundle;
  readonly build: (use: FilterUse, surroundings: FilterSurroundings) => Promise<Parsed<Filter>>;
  /** The same of an adapter. */
  readonly buildCalls: (use: FilterUse, surroundings: FilterSurroundings) => Promise<Parsed<AdapterCalls>>;
  /** A failure's text with positions of the author's files. */
  readonly explain: (message: string) => string;
}

const built = new Map<string, Promise<BuiltComponent>>();

/** Builds a file, or takes what was built of it before. Throws what does not build. */
export function buildComponent(file: string): Promise<BuiltComponent> {
  let component = built.get(file);
  if (component === undefined) {
    component = make(file);
    built.set(file, component);
  }
  return component;
}

async function make(file: string): Promise<BuiltComponent> {
  const artifact = unwrap(await buildFilterFile(file));
  const bundle = unwrap(await deriveBundle(artifact.artifact));
  const places = guestPlaces(parseSourceMap(unwrap(parseArtifact(artifact.artifact)).sourceMap));
  const depsOf = (surroundings: FilterSurroundings): FilterDeps => ({
    ...surroundings,
    builtins: new Map(),
    engine: jscEngine,
    fetchFile: ({ name, digest }) => {
      const bytes = bundle.files.get(digest);
      return Promise.resolve(
        bytes === undefined ? { ok: false, error: `${name} is not there` } : { ok: true, value: bytes },
      );
    },
  });
  return {
    bundle,
    build: (use, surroundings) => buildFilter(use, depsOf(surroundings)),
    buildCalls: (use, surroundings) => buildAdapterCalls(use, depsOf(surroundings)),
    explain: (message) => explainFailure(message, places),
  };
}

function unwrap<Value>(parsed: Parsed<Value>): Value {
  if (parsed.ok) return parsed.value;
  throw new Error(parsed.problems.map((problem) => renderProblem(problem)).join("\n"));
}
