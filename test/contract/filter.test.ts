// One contract over every engine: the same filter file gives the same results, natively and in the sandbox.
import { beforeAll, describe, expect, test } from "bun:test";
import { compileChain } from "../../runtime/chain/chain.ts";
import type { Filter } from "../../runtime/chain/filter.ts";
import type { Exchange, Outcome } from "../../runtime/exchange/exchange.ts";
import { promised } from "../../runtime/exchange/later.ts";
import type { FilterRun } from "../../runtime/exchange/observer.ts";
import { localReply } from "../../runtime/exchange/reply.ts";
import { makeExchange, startClock, type RequestInit } from "../../sdk/testing/exchange.ts";
import { fieldsOf } from "../../sdk/testing/pieces.ts";
import { readBody } from "../../sdk/testing/run-filter.ts";
import { SUBJECTS, unwrap } from "./subjects.ts";

beforeAll(async () => {
  // Compiled once for all tests.
  const built = await Promise.all(SUBJECTS.map((subject) => subject.build()));
  for (const filter of built) unwrap(filter).stop();
}, 60_000);

/** Sends one exchange through a chain of this filter alone. */
async function send(filter: Filter, init: RequestInit, upstream: readonly (readonly [string, string])[] = []) {
  const runs: FilterRun[] = [];
  const clock = startClock();
  const exchange = makeExchange(init, clock);
  let forwarded: Exchange | undefined;
  const run = compileChain(
    [filter],
    { ...SILENT, filterRan: (ran) => runs.push(ran) },
    clock,
  )((seen) => {
    forwarded = seen;
    return { ok: true, value: localReply(200, "ok", "via_upstream", upstream) };
  });
  const outcome: Outcome = await promised(run(exchange));
  return { exchange, forwarded, outcome, runs, request: fieldsOf(exchange.headers) };
}

const SILENT = {
  exchangeEnded: () => undefined,
  connectionOpened: () => undefined,
  connectionClosed: () => undefined,
  filterRan: () => undefined,
  circuitChanged: () => undefined,
};

function asks(what: string, headers: Readonly<Record<string, string>> = {}): RequestInit {
  return { headers: { "x-do": what, ...headers } };
}

