// The filters of a generation. One whose use did not change is shared with the generation before, instance and all, so that
// a push restarts no filter; a candidate that is promoted serves on as the live version that it was compiled as.
import type { Filter } from "./chain/filter.ts";
import type { TrialWatch } from "./chain/trial.ts";
import { liveUse, promotedUse, type Versions } from "./chain/with-candidate.ts";
import type { FilterUse } from "./contract/filter.ts";
import { renderProblem, type Parsed, type Problem } from "./contract/problem.ts";
import type { Snapshot } from "./contract/snapshot.ts";

/** A thing and the number of generations that hold it. */
export interface Shared<T> {
  readonly value: T;
  holders: number;
}

/** Filters by fingerprint. */
export type FilterShares = Map<string, Shared<Filter>>;

/** What building filters needs from the proxy. */
export interface FilterSharesDeps {
  /** `isShadow`: it must reach nobody, unless its use says so. */
  readonly buildFilter: (use: FilterUse, isShadow: boolean) => Promise<Parsed<Filter>>;
  readonly watchTrial: (use: FilterUse) => TrialWatch;
  readonly combine: (use: FilterUse, versions: Versions) => Filter;
}

/** The chains of both directions, and everything that they are made of. */
export interface BuiltFilters {
  readonly shares: FilterShares;
  readonly chains: Readonly<Record<"inbound" | "outbound", readonly Filter[]>>;
}

/** Builds what the generation before does not have; on any problem nothing of it stays. */
export async function buildFilters(
  snapshot: Snapshot,
  deps: FilterSharesDeps,
  previous: FilterShares | undefined,
): Promise<Parsed<BuiltFilters>> {
  const builder = new Builder(deps, previous);
  const chains = { inbound: [] as Filter[], outbound: [] as Filter[] };
  const problems: Problem[] = [];
  for (const direction of ["inbound", "outbound"] as const) {
    for (const [index, use] of snapshot[direction].filters.entries()) {
      const built = await builder.build(direction, use);
      if (built.ok) chains[direction].push(built.value);
      else {
        const place = `${direction}.filters[${index}]`;
        problems.push(...built.problems.map(({ path, message }) => ({ path: joinPath(place, path), message })));
      }
    }
  }
  if (problems.length === 0) return { ok: true, value: { shares: builder.shares, chains } };
  discardFilters(builder.shares);
  return { ok: false, problems };
}

/** Lets go of those that no generation holds. */
export function discardFilters(shares: FilterShares): void {
  for (const shared of shares.values()) if (shared.holders === 0) shared.value.stop();
}

class Builder {
  readonly shares: FilterShares = new Map();
  readonly #deps: FilterSharesDeps;
  readonly #previous: FilterShares | undefined;

  constructor(deps: FilterSharesDeps, previous: FilterShares | undefined) {
    this.#deps = deps;
    this.#previous = previous;
  }

  async build(direction: string, use: FilterUse): Promise<Parsed<Filter>> {
    const live = await this.#share(direction, liveUse(use), false);
    const { candidate } = use;
    if (!live.ok || candidate === undefined) return live;
    const fingerprint = `${direction} trial ${JSON.stringify(use)}`;
    const isShadow = candidate.mode === "shadow" && !candidate.fetches;
    const known = this.#keep(fingerprint);
    if (known !== undefined) {
      this.#keep(fingerprintOf(direction, promotedUse(use), isShadow));
      return { ok: true, value: known };
    }
    const watch = this.#deps.watchTrial(use);
    const tried = await this.#share(direction, promotedUse(use), isShadow);
    if (tried.ok) {
      return this.#add(fingerprint, this.#deps.combine(use, { live: live.value, candidate: tried.value, watch }));
    }
    // A candidate must not keep what else a snapshot says from a proxy: the live version goes on without it.
    const [first] = tried.problems;
    watch.stopped(`could not be built: ${first === undefined ? "no reason was given" : renderProblem(first)}`);
    return this.#add(
      fingerprint,
      alone(live.value, () => watch.ended()),
    );
  }

  async #share(direction: string, use: FilterUse, isShadow: boolean): Promise<Parsed<Filter>> {
    const fingerprint = fingerprintOf(direction, use, isShadow);
    const known = this.#keep(fingerprint);
    if (known !== undefined) return { ok: true, value: known };
    const built = await this.#deps.buildFilter(use, isShadow);
    return built.ok ? this.#add(fingerprint, built.value) : built;
  }

  #keep(fingerprint: string): Filter | undefined {
    const shared = this.shares.get(fingerprint) ?? this.#previous?.get(fingerprint);
    if (shared !== undefined) this.shares.set(fingerprint, shared);
    return shared?.value;
  }

  #add(fingerprint: string, value: Filter): Parsed<Filter> {
    this.shares.set(fingerprint, { value, holders: 0 });
    return { ok: true, value };
  }
}

function fingerprintOf(direction: string, use: FilterUse, isShadow: boolean): string {
  return `${direction}${isShadow ? " shadow" : ""} ${JSON.stringify(use)}`;
}

/** A view of a filter that others hold. */
function alone(filter: Filter, stop: () => void): Filter {
  const { name, stage, priority, failurePolicy, request, response, log, connection } = filter;
  return {
    name,
    stage,
    priority,
    failurePolicy,
    ...(request && { request }),
    ...(response && { response }),
    ...(log && { log }),
    ...(connection && { connection }),
    get fuelUsed() {
      return filter.fuelUsed;
    },
    get wasKept() {
      return filter.wasKept;
    },
    stop,
  };
}

function joinPath(root: string, path: string): string {
  return path === "" ? root : `${root}.${path}`;
}
