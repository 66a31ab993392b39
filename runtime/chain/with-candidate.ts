// A filter and its candidate become one filter of the chain.
import type { FilterUse } from "../contract/filter.ts";
import type { Clock, Schedule } from "../exchange/exchange.ts";
import { CanaryFilter } from "./canary.ts";
import { compileChoice } from "./choice.ts";
import type { Filter } from "./filter.ts";
import { readsBodyOf, ShadowedFilter } from "./shadow.ts";
import type { TrialWatch } from "./trial.ts";

/** Both versions of a use, built, and who keeps count of them. */
export interface Versions {
  readonly live: Filter;
  readonly candidate: Filter;
  readonly watch: TrialWatch;
}

/** The live filter of a use with its candidate beside it. */
export function withCandidate(use: FilterUse, versions: Versions, clock: Clock, schedule: Schedule): Filter {
  const { candidate } = use;
  if (candidate === undefined) return versions.live;
  const parts = { ...versions, choose: compileChoice(use.name, candidate), clock };
  return candidate.mode === "shadow"
    ? new ShadowedFilter({ ...parts, schedule, readsBody: readsBodyOf(use) })
    : new CanaryFilter(parts);
}

/** The use that a candidate would be if it were live: the same instance serves on when it becomes that. */
export function promotedUse(use: FilterUse): FilterUse {
  const { candidate, ...live } = use;
  if (candidate === undefined) return live;
  const { source, config, upstreams, mode } = candidate;
  // What a shadow logs, measures and shares is kept apart from what the live version does.
  const name = mode === "shadow" ? `${use.name}~shadow` : use.name;
  return { ...live, name, source, config, upstreams };
}

/** The use without its candidate. */
export function liveUse(use: FilterUse): FilterUse {
  const { candidate: _candidate, ...live } = use;
  return live;
}
