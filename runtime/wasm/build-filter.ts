// From a filter's use in a snapshot to a filter that is ready: fetched, verified, compiled, configured and warm, or every
// problem with its path below the use. Nothing of a filter that could not be built stays behind.
import type { AnyFilter } from "../../sdk/define-filter.ts";
import type { AdapterCalls } from "../chain/adapter-calls.ts";
import { compileWrites } from "../chain/edits.ts";
import type { Filter } from "../chain/filter.ts";
import { NO_METER, type FilterMeter } from "../chain/meter.ts";
import {
  buildNativeFilter,
  buildNativeRunner,
  missingUpstreams,
  type FilterSurroundings,
} from "../chain/native-filter.ts";
import { Operations } from "../chain/operations.ts";
import { PhasedFilter } from "../chain/phased-filter.ts";
import { adapterPhasesOf } from "../contract/adapter.ts";
import type { BundleRef, Manifest } from "../contract/bundle.ts";
import type { FilterUse } from "../contract/filter.ts";
import type { Parsed, Problem } from "../contract/problem.ts";
import type { Result } from "../exchange/failure.ts";
import { promiseOf } from "../exchange/pledge.ts";
import { createHostFunctions } from "../host/host-functions.ts";
import { PrivateMemory } from "../host/shared-memory.ts";
import { SharedState, type SharedScope } from "../host/shared-state.ts";
import { loadFiles, type FetchFile } from "./bundle.ts";
import type { Engine, GuestHost, GuestModule } from "./engine.ts";
import { FuelGovernor } from "./fuel-governor.ts";
import { GuestRunner } from "./guest-runner.ts";
import { FreshInstances, InstanceSlot, type Acquired, type Instances } from "./instance.ts";
import { LiveInstance } from "./live-instance.ts";

/** What building a filter needs from the proxy. */
export interface FilterDeps extends FilterSurroundings {
  /** Filters that run native, by name. */
  readonly builtins: ReadonlyMap<string, AnyFilter>;
  /** Runs the filters that come as bundles. */
  readonly engine: Engine;
  readonly fetchFile: FetchFile;
}

/** Calls made of a throw-away instance, so that the first request meets compiled code. */
const WARM_UP_CALLS = 64;
const WARM_UP_MAX_MS = 20;
const PROBLEMS_MAX = 100;
const MESSAGE_MAX_LENGTH = 1000;

/** Builds the filter of a use. */
export async function buildFilter(use: FilterUse, deps: FilterDeps): Promise<Parsed<Filter>> {
  const { source } = use;
  if (source.kind === "bundle") return buildGuestFilter(use, source.bundle, deps);
  const builtin = deps.builtins.get(source.name);
  if (builtin === undefined) {
    const known = [...deps.builtins.keys()].join(", ");
    return fault("source.name", `${JSON.stringify(source.name)} is not a built-in filter; there are ${known}`);
  }
  return buildNativeFilter(builtin, use, deps);
}

/** Builds what is behind an adapter that is a filter of its own kind: what calls its handlers. Paths as those of `buildFilter`. */
export async function buildAdapterCalls(use: FilterUse, deps: FilterDeps): Promise<Parsed<AdapterCalls>> {
  const { source } = use;
  if (source.kind === "bundle") return buildGuestRunner(use, source.bundle, deps);
  const builtin = deps.builtins.get(source.name);
  return builtin === undefined
    ? fault("source.name", `${JSON.stringify(source.name)} is not a built-in filter`)
    : buildNativeRunner(builtin, use, deps);
}

async function buildGuestFilter(use: FilterUse, bundle: BundleRef, deps: FilterDeps): Promise<Parsed<Filter>> {
  const { manifest } = bundle;
  if (adapterPhasesOf(manifest).length > 0)
    return fault("source.bundle", `${manifest.name} is an adapter: it sees no messages, rules ask it`);
  const writes = compileWrites(manifest.writes);
  if (typeof writes === "string") return fault("source.bundle.manifest.writes", writes);
  const runner = await buildGuestRunner(use, bundle, deps);
  return runner.ok ? { ok: true, value: new PhasedFilter(use, manifest, writes, runner.value, deps.clock) } : runner;
}

