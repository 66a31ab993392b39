// What a filter's failure does to its exchange.
import { failure } from "../exchange/failure.ts";
import { PROCEED, type Filter, type Verdict } from "./filter.ts";

/**
 * A verdict under the filter's failure policy: `open` goes on as if the filter were absent. Not where the exchange itself
 * is lost: its client left, or its body was begun and cannot be had.
 */
export function applyFailurePolicy(filter: Filter, verdict: Verdict): Verdict {
  const isFilters = verdict.kind === "failed" && verdict.failure.kind === "filter_failed";
  return isFilters && filter.failurePolicy === "open" ? PROCEED : verdict;
}

/** The verdict of a filter that could not decide. The message is for logs. */
export function failedVerdict(filter: string, message: string): Verdict {
  return { kind: "failed", failure: failure("filter_failed", `filter ${filter}: ${message}`) };
}
