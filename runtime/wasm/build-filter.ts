// From a filter's use in a snapshot to a filter that is ready: fetched, verified, compiled, configured and warm, or every
// problem with its path below the use. Nothing of a filter that could not be built stays behind.
import type { AnyFilter } from "../../sdk/define-filter.ts";
import { compileWrites } from "../chain/edits.ts";
import type { Filter } from "../chain/filter.ts";
import { buildNativeFilter, type Log } from "../chain/native-filter.ts";
import type { BundleRef, Manifest } from "../contract/bundle.ts";
import type { FilterUse } from "../contract/filter.ts";
import type { Parsed, Problem } from "../contract/problem.ts";
import type { Clock } from "../exchange/exchange.ts";
import type { Result } from "../exchange/failure.ts";
import { loadFiles, type FetchFile } from "./bundle.ts";
import type { Engine, GuestHost, GuestInstance, GuestModule, HostAnswer } from "./engine.ts";
import { GuestFilter } from "./guest-filter.ts";
import { InstanceSlot } from "./instance.ts";

/** What building a filter needs from the proxy. */
export interface FilterDeps {
  /** Filters that run native, by name. */
  readonly builtins: ReadonlyMap<string, AnyFilter>;
  /** Runs the filters that come as bundles. */
  readonly engine: Engine;
  readonly fetchFile: FetchFile;
  readonly clock: Clock;
  readonly log: Log;
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
  return buildNativeFilter(builtin, use, deps.log);
}

async function buildGuestFilter(use: FilterUse, bundle: BundleRef, deps: FilterDeps): Promise<Parsed<Filter>> {
  const { manifest } = bundle;
  const writes = compileWrites(manifest.writes);
  if (typeof writes === "string") return fault("source.bundle.manifest.writes", writes);
  const module = await loadModule(use, bundle, deps);
  if (!module.ok) return fault("source.bundle", module.error);

  const host: GuestHost = {
    clock: deps.clock,
    log: (level, message) => deps.log(level, message, { filter: use.name }),
    start: (_call, kind) => ({ ok: false, error: `operation ${JSON.stringify(kind.slice(0, 64))} is not offered` }),
    stop: () => undefined,
    emit: () => undefined,
    settle: () => undefined,
    text: (name) => unknownFunction(name),
    bytes: (name) => unknownFunction(name),
  };
  const config = JSON.stringify(use.config);
  const first = makeInstance(module.value, host, config);
  if (!first.ok) return first;
  warmUp(module.value, { ...host, log: () => undefined }, config, manifest);
  const make = (): Result<GuestInstance, string> => {
    const made = makeInstance(module.value, host, config);
    return made.ok ? made : { ok: false, error: made.problems.map(({ message }) => message).join("; ") };
  };
  return {
    ok: true,
    value: new GuestFilter({ use, manifest, writes, slot: new InstanceSlot(make, deps.clock, first.value) }),
  };
}

function unknownFunction(name: string): HostAnswer<never> {
  return { result: { ok: false, error: `host function ${JSON.stringify(name.slice(0, 64))} is not known` }, fuel: 0 };
}

async function loadModule(use: FilterUse, bundle: BundleRef, deps: FilterDeps): Promise<Result<GuestModule, string>> {
  const selected = deps.engine.selectFiles(bundle);
  if (!selected.ok) return selected;
  const files = await loadFiles(selected.value, deps.fetchFile);
  return files.ok ? deps.engine.load(files.value, use.limits) : files;
}

function makeInstance(module: GuestModule, host: GuestHost, config: string): Parsed<GuestInstance> {
  const made = module.instantiate(host);
  if (!made.ok) return fault("source.bundle", `does not start: ${made.error.message}`);
  const configured = made.value.configure(config);
  if (!configured.ok) return fault("config", `could not be taken: the filter ${configured.error.message}`);
  const { problems } = configured.value;
  return problems === undefined ? { ok: true, value: made.value } : { ok: false, problems: parseProblems(problems) };
}

/** Runs the handlers on made-up heads. The instance is thrown away: what a filter keeps must not begin with them. */
function warmUp(module: GuestModule, host: GuestHost, config: string, manifest: Manifest): void {
  const made = makeInstance(module, host, config);
  if (!made.ok) return;
  const head = manifest.reads.map((name) => `${name}: -\n`).join("");
  const endsAtMs = host.clock.monotonic() + WARM_UP_MAX_MS;
  for (let call = 0; call < WARM_UP_CALLS && host.clock.monotonic() < endsAtMs; call++) {
    for (const phase of manifest.phases) {
      if (!made.value.begin(call, phase, phase === "request" ? head : `${head}\n${head}`).ok) return;
    }
  }
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