async function buildGuestRunner(use: FilterUse, bundle: BundleRef, deps: FilterDeps): Promise<Parsed<GuestRunner>> {
  const { manifest } = bundle;
  const missing = missingUpstreams(manifest.upstreams, use);
  if (missing.length > 0) return { ok: false, problems: missing };
  const meter = deps.declareMetrics(use.name, manifest.metrics);
  if (!meter.ok) return fault("source.bundle.manifest.metrics", meter.error);
  const module = await loadModule(use, bundle, deps);
  if (!module.ok) return fault("source.bundle", module.error);

  const nursery = new Nursery({ use, manifest, module: module.value, deps, meter: meter.value });
  const first = await nursery.birth();
  if (!first.ok) return first;
  nursery.warmUp();
  const instances = nursery.keep(first.value);
  const runner = new GuestRunner(instances, manifest.timers, deps.schedule, (phase, reason) =>
    deps.log("warn", "a filter's timer failed", { filter: use.name, phase, reason }),
  );
  return { ok: true, value: runner };
}

interface NurseryParts {
  readonly use: FilterUse;
  readonly manifest: Manifest;
  readonly module: GuestModule;
  readonly deps: FilterDeps;
  readonly meter: FilterMeter;
}

/** What an instance reaches outside of itself. */
interface World {
  readonly log: GuestHost["log"];
  readonly operations: Pick<Operations, "start">;
  readonly meter: FilterMeter;
  readonly shared: () => SharedScope | undefined;
}

/** Where instances of one use come from. */
class Nursery {
  readonly #parts: NurseryParts;
  readonly #config: string;
  readonly #operations: Operations;
  readonly #governor: FuelGovernor;
  #instances: Instances | undefined = undefined;

  constructor(parts: NurseryParts) {
    this.#parts = parts;
    this.#config = JSON.stringify(parts.use.config);
    this.#governor = new FuelGovernor(parts.use.limits.fuel, parts.deps.clock);
    this.#operations = new Operations(parts.use, parts.deps.callout, parts.deps.schedule);
  }

  /** An instance, configured and set up, or every problem of that. */
  birth(): Parsed<LiveInstance> | Promise<Parsed<LiveInstance>> {
    const { use, manifest, deps } = this.#parts;
    const made = this.#make({
      log: (level, message, fields) => deps.log(level, message, { ...fieldsOf(fields), filter: use.name }),
      operations: this.#operations,
      meter: this.#parts.meter,
      shared: () => deps.shared.scopeOf(use.name),
    });
    if (!made.ok || !manifest.phases.includes("setup")) return made;
    return setUp(made.value);
  }

  /** Keeps instances as the filter wants them. */
  keep(first: LiveInstance): Instances {
    const { use, manifest, deps } = this.#parts;
    const make = (): Acquired | Promise<Acquired> => {
      const born = this.birth();
      return born instanceof Promise ? born.then(acquiredOf) : acquiredOf(born);
    };
    if (manifest.isolation === "request") {
      first.stop("was a trial");
      this.#instances = new FreshInstances(make, deps.clock);
    } else {
      this.#instances = new InstanceSlot(make, deps.clock, use.limits, first);
    }
    return this.#instances;
  }

  /** Runs the handlers on made-up heads. The instance is thrown away: what a filter keeps, counts or shares must not begin with them. */
  warmUp(): void {
    const { use, manifest, deps } = this.#parts;
    let scope: SharedScope | undefined;
    const made = this.#make({
      log: () => undefined,
      operations: NO_OPERATIONS,
      meter: NO_METER,
      shared: () => (scope ??= new SharedState(new PrivateMemory(), deps.clock).scopeOf(use.name)),
    });
    if (!made.ok) return;
    const instance = made.value;
    const lines = manifest.reads.map((name) => `${name}: -\n`).join("");
    const endsAtMs = deps.clock.monotonic() + WARM_UP_MAX_MS;
    for (let call = 0; call < WARM_UP_CALLS && deps.clock.monotonic() < endsAtMs; call++) {
      for (const phase of WARMED_PHASES) {
        if (!manifest.phases.includes(phase)) continue;
        const begun = instance.begin(phase, MADE_UP[phase](lines), undefined);
        if ("kind" in begun && begun.kind === "faulted") return;
      }
    }
    instance.stop("was warmed up");
  }

  #make({ log, operations, meter, shared }: World): Parsed<LiveInstance> {
    const { use, module, deps } = this.#parts;
    const live: LiveInstance = new LiveInstance({
      limits: use.limits,
      operations,
      functions: createHostFunctions({ shared }),
      meter,
      schedule: deps.schedule,
      governor: this.#governor,
      onFault: (instance) => this.#instances?.drop(instance),
      onIdle: (instance) => this.#instances?.idle(instance),
    });
    const made = module.instantiate({
      clock: deps.clock,
      log,
      ...live.host,
    });
    if (!made.ok) return fault("source.bundle", `does not start: ${made.error.message}`);
    live.attach(made.value);
    const configured = made.value.configure(this.#config);
    if (!configured.ok) return fault("config", `could not be taken: the filter ${configured.error.message}`);
    const { problems } = configured.value;
    if (problems === undefined) return { ok: true, value: live };
    live.stop("was refused");
    return { ok: false, problems: parseProblems(problems) };
  }
}

