// What a proxy tells of a filter's candidate: how both versions did, where they differed, and that it stopped the candidate.
import { z } from "zod";
import { Phase } from "./bundle.ts";

/** Upper bounds of the buckets that spans of calls are counted in, milliseconds; the last is without a bound. */
export const SPAN_BOUNDS_MS: readonly number[] = Array.from({ length: 23 }, (_, index) => 2 ** (index - 7));
const BUCKETS = SPAN_BOUNDS_MS.length + 1;

const count = z.int().min(0);

/** How a version did since the report before. */
export const VersionCounts = z.strictObject({
  runs: count,
  failed: count,
  /** Of all runs, milliseconds. */
  tookMs: z.number().min(0),
  /** Runs by `SPAN_BOUNDS_MS`. */
  spans: z.array(count).length(BUCKETS),
});
export type VersionCounts = z.infer<typeof VersionCounts>;

/** A change of a head, as both versions' are told. */
export const SeenEdit = z.strictObject({
  kind: z.enum(["set", "add", "remove"]),
  name: z.string().max(256),
  value: z.string().max(256),
});
export type SeenEdit = z.infer<typeof SeenEdit>;

/** What one version decided about a message. */
export const SeenVerdict = z.strictObject({
  verdict: z.enum(["proceed", "reply", "failed"]),
  /** Of a reply. */
  status: z.int().optional(),
  /** Why it failed. */
  reason: z.string().max(4096).optional(),
  /** What it changed and the other did not. */
  edits: z.array(SeenEdit).max(64),
  body: z.enum(["kept", "touched", "transformed"]),
});
export type SeenVerdict = z.infer<typeof SeenVerdict>;

/** A message about which the versions decided differently. */
export const Difference = z.strictObject({
  /** Since the epoch. */
  atMs: z.number(),
  requestId: z.string().max(256),
  phase: Phase,
  method: z.string().max(64),
  /** Without its query. */
  path: z.string().max(1024),
  live: SeenVerdict,
  candidate: SeenVerdict,
});
export type Difference = z.infer<typeof Difference>;

/** Differences of one report; more are counted alone. */
export const DIFFERENCES_MAX = 20;

/** One trial, as one proxy saw it since its report before. */
export const TrialReport = z.strictObject({
  /** Name of the use: `default/stamp`. */
  filter: z.string().min(1).max(512),
  trial: z.string().min(1).max(128),
  live: VersionCounts,
  candidate: VersionCounts,
  /** Messages that a shadow looked at, those of them that it decided otherwise, and those that it was too busy for or whose body it could not see. */
  compared: count,
  differed: count,
  skipped: count,
  differences: z.array(Difference).max(DIFFERENCES_MAX),
  /** It does not ask the candidate any more, and why. */
  stopped: z.string().max(4096).optional(),
});
export type TrialReport = z.infer<typeof TrialReport>;

/** Counts of nothing. */
export function noCounts(): VersionCounts {
  return { runs: 0, failed: 0, tookMs: 0, spans: Array.from({ length: BUCKETS }, () => 0) };
}

/** One more run. */
export function countRun(counts: VersionCounts, hasFailed: boolean, tookMs: number): void {
  counts.runs++;
  if (hasFailed) counts.failed++;
  counts.tookMs += Math.max(0, tookMs);
  let bucket = 0;
  while (bucket < SPAN_BOUNDS_MS.length && tookMs > (SPAN_BOUNDS_MS[bucket] ?? 0)) bucket++;
  counts.spans[bucket] = (counts.spans[bucket] ?? 0) + 1;
}
