// THE MAP of the demo: control, six services with a sidecar each, visitors, the scenario, and how it all ends.
import { join } from "node:path";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { startControl, type RunningControl } from "../harness/control.ts";
import { startLeashed, startPair, type Pair } from "./children.ts";
import { FilterCost } from "./filter-cost.ts";
import { createOperator } from "./operator.ts";
import { FILTER_NAME } from "./resources.ts";
import { play, type FilterTimes, type Watch } from "./scenario.ts";
import type { View } from "./view.ts";
import { Visitors, type Visit } from "./visitors.ts";

/** Four services; reviews in three versions makes six processes. */
const SERVICES = [
  { service: "ratings", version: "v1" },
  { service: "details", version: "v1" },
  { service: "reviews", version: "v1" },
  { service: "reviews", version: "v2" },
  { service: "reviews", version: "v3" },
  { service: "productpage", version: "v1" },
] as const;

const VISITS_PER_SECOND = 100;
const RUSH_CONNECTIONS = 8;
const REDRAW_MS = 250;
const LINE_MS = 2000;
/** Keeps the filter running for a while before the end, so that its cost is an average of something. */
const LAST_VISITS = 300;

export interface DemoOptions {
  readonly isOnce: boolean;
  readonly interrupted: AbortSignal;
  readonly view: View;
}

export interface DemoOutcome {
  readonly isGood: boolean;
  readonly summary: string;
}

/** Runs the demo to its end: after the scenario (`isOnce`), or when it is interrupted. */
export async function runDemo({ isOnce, interrupted, view }: DemoOptions): Promise<DemoOutcome> {
  const startedAtMs = performance.now();
  await using folder = await makeTempFolder();
  await using programs = new AsyncDisposableStack();
  const { promise: broken, reject: breakDown } = Promise.withResolvers<never>();
  broken.catch(() => undefined);
  interrupted.addEventListener("abort", () => breakDown(new Error("interrupted")));

  view.say("starting one control service and six services, each behind a sidecar");
  const control = programs.use(await startControl({ cwd: folder.path, start: startLeashed }));
  const pairs = await Promise.all(SERVICES.map((name) => startPair(name, control.url, { cwd: folder.path })));
  for (const pair of pairs) programs.use(pair);
  for (const program of [control.program, ...pairs.flatMap((pair) => pair.programs)]) {
    void program.exited.then((status) =>
      breakDown(new Error(`${program.name} ended with ${status}:\n${program.output().slice(-2000)}`)),
    );
  }
  const page = pairs.find(({ service }) => service === "productpage");
  if (page === undefined) throw new Error("SERVICES has no product page");
  view.say(`ready after ${Math.round(performance.now() - startedAtMs)} ms\n`);

  const watches = new Set<Visit[]>();
  const visitors = new Visitors(`http://127.0.0.1:${page.inboundPort}/productpage`, (visit) => {
    for (const watch of watches) watch.push(visit);
    if (visit.failure !== undefined) view.say(`    a visit failed: ${visit.failure}`);
  });
  let step = "starting";
  const filterCost = new FilterCost(page.admin, FILTER_NAME);
  const show = () =>
    view.show({ ...visitors.report(), elapsedMs: performance.now() - startedAtMs, step, filter: filterCost.text });
  const watch = (): Watch => {
    const visits: Visit[] = [];
    watches.add(visits);
    return { visits };
  };
  const scenario = {
    placed: pairs,
    operator: createOperator(control, folder.path, view),
    view,
    folder: folder.path,
    watch: () => {
      // One at a time is looked at; an older one has served its purpose.
      watches.clear();
      return watch();
    },
    rush: (count: number) => visitors.rush(`http://127.0.0.1:${page.inboundPort}/`, count, RUSH_CONNECTIONS),
    step: (text: string) => {
      step = text;
      view.say(`==> ${text}`);
      // The first step gives the services their addresses: before it, there is nobody to visit.
      if (!isVisited) visitors.start(VISITS_PER_SECOND);
      isVisited = true;
    },
  };
  let isVisited = false;
  const redraw = setInterval(show, process.stdout.isTTY ? REDRAW_MS : LINE_MS);
  const measure = setInterval(() => void filterCost.measure(), 1000);
  try {
    const times = await Promise.race([play(scenario), broken]);
    if (isOnce) {
      const last = watch();
      await Promise.race([broken, waitForVisits(last, LAST_VISITS)]);
    } else {
      view.say(`\n${renderAddresses(page, control, folder.path)}\n`);
      // Said by the live view for as long as it stays.
      step = `filter ${FILTER_NAME} runs; try it by hand`;
      await Promise.race([broken, new Promise(() => undefined)]).catch((error: unknown) => {
        // Ctrl-C is how this ends; anything else is a fault.
        if (!interrupted.aborted) throw error;
      });
    }
    await visitors.stop();
    return { isGood: visitors.report().failed === 0, summary: renderSummary(visitors, times, filterCost.busiest) };
  } finally {
    clearInterval(redraw);
    clearInterval(measure);
    await visitors.stop();
  }
}

function renderSummary(visitors: Visitors, times: FilterTimes, filterCost: string | undefined): string {
  const { requests, failed, p50Ms, p99Ms } = visitors.report();
  return [
    "",
    `requests ${requests}`,
    `failed ${failed}`,
    `filter live in ${Math.round(times.liveMs)} ms`,
    `filter cost ${filterCost ?? "not measured"}`,
    `latency p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`,
    "",
  ].join("\n");
}

function renderAddresses(page: Pair, control: RunningControl, folder: string): string {
  const address = `http://127.0.0.1:${page.inboundPort}/productpage`;
  return [
    "try it by hand:",
    `  curl -i ${address}`,
    `  curl -i -H 'end-user: jason' ${address}`,
    `  curl ${page.admin}/stats/prometheus            # the product page's sidecar`,
    `  export VESPID_CONTROL=${control.url} VESPID_TOKEN=${control.token}`,
    "  bun run vespid proxies",
    "  bun run vespid apply -f test/demo/canary.yaml",
    `  bun run vespid filter push ${join(folder, FILTER_NAME)}    # after a change to its filter.ts`,
    "Ctrl-C ends it all",
  ].join("\n");
}

function waitForVisits(watch: Watch, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setInterval(() => {
    if (watch.visits.length < count) return;
    clearInterval(timer);
    resolve();
  }, 50);
  return promise;
}