const WARMED_PHASES = ["request", "response", "check", "quota"] as const;
/** A head with these lines. */
const MADE_UP: Readonly<Record<(typeof WARMED_PHASES)[number], (lines: string) => string>> = {
  request: (lines) => lines,
  response: (lines) => `${lines}\n${lines}`,
  check: (lines) => `:name: -\n${lines}`,
  quota: (lines) => `:name: -\n:value: 1\n${lines}`,
};

/** For calls that must reach nobody. */
const NO_OPERATIONS: Pick<Operations, "start"> = {
  start: () => ({ ok: false, error: "is not offered while a filter is warmed up" }),
};

async function setUp(instance: LiveInstance): Promise<Parsed<LiveInstance>> {
  const begun = instance.begin("setup", "", undefined);
  const result = "kind" in begun ? begun : await promiseOf(begun);
  if (result.kind === "answered" && result.answer.kind === "proceed") return { ok: true, value: instance };
  instance.stop("could not be set up");
  let reason = "it answered setup with a reply";
  if (result.kind === "faulted") reason = result.message;
  else if (result.kind === "answered" && result.answer.kind === "failed") reason = result.answer.message;
  return fault("config", `could not be set up: ${reason}`);
}

function acquiredOf(born: Parsed<LiveInstance>): Acquired {
  return born.ok ? born : { ok: false, error: born.problems.map(({ message }) => message).join("; ") };
}

/** The fields of a structured line; they came from the guest. */
function fieldsOf(json: string): Readonly<Record<string, unknown>> {
  if (json === "") return {};
  const fields = parseJson(json);
  return typeof fields === "object" && fields !== null && !Array.isArray(fields) ? { ...fields } : {};
}

async function loadModule(use: FilterUse, bundle: BundleRef, deps: FilterDeps): Promise<Result<GuestModule, string>> {
  const selected = deps.engine.selectFiles(bundle);
  if (!selected.ok) return selected;
  const files = await loadFiles(selected.value, deps.fetchFile);
  return files.ok ? deps.engine.load(files.value, use.limits) : files;
}

/** The guest's problems, below `config`. */
function parseProblems(text: string): readonly Problem[] {
  const listed = parseJson(text);
  const problems = (Array.isArray(listed) ? listed : []).filter(isProblem).slice(0, PROBLEMS_MAX);
  if (problems.length === 0) return [{ path: "config", message: text.slice(0, MESSAGE_MAX_LENGTH) }];
  return problems.map(({ path, message }) => ({
    path: path === "" || path.startsWith("[") ? `config${path}` : `config.${path}`,
    message: message.slice(0, MESSAGE_MAX_LENGTH),
  }));
}

function isProblem(value: unknown): value is Problem {
  if (typeof value !== "object" || value === null) return false;
  return "path" in value && typeof value.path === "string" && "message" in value && typeof value.message === "string";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A guest may answer anything.
    return undefined;
  }
}

function fault(path: string, message: string): { readonly ok: false; readonly problems: readonly Problem[] } {
  return { ok: false, problems: [{ path, message }] };
}
