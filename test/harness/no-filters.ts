// What a generation is given in tests of snapshots without filters.
import type { FilterSharesDeps } from "../../runtime/filter-shares.ts";

const QUIET: ReturnType<FilterSharesDeps["watchTrial"]> = {
  ran: () => undefined,
  candidateFailed: () => undefined,
  compared: () => undefined,
  skipped: () => undefined,
  stopped: () => undefined,
  ended: () => undefined,
};

/** Builds none. */
export const NO_FILTERS: FilterSharesDeps = {
  buildFilter: () => Promise.resolve({ ok: false, problems: [{ path: "", message: "no filters in this test" }] }),
  watchTrial: () => QUIET,
  combine: (_use, { live }) => live,
};