describe.each(SUBJECTS.map((subject) => [subject.engine, subject] as const))("a filter in engine %s", (_, subject) => {
  let filter: Filter;
  beforeAll(async () => {
    filter = unwrap(await subject.build());
  });

  test("sees what it declared, and nothing else", async () => {
    const seen = await send(filter, {
      method: "POST",
      path: "/a?b=c",
      routeName: "main",
      requestId: "id-1",
      headers: { "X-User": "ada", "x-do": "see", "x-secret": "s" },
    });
    expect(seen.request["x-a"]).toBe("POST /a?b=c 10.0.0.7 main id-1 ada hidden true");
    const bare = await send(filter, { headers: { "x-do": "see" } });
    expect(bare.request["x-a"]).toBe("GET / 10.0.0.7 none none none hidden false");
  });

  test("edits apply in order and read back before they apply", async () => {
    const { request } = await send(filter, asks("edit", { "x-a": "0", "x-user": "ada" }));
    expect(request).toEqual({ "x-do": "edit", "x-a": "1, 2", "x-b": "1, 2 hello", "x-user": "gone" });
  });

  test("header values cross as the Latin-1 that they are", async () => {
    const { request } = await send(filter, asks("latin1", { "x-user": "Zoë \u0080\u00ff" }));
    expect(request["x-a"]).toBe("Zoë \u0080\u00ff|é|\u00ff");
  });

  test("a reply ends the way down and names its filter", async () => {
    const { outcome, forwarded, runs } = await send(filter, asks("reply"));
    if (!outcome.ok) throw new Error(outcome.error.message);
    expect(forwarded).toBeUndefined();
    expect(outcome.value.status).toBe(418);
    expect(outcome.value.details).toBe("probe");
    expect(fieldsOf(outcome.value.headers)).toMatchObject({ "x-why": "tea é", "content-type": "text/plain" });
    expect(readBody(outcome.value)).toBe("kurz und stämmig ☕\n\nset x: y\n");
    expect(runs.map(({ phase, outcome: how }) => `${phase} ${how}`)).toEqual(["request reply"]);
  });

  test("an async handler runs its jobs in order before its verdict", async () => {
    const { request } = await send(filter, asks("async"));
    expect(request["x-a"]).toBe("a,p,q,m,caught,finally,x,y");
    const { outcome } = await send(filter, asks("async reply"));
    expect(outcome.ok && outcome.value.status).toBe(403);
  });

  test.each([
    ["throw", "boom"],
    ["reject", "later"],
    ["undeclared", '"x-other" is not one of its writes'],
    ["framing", '"content-length" is not one of its writes'],
    ["control", "value of x-a is not one that a header may have"],
    ["beyond latin1", "value of x-a is not one that a header may have"],
    ["line", "x-a: a field holds no line break"],
    ["status", "cannot set :status"],
    ["reply framing", 'reply sets "transfer-encoding"'],
    ["reply status", "reply"],
  ])("%p fails the call, and none of its edits apply", async (what, message) => {
    const { outcome, request, runs } = await send(filter, asks(what));
    expect(outcome).toMatchObject({ ok: false, error: { kind: "filter_failed", source: "proxy" } });
    expect(outcome.ok ? "" : outcome.error.message).toContain(message);
    expect(request).toEqual({ "x-do": what });
    expect(runs.map((run) => run.outcome)).toEqual(["failed"]);
  });

  test("failure policy open goes on as if the filter were absent", async () => {
    const open = unwrap(await subject.build({ failurePolicy: "open" }));
    const { outcome, request, runs } = await send(open, asks("throw"));
    expect(outcome.ok && outcome.value.status).toBe(200);
    expect(request).toEqual({ "x-do": "throw" });
    expect(runs.map((run) => `${run.phase} ${run.outcome}`)).toEqual(["request failed", "response proceed"]);
    const up = await send(open, asks("up throw"));
    expect(up.outcome.ok && up.outcome.value.status).toBe(200);
  });

  test("on the way up it edits status and headers, and sees the request and each cookie", async () => {
    const { outcome } = await send(filter, asks("up", { "x-user": "ada" }), [
      ["x-upstream", "v2"],
      ["Set-Cookie", "first=1, still"],
      ["set-cookie", "second=2"],
    ]);
    if (!outcome.ok) throw new Error(outcome.error.message);
    expect(outcome.value.status).toBe(404);
    expect(outcome.value.headers.get("x-a")).toBe("200 v2 GET ada");
    expect(outcome.value.headers.getAll("set-cookie")).toEqual(["first=1, still", "second=2", "third=2"]);
  });

  test("on the way up it may replace the reply, or fail", async () => {
    const replaced = await send(filter, asks("up reply"));
    expect(replaced.outcome.ok && replaced.outcome.value.status).toBe(502);
    const failed = await send(filter, asks("up throw"));
    expect(failed.outcome).toMatchObject({ ok: false, error: { kind: "filter_failed" } });
    const status = await send(filter, asks("up status"));
    expect(status.outcome).toMatchObject({ ok: false, error: { kind: "filter_failed" } });
  });

  test("configuration is checked by the filter's own schema, with paths", async () => {
    const built = await subject.build({ config: { greeting: "x", rules: [{ name: "a" }, {}], extra: 1 } });
    expect(built.ok ? [] : built.problems.map(({ path }) => path).toSorted()).toEqual([
      "config.extra",
      "config.greeting",
      "config.rules[1].name",
    ]);
    const greeted = unwrap(await subject.build({ config: { greeting: "salut" } }));
    expect((await send(greeted, asks("edit"))).request["x-b"]).toBe("1, 2 salut");
  });

  test("what it logs is cut to length", async () => {
    const lines: string[] = [];
    const logging = unwrap(await subject.build({}, { log: (_level, message) => lines.push(message) }));
    await send(logging, asks("log"));
    expect(Math.max(...lines.map((line) => line.length))).toBe(4096);
    expect(lines.slice(0, 16).map((line) => line.split(" ")[0])).toEqual(
      Array.from({ length: 16 }, (__, line) => String(line)),
    );
  });
});
