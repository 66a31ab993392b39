// Trials as they come and go with a filter's document.
import { expect, test } from "bun:test";
import { countRun, noCounts } from "../../runtime/contract/trial.ts";
import { createDesired, documentOf } from "../api/desired.ts";
import { trialOf } from "../compile/filters.ts";
import { parseResource, type Filter } from "../resource/resource.ts";
import { openSqliteStore } from "../store/sqlite-store.ts";
import { withCandidate } from "./change.ts";
import { createRollouts } from "./rollouts.ts";

const KEY = { kind: "Filter", namespace: "default", name: "stamp" } as const;
const DOCUMENT = {
  apiVersion: "vespid.dev/v1",
  kind: "Filter",
  metadata: { name: "stamp" },
  spec: { builtin: "header-rewrite", selector: { services: ["a"] } },
};
const CANDIDATE = { config: { other: true }, rollback: { calls: 10 } };

/** Control's part of a filter with a version on trial. */
function start() {
  const store = openSqliteStore(":memory:");
  const checkConfig = { builtin: () => [], builtinUpstreams: () => [], bundle: () => [] };
  const desired = createDesired({
    store,
    checkConfig,
    changed: () => undefined,
    dropped: () => undefined,
    now: () => 0,
  });
  const parsed = parseResource(DOCUMENT);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  desired.change(
    [{ kind: "put", at: "", resource: parsed.value, document: documentOf(parsed.value, DOCUMENT) }],
    "commit",
  );
  let nowMs = 1_000_000;
  const rollouts = createRollouts({ store, desired, log: { warn: () => undefined }, now: () => nowMs });
  const filter = (): Filter | undefined => desired.world().filters[0];
  return {
    rollouts,
    filter,
    deploy: () =>
      rollouts.change(KEY, (document) => ({ ok: true, value: withCandidate(document, CANDIDATE, "deployed") })),
    tell: (trial: string, runs: number, failed: number) => {
      nowMs += 1000;
      const candidate = noCounts();
      for (let run = 0; run < runs; run++) countRun(candidate, run < failed, 1);
      const none = { compared: 0, differed: 0, skipped: 0, differences: [] };
      rollouts.told([{ filter: "default/stamp", trial, live: noCounts(), candidate, ...none }], "a");
    },
    [Symbol.dispose]: () => store.close(),
  };
}

test("a candidate that was rolled back by itself is tried anew when it is deployed again", () => {
  using control = start();
  expect(control.deploy().ok).toBe(true);
  const trial = trialNow(control.filter());
  control.tell(trial, 20, 20);
  expect(control.filter()?.spec.candidate).toBeUndefined();
  expect(control.deploy().ok).toBe(true);
  expect(trialNow(control.filter())).toBe(trial);
  control.tell(trial, 5, 0);
  expect(control.filter()?.spec.candidate).toBeDefined();
  expect(control.rollouts.versions(KEY)?.trial?.total.candidate.runs).toBe(5);
  control.tell(trial, 20, 20);
  expect(control.filter()?.spec.candidate).toBeUndefined();
});

function trialNow(filter: Filter | undefined): string {
  const trial = filter && trialOf(filter);
  if (trial === undefined) throw new Error("there is no trial");
  return trial;
}
