// What control hears of trials.
import { expect, test } from "bun:test";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { FilterUse } from "../contract/filter.ts";
import { ProxyMessage } from "../contract/protocol.ts";
import { DIFFERENCES_MAX, type TrialReport } from "../contract/trial.ts";
import { failure } from "../exchange/failure.ts";
import { TrialReports } from "./trial-reports.ts";

const source = { kind: "builtin", name: "a" };
const use = FilterUse.parse({ name: "default/a", source, stage: "authn", candidate: { trial: "t1", source } });
const seen = { verdict: "proceed" as const, edits: [], body: "kept" as const };

function start(takes: () => boolean = () => true) {
  const clock = startClock();
  const told: TrialReport[][] = [];
  const failed: string[] = [];
  const reports = new TrialReports({
    clock,
    schedule: clock.schedule,
    tell: (trials) => takes() && told.push(structuredClone(trials)) > 0,
    failed: ({ filter }) => failed.push(filter),
    stopped: () => undefined,
  });
  return { clock, told, failed, reports };
}

test("both versions' runs are told once a second, each of them once, and nothing where nothing ran", () => {
  const { clock, told, reports } = start();
  const watch = reports.watch(use);
  watch.ran("live", false, 1);
  watch.ran("candidate", true, 3);
  clock.advance(1000);
  watch.ran("candidate", false, 1);
  clock.advance(2000);
  expect(told.flat().map(({ live, candidate }) => [live.runs, candidate.runs, candidate.failed])).toEqual([
    [1, 1, 1],
    [0, 1, 0],
  ]);
  expect(told.flat()[0]?.candidate.tookMs).toBe(3);
  expect(reports.render()).toContain(
    'vespid_filter_trial_runs_total{filter="default/a",version="candidate",outcome="failed"} 1\n',
  );
});

test("what nobody took is told with the next", () => {
  let isConnected = false;
  const { clock, told, reports } = start(() => isConnected);
  const watch = reports.watch(use);
  watch.ran("live", false, 1);
  clock.advance(1000);
  isConnected = true;
  watch.ran("live", false, 1);
  clock.advance(1000);
  expect(told.flat().map(({ live }) => live.runs)).toEqual([2]);
});

test("that a candidate was stopped is told at once, and again until the trial is over", () => {
  const { clock, told, reports } = start();
  const watch = reports.watch(use);
  watch.stopped("why");
  expect(told.flat().map(({ stopped }) => stopped)).toEqual(["why"]);
  clock.advance(2000);
  expect(told.flat()).toHaveLength(3);
  watch.ended();
  clock.advance(5000);
  expect(told.flat()).toHaveLength(3);
  expect(clock.scheduled).toBe(0);
});

test("so many differences are told, the others are counted, and every message is one of the protocol", () => {
  const { clock, told, reports } = start();
  const watch = reports.watch(use);
  const exchange = makeExchange({ path: `/${"x".repeat(5000)}?token=abc`, requestId: "r".repeat(1000) });
  for (let index = 0; index < 100; index++) watch.compared({ phase: "request", exchange, live: seen, candidate: seen });
  watch.candidateFailed({ phase: "request", exchange, failure: failure("filter_failed", "no") });
  watch.skipped();
  clock.advance(1000);
  const [trials = []] = told;
  expect(trials[0]).toMatchObject({ compared: 100, differed: 100, skipped: 1 });
  expect(trials[0]?.differences.length).toBeWithin(1, DIFFERENCES_MAX + 1);
  expect(JSON.stringify(trials)).not.toContain("token");
  expect(ProxyMessage.safeParse({ kind: "trials", trials }).success).toBe(true);
});
