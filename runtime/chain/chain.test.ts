// Requests go down the list, replies come up.
import { describe, expect, test } from "bun:test";
import { failure } from "../exchange/failure.ts";
import type { Outcome } from "../exchange/exchange.ts";
import { promised } from "../exchange/later.ts";
import type { FilterRun } from "../exchange/observer.ts";
import { localReply, type Reply } from "../exchange/reply.ts";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { compileChain } from "./chain.ts";
import { PROCEED, type Filter, type Verdict } from "./filter.ts";
import { failedVerdict } from "./on-failure.ts";

type Answer = Verdict | Promise<Verdict>;

/** A filter that writes down when it ran. */
function filterOf(
  name: string,
  trace: string[],
  init: Partial<Filter> & { readonly down?: () => Answer; readonly up?: () => Answer } = {},
): Filter {
  const { down = () => PROCEED, up = () => PROCEED, ...rest } = init;
  return {
    name,
    stage: "transform",
    priority: 0,
    failurePolicy: "closed",
    fuelUsed: 0,
    wasKept: undefined,
    stop: () => undefined,
    request: () => {
      trace.push(`${name} down`);
      return down();
    },
    response: () => {
      trace.push(`${name} up`);
      return up();
    },
    ...rest,
  };
}

function chainOf(filters: readonly Filter[], trace: string[], reply = () => localReply(200, "", "via_upstream")) {
  const runs: FilterRun[] = [];
  const observer = {
    exchangeEnded: () => undefined,
    connectionOpened: () => undefined,
    connectionClosed: () => undefined,
    circuitChanged: () => undefined,
    filterRan: (run: FilterRun) => runs.push(run),
  };
  const serve = compileChain(
    filters,
    observer,
    startClock(),
  )((): Outcome => {
    trace.push("service");
    return { ok: true, value: reply() };
  });
  return { serve, runs };
}

const refused = (): Verdict => ({ kind: "reply", reply: localReply(403, "", "b") });

test("no filters cost nothing: the next stage itself", () => {
  expect(compileChain([], SILENT, startClock())(answer)).toBe(answer);
});

test("filters run by stage, then priority, then name, and replies come back the other way", () => {
  const trace: string[] = [];
  const filters = [
    filterOf("z", trace, { stage: "observe" }),
    filterOf("c", trace, { priority: 5 }),
    filterOf("b", trace),
    filterOf("a", trace),
    filterOf("y", trace, { stage: "authn" }),
  ];
  void chainOf(filters, trace).serve(makeExchange());
  const down = ["y", "c", "a", "b", "z"];
  expect(trace).toEqual([
    ...down.map((name) => `${name} down`),
    "service",
    ...down.toReversed().map((name) => `${name} up`),
  ]);
});

test("an exchange that nobody makes wait is answered at once", () => {
  const trace: string[] = [];
  expect(chainOf([filterOf("a", trace)], trace).serve(makeExchange())).not.toBeInstanceOf(Promise);
});

describe.each([
  ["at once", (verdict: Verdict): Answer => verdict],
  ["later", (verdict: Verdict): Answer => Promise.resolve(verdict)],
])("a filter that answers %s", (_, answers) => {
  test("and replies sends the reply up through the filters before it alone", async () => {
    const trace: string[] = [];
    const filters = [
      filterOf("a", trace),
      filterOf("b", trace, { down: () => answers(refused()) }),
      filterOf("c", trace),
    ];
    const outcome = await promised(chainOf(filters, trace).serve(makeExchange()));
    expect(trace).toEqual(["a down", "b down", "a up"]);
    expect(outcome.ok && [outcome.value.status, outcome.value.details]).toEqual([403, "b"]);
  });

  test("and fails closed ends the exchange", async () => {
    const trace: string[] = [];
    const filters = [filterOf("a", trace), filterOf("b", trace, { down: () => answers(failedVerdict("b", "broke")) })];
    const { serve, runs } = chainOf(filters, trace);
    expect(await serve(makeExchange())).toMatchObject({
      ok: false,
      error: { kind: "filter_failed", message: "filter b: broke" },
    });
    expect(trace).toEqual(["a down", "b down"]);
    expect(runs.map(({ filter, outcome }) => `${filter} ${outcome}`)).toEqual(["a proceed", "b failed"]);
    expect(runs.map(({ failure: why }) => why?.message)).toEqual([undefined, "filter b: broke"]);
  });

  test("and fails open is as if it were absent", async () => {
    const trace: string[] = [];
    const broken = {
      failurePolicy: "open" as const,
      down: () => answers(failedVerdict("b", "broke")),
      up: () => answers(failedVerdict("b", "broke")),
    };
    const outcome = await promised(
      chainOf([filterOf("a", trace), filterOf("b", trace, broken)], trace).serve(makeExchange()),
    );
    expect(outcome.ok && outcome.value.status).toBe(200);
    expect(trace).toEqual(["a down", "b down", "service", "b up", "a up"]);
  });

  test("and replaces or gives up a reply on the way up lets go of its body", async () => {
    for (const verdict of [refused(), failedVerdict("b", "broke")]) {
      const trace: string[] = [];
      let canceled = 0;
      const reply = (): Reply => {
        const made = localReply(200, "", "via_upstream");
        made.body = {
          lengthBytes: undefined,
          pipe: () => undefined,
          resume: () => undefined,
          cancel: () => canceled++,
        };
        return made;
      };
      const filters = [filterOf("a", trace), filterOf("b", trace, { up: () => answers(verdict) })];
      const outcome = await promised(chainOf(filters, trace, reply).serve(makeExchange()));
      expect(outcome.ok ? outcome.value.status : outcome.error.kind).toBe(
        verdict.kind === "reply" ? 403 : "filter_failed",
      );
      expect(canceled).toBe(1);
    }
  });
});

test("a failure of the stages behind passes the filters by", async () => {
  const trace: string[] = [];
  const down = failure("no_cluster", "none");
  const serve = compileChain([filterOf("a", trace)], SILENT, startClock())(() => ({ ok: false, error: down }));
  expect(await serve(makeExchange())).toEqual({ ok: false, error: down });
  expect(trace).toEqual(["a down"]);
});

const SILENT = {
  exchangeEnded: () => undefined,
  connectionOpened: () => undefined,
  connectionClosed: () => undefined,
  filterRan: () => undefined,
  circuitChanged: () => undefined,
};

function answer(): Outcome {
  return { ok: true, value: localReply(200, "", "x") };
}
