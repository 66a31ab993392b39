// How a trial goes, over all proxies, as a pure step: what they report adds up in a window, and the bound that is passed says
// why the candidate is rolled back.
import { noCounts, SPAN_BOUNDS_MS, type TrialReport, type VersionCounts } from "../../runtime/contract/trial.ts";
import type { RollbackBounds } from "../resource/filter.ts";

/** Parts of a window that are forgotten one by one. */
const SLOTS = 12;
/** A proxy's word that it stopped the candidate, kept for people. */
const STOPPED_MAX = 100;
/** As many as control serves at once. */
const PROXIES_MAX = 10_000;

/** Counts of both versions. */
export interface BothCounts {
  readonly live: VersionCounts;
  readonly candidate: VersionCounts;
}

interface Slot extends BothCounts {
  readonly startedAtMs: number;
}

/** One trial. */
export interface TrialState {
  readonly trial: string;
  /** The window's, the oldest first. */
  readonly slots: readonly Slot[];
  /** Since the trial began. */
  readonly total: BothCounts;
  readonly compared: number;
  readonly differed: number;
  readonly skipped: number;
  /** Proxies that reported. */
  readonly proxies: ReadonlySet<string>;
  /** Why proxies stopped it by themselves, by proxy. */
  readonly stopped: ReadonlyMap<string, string>;
}

export interface TrialStep {
  readonly state: TrialState;
  /** Why it must be rolled back. */
  readonly rollBack: string | undefined;
}

/** Nothing was heard yet. */
export function startTrial(trial: string): TrialState {
  return {
    trial,
    slots: [],
    total: { live: noCounts(), candidate: noCounts() },
    compared: 0,
    differed: 0,
    skipped: 0,
    proxies: new Set(),
    stopped: new Map(),
  };
}

/** Pure: one more report of a proxy. One of another trial changes nothing. */
export function stepTrial(
  state: TrialState,
  report: TrialReport,
  { proxy, atMs, bounds }: { readonly proxy: string; readonly atMs: number; readonly bounds: RollbackBounds },
): TrialStep {
  if (report.trial !== state.trial) return { state, rollBack: undefined };
  const next: TrialState = {
    ...state,
    slots: addToWindow(state.slots, report, atMs, bounds.window),
    total: addBoth(state.total, report),
    compared: state.compared + report.compared,
    differed: state.differed + report.differed,
    skipped: state.skipped + report.skipped,
    proxies: addProxy(state.proxies, proxy),
    stopped: addStopped(state.stopped, proxy, report.stopped),
  };
  if (report.stopped !== undefined) return { state: next, rollBack: `${proxy} stopped it: ${report.stopped}` };
  return { state: next, rollBack: judge(sumOf(next.slots), bounds) };
}

/** Which bound is passed, in words; `undefined` where none is. */
export function judge({ live, candidate }: BothCounts, bounds: RollbackBounds): string | undefined {
  const { runs, failed } = candidate;
  if (runs < bounds.calls) return undefined;
  if (failed > runs * bounds.failureRate) {
    return `${failed} of ${runs} calls failed, the bound is a rate of ${bounds.failureRate}`;
  }
  if (bounds.latency !== undefined) {
    const p99Ms = quantileOf(candidate, 0.99);
    if (p99Ms > bounds.latency) {
      return `the 99th percentile of ${runs} calls is ${renderMs(p99Ms)}, the bound is ${renderMs(bounds.latency)}`;
    }
  }
  if (bounds.latencyRatio === undefined || live.runs < bounds.calls) return undefined;
  const ratio = meanOf(candidate) / meanOf(live);
  if (!(ratio > bounds.latencyRatio)) return undefined;
  const means = `${renderMs(meanOf(candidate))} a call, the live version ${renderMs(meanOf(live))}`;
  return `it takes ${means}: ${ratio.toFixed(1)} times as long, the bound is ${bounds.latencyRatio}`;
}

/** A quantile of the spans, milliseconds; between the bounds of a bucket they are taken as even. */
export function quantileOf({ runs, spans }: VersionCounts, quantile: number): number {
  let left = runs * quantile;
  for (const [index, count] of spans.entries()) {
    if (count > 0 && left <= count) {
      const from = index === 0 ? 0 : (SPAN_BOUNDS_MS[index - 1] ?? 0);
      const to = SPAN_BOUNDS_MS[index] ?? from * 2;
      return from + (to - from) * (left / count);
    }
    left -= count;
  }
  return 0;
}

/** Mean span, milliseconds; `0` where there were no runs. */
export function meanOf({ runs, tookMs }: VersionCounts): number {
  return runs === 0 ? 0 : tookMs / runs;
}

/** `3.1 ms`, with as many digits as say something. */
export function renderMs(ms: number): string {
  return `${Number(ms.toPrecision(2))} ms`;
}

function addToWindow(slots: readonly Slot[], report: TrialReport, atMs: number, windowMs: number): readonly Slot[] {
  const slotMs = windowMs / SLOTS;
  const startedAtMs = Math.floor(atMs / slotMs) * slotMs;
  const kept = slots.filter((slot) => slot.startedAtMs > atMs - windowMs && slot.startedAtMs < startedAtMs);
  const current = slots.find((slot) => slot.startedAtMs === startedAtMs) ?? NOTHING;
  return [...kept, { startedAtMs, ...addBoth(current, report) }];
}

const NOTHING: BothCounts = { live: noCounts(), candidate: noCounts() };

function addProxy(proxies: ReadonlySet<string>, proxy: string): ReadonlySet<string> {
  return proxies.has(proxy) || proxies.size >= PROXIES_MAX ? proxies : new Set([...proxies, proxy]);
}

function addStopped(
  stopped: ReadonlyMap<string, string>,
  proxy: string,
  reason: string | undefined,
): ReadonlyMap<string, string> {
  if (reason === undefined || stopped.size >= STOPPED_MAX) return stopped;
  return new Map([...stopped, [proxy, reason]]);
}

function sumOf(slots: readonly Slot[]): BothCounts {
  return slots.reduce<BothCounts>(addBoth, NOTHING);
}

function addBoth(a: BothCounts, b: BothCounts): BothCounts {
  return { live: add(a.live, b.live), candidate: add(a.candidate, b.candidate) };
}

function add(a: VersionCounts, b: VersionCounts): VersionCounts {
  return {
    runs: a.runs + b.runs,
    failed: a.failed + b.failed,
    tookMs: a.tookMs + b.tookMs,
    spans: a.spans.map((count, index) => count + (b.spans[index] ?? 0)),
  };
}
