// When a candidate is rolled back by itself.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { countRun, noCounts, type TrialReport } from "../../runtime/contract/trial.ts";
import { Candidate } from "../resource/filter.ts";
import { meanOf, quantileOf, startTrial, stepTrial, type TrialState } from "./trial.ts";

const boundsOf = (rollback: object) => Candidate.parse({ bundle: `sha256:${"0".repeat(64)}`, rollback }).rollback;

interface Runs {
  readonly runs: number;
  readonly failed?: number;
  readonly tookMs?: number;
}

function report(candidate: Runs, live: Runs = { runs: 0 }, more: Partial<TrialReport> = {}): TrialReport {
  const counts = ({ runs, failed = 0, tookMs = 1 }: Runs) => {
    const all = noCounts();
    for (let run = 0; run < runs; run++) countRun(all, run < failed, tookMs);
    return all;
  };
  return {
    filter: "default/a",
    trial: "1",
    live: counts(live),
    candidate: counts(candidate),
    compared: 0,
    differed: 0,
    skipped: 0,
    differences: [],
    ...more,
  };
}

function stepAll(
  reports: readonly { readonly at: number; readonly proxy?: string; readonly told: TrialReport }[],
  rollback: object,
) {
  const bounds = boundsOf(rollback);
  let state: TrialState = startTrial("1");
  const reasons: (string | undefined)[] = [];
  for (const { at, proxy = "a", told } of reports) {
    const step = stepTrial(state, told, { proxy, atMs: at, bounds });
    state = step.state;
    reasons.push(step.rollBack);
  }
  return { state, reasons };
}

describe("a trial", () => {
  test("ends when over all proxies too large a part of the calls failed, and says so", () => {
    const told = report({ runs: 10, failed: 1 });
    const { reasons, state } = stepAll(
      [
        { at: 0, proxy: "a", told },
        { at: 0, proxy: "b", told },
      ],
      {},
    );
    expect(reasons).toEqual([undefined, "2 of 20 calls failed, the bound is a rate of 0.05"]);
    expect(state.proxies.size).toBe(2);
  });

  test("goes on below the bound, and where there were few calls yet", () => {
    const { reasons } = stepAll(
      [
        { at: 0, told: report({ runs: 19, failed: 19 }) },
        { at: 61_000, told: report({ runs: 20, failed: 1 }) },
      ],
      {},
    );
    expect(reasons).toEqual([undefined, undefined]);
  });

  test("forgets what is older than its window", () => {
    const reports = Array.from({ length: 20 }, (_, index) => ({
      at: index * 10_000,
      told: report({ runs: 10, failed: 1 }),
    }));
    expect(stepAll(reports, { window: "15s", calls: 30, failureRate: 0.05 }).reasons).toEqual(
      reports.map(() => undefined),
    );
    const slowly = stepAll(reports, { window: "1m", calls: 30, failureRate: 0.05 }).reasons;
    expect(slowly.some((reason) => reason !== undefined)).toBe(true);
  });

  test("ends when its calls take longer than they may", () => {
    const told = report({ runs: 20, tookMs: 30 });
    expect(stepAll([{ at: 0, told }], { latency: "20ms" }).reasons[0]).toStartWith(
      "the 99th percentile of 20 calls is ",
    );
    expect(stepAll([{ at: 0, told }], { latency: "50ms" }).reasons).toEqual([undefined]);
  });

  test("ends when they take too many times as long as the live version's", () => {
    const told = report({ runs: 20, tookMs: 30 }, { runs: 20, tookMs: 10 });
    expect(stepAll([{ at: 0, told }], { latencyRatio: 2 }).reasons).toEqual([
      "it takes 30 ms a call, the live version 10 ms: 3.0 times as long, the bound is 2",
    ]);
    expect(stepAll([{ at: 0, told }], { latencyRatio: 4 }).reasons).toEqual([undefined]);
    // Of a live version that nobody asked there is nothing to compare with.
    expect(stepAll([{ at: 0, told: report({ runs: 20, tookMs: 30 }) }], { latencyRatio: 2 }).reasons).toEqual([
      undefined,
    ]);
  });

  test("ends at once where a proxy stopped it by itself", () => {
    const told = report({ runs: 5, failed: 5 }, { runs: 0 }, { stopped: "5 calls in a row failed" });
    const { reasons, state } = stepAll([{ at: 0, proxy: "app~1", told }], {});
    expect(reasons).toEqual(["app~1 stopped it: 5 calls in a row failed"]);
    expect([...state.stopped]).toEqual([["app~1", "5 calls in a row failed"]]);
  });

  test("hears nothing of another trial", () => {
    const told = report({ runs: 100, failed: 100 }, { runs: 0 }, { trial: "2", stopped: "why" });
    expect(stepAll([{ at: 0, told }], {})).toEqual({ state: startTrial("1"), reasons: [undefined] });
  });
});

test("however reports are cut up, totals are their sum, and the window never holds more than that", () => {
  const one = fc.record({ at: fc.nat(100_000), runs: fc.nat(30), share: fc.double({ min: 0, max: 1, noNaN: true }) });
  fc.assert(
    fc.property(fc.array(one, { maxLength: 20 }), (reports) => {
      const told = reports
        .toSorted((a, b) => a.at - b.at)
        .map(({ at, runs, share }) => ({ at, told: report({ runs, failed: Math.floor(runs * share) }) }));
      const { state } = stepAll(told, {});
      const sum = (pick: (one: TrialReport) => number) => told.reduce((total, next) => total + pick(next.told), 0);
      expect(state.total.candidate.runs).toBe(sum((next) => next.candidate.runs));
      expect(state.total.candidate.failed).toBe(sum((next) => next.candidate.failed));
      const held = state.slots.reduce((total, slot) => total + slot.candidate.runs, 0);
      expect(held).toBeLessThanOrEqual(state.total.candidate.runs);
      expect(state.slots.length).toBeLessThanOrEqual(13);
    }),
  );
});

test("a quantile lies in the bucket that holds it, and means are exact", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.001, max: 50_000, noNaN: true }), { minLength: 1, maxLength: 200 }),
      (spans) => {
        const counts = noCounts();
        for (const span of spans) countRun(counts, false, span);
        const sorted = spans.toSorted((a, b) => a - b);
        for (const quantile of [0.5, 0.99, 1]) {
          const actual = sorted[Math.ceil(sorted.length * quantile) - 1] ?? 0;
          const told = quantileOf(counts, quantile);
          // Buckets double: twice off at the most, and the first begins at none.
          expect(told).toBeLessThanOrEqual(Math.max(2 ** -7, actual * 2));
          expect(told).toBeGreaterThanOrEqual(actual <= 2 ** -7 ? 0 : actual / 2);
        }
        expect(meanOf(counts)).toBeCloseTo(spans.reduce((sum, span) => sum + span, 0) / spans.length, 6);
      },
    ),
  );
});
