// What the demo does to the bookshop, step by step, and what it checks: every step is seen in the replies of visitors.
import { join } from "node:path";
import { until } from "../harness/until.ts";
import { FILTER_NAME, FILTER_SOURCE, renderFilterUse, renderServiceEntries, type Placed } from "./resources.ts";
import { sharesOf, type Visit } from "./visitors.ts";
import type { View } from "./view.ts";

/** The command line, as the scenario uses it. */
export interface Operator {
  /** `vespid apply -f FILE`; returns once every sidecar runs it. */
  apply(file: string): Promise<void>;
  /** `vespid filter build SOURCE -o ARTIFACT`. */
  buildFilter(source: string, artifact: string): Promise<void>;
  /** `vespid filter push ARTIFACT`; returns the digest of what was pushed. */
  pushFilter(artifact: string): Promise<string>;
}

export interface Scenario {
  readonly placed: readonly Placed[];
  readonly operator: Operator;
  readonly view: View;
  /** Takes what the demo writes. */
  readonly folder: string;
  /** Collects what visitors saw from now on. */
  watch(): Watch;
  /** Sends that many requests through the product page's sidecar, as fast as they go. */
  rush(count: number): Promise<void>;
  /** Tells the view what the mesh was told last. */
  step(text: string): void;
}

/** Visits since it was started. */
export interface Watch {
  readonly visits: readonly Visit[];
}

/** How the filter came to life, milliseconds. */
export interface FilterTimes {
  readonly builtMs: number;
  readonly pushedMs: number;
  /** From the source on disk to the first reply that it changed. */
  readonly liveMs: number;
}

/** Visits that a step is judged by. */
const SAMPLE = 300;
/** Four standard deviations of a tenth among 300. */
const CANARY_TOLERANCE = 0.07;
const RUSH = 10_000;
const SAMPLE_WITHIN_MS = 30_000;

/** Plays all steps; throws, saying what was seen, when a step does not show. Returns how fast the filter was live. */
export async function play(scenario: Scenario): Promise<FilterTimes> {
  const { operator, view, folder, placed } = scenario;
  const services = join(folder, "services.yaml");
  await Bun.write(services, renderServiceEntries(placed));
  await operator.apply(services);
  scenario.step("three versions of reviews, in turns");
  await expectShares(scenario, "every version of reviews to have a share", (shares) =>
    ["v1", "v2", "v3"].every((version) => (shares[version] ?? 0) > 0.15),
  );

  await operator.apply(join(import.meta.dir, "canary.yaml"));
  scenario.step("canary: 90 % v1, 10 % v2");
  await expectShares(
    scenario,
    "v1 to have 90 % and v2 10 %",
    (shares) => Math.abs((shares["v2"] ?? 0) - 0.1) < CANARY_TOLERANCE && shares["v3"] === 0,
  );

  await operator.apply(join(import.meta.dir, "jason.yaml"));
  scenario.step("end-user: jason → v3, everybody else → v2");
  const routed = await sample(scenario);
  const wrong = routed.find(({ user, version }) => version !== (user === "jason" ? "v3" : "v2"));
  if (wrong !== undefined)
    throw new Error(`${wrong.user ?? "somebody"} was shown reviews ${wrong.version ?? "of nobody"}`);
  view.say(`    ${routed.length} visits: jason always got v3, everybody else v2`);
  return pushFilter(scenario);
}

/** Writes, builds and pushes the filter, and waits for the first reply that it changed. */
async function pushFilter(scenario: Scenario): Promise<FilterTimes> {
  const { operator, view, folder } = scenario;
  const source = join(folder, FILTER_NAME, "filter.ts");
  const artifact = join(folder, FILTER_NAME, `${FILTER_NAME}.vespid.wasm`);
  await Bun.write(source, FILTER_SOURCE);
  view.say(`\n${FILTER_SOURCE.replaceAll(/^(?=.)/gmu, "    ")}`);
  const startedAtMs = performance.now();
  await operator.buildFilter(source, artifact);
  const builtMs = performance.now() - startedAtMs;
  const digest = await operator.pushFilter(artifact);
  const pushedMs = performance.now() - startedAtMs - builtMs;
  const use = join(folder, "filter-use.yaml");
  await Bun.write(use, renderFilterUse(digest));
  const watched = scenario.watch();
  await operator.apply(use);
  const changed = await until("a reply that the filter changed", () =>
    watched.visits.find(({ mark }) => mark !== undefined),
  );
  const liveMs = changed.endedAtMs - startedAtMs;
  scenario.step(`filter ${FILTER_NAME} runs in the product page's sidecar`);
  view.say(`    first reply that it changed:  x-book-club: ${changed.mark ?? ""}`);
  const rolledOutMs = liveMs - builtMs - pushedMs;
  view.say(
    `    built in ${round(builtMs)} ms, pushed in ${round(pushedMs)} ms, rolled out in ${round(rolledOutMs)} ms`,
  );
  // The sandbox's engine compiles what runs often; at a hundred calls a second that would take a minute.
  scenario.step(`a rush of ${RUSH.toLocaleString("en-US")} requests warms the filter's engine up`);
  await scenario.rush(RUSH);
  return { builtMs, pushedMs, liveMs };
}

async function expectShares(
  scenario: Scenario,
  what: string,
  isFine: (shares: Readonly<Record<string, number>>) => boolean,
): Promise<void> {
  const visits = await sample(scenario);
  const shares = sharesOf(visits);
  const text = Object.entries(shares).map(([version, share]) => `${version} ${(share * 100).toFixed(0)} %`);
  if (!isFine(shares)) throw new Error(`expected ${what}; ${visits.length} visits showed ${text.join(", ")}`);
  scenario.view.say(`    ${visits.length} visits: ${text.join(", ")}`);
}

/** The next visits that were not under way already. */
async function sample(scenario: Scenario): Promise<readonly Visit[]> {
  const startedAtMs = performance.now();
  const watched = scenario.watch();
  return until(
    `${SAMPLE} visits`,
    () => {
      const later = watched.visits.filter(({ endedAtMs, tookMs }) => endedAtMs - tookMs >= startedAtMs);
      return later.length >= SAMPLE ? later : undefined;
    },
    SAMPLE_WITHIN_MS,
  );
}

function round(ms: number): string {
  return Math.round(ms).toLocaleString("en-US");
}
