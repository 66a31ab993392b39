// The order of a chain.
import { STAGES } from "../contract/bundle.ts";
import type { Filter } from "./filter.ts";

/** Filters as requests meet them: by stage, then priority (higher first), then name. */
export function orderFilters(filters: readonly Filter[]): readonly Filter[] {
  return filters.toSorted(
    (a, b) =>
      STAGES.indexOf(a.stage) - STAGES.indexOf(b.stage) ||
      b.priority - a.priority ||
      (a.name < b.name ? -1 : Number(a.name > b.name)),
  );
}
