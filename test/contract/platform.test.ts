// What filters may wait for, look at and leave behind: the same on every engine.
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Callout, CalloutReply, CalloutRequest } from "../../runtime/chain/callout.ts";
import { compileChain } from "../../runtime/chain/chain.ts";
import { fuelOf, type Filter } from "../../runtime/chain/filter.ts";
import type { Body } from "../../runtime/exchange/body.ts";
import type { FilterRun } from "../../runtime/exchange/observer.ts";
import type { Exchange, Outcome } from "../../runtime/exchange/exchange.ts";
import { failure, type Result } from "../../runtime/exchange/failure.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { promised } from "../../runtime/exchange/later.ts";
import { localReply, type Reply } from "../../runtime/exchange/reply.ts";
import { FilterMetrics } from "../../runtime/telemetry/filter-metrics.ts";
import { makeExchange, startClock, type RequestInit, type TestClock } from "../../sdk/testing/exchange.ts";
import { fieldsOf } from "../../sdk/testing/pieces.ts";
import platform from "../fixtures/platform/filter.ts";
import { collect, pieces } from "../harness/bodies.ts";
import { subjectsOf, unwrap, type UseInit } from "./subjects.ts";

const SUBJECTS = subjectsOf(platform, join(import.meta.dir, "../fixtures/platform/filter.ts"));
const UPSTREAMS = {
  authz: { cluster: "outbound|80||authz", timeoutMs: 1000 },
  slow: { cluster: "outbound|80||slow", timeoutMs: 100_000 },
};

/** Upstreams as a test answers them: every call is kept, `/never` stays open until it is given up. */
class Upstreams {
  readonly calls: CalloutRequest[] = [];
  abandoned = 0;
  readonly #clock: TestClock;

  constructor(clock: TestClock) {
    this.#clock = clock;
  }

  readonly call: Callout = (request, signal) => {
    this.calls.push(request);
    const { promise, resolve } = Promise.withResolvers<Awaited<ReturnType<Callout>>>();
    const stop = this.#clock.schedule(
      () => resolve({ ok: false, error: { kind: "timeout", message: `${request.cluster} took too long` } }),
      request.timeoutMs,
    );
    const onAbort = (): void => {
      this.abandoned++;
      stop();
      resolve({ ok: false, error: { kind: "aborted", message: "was given up" } });
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (!request.path.startsWith("/never")) {
      stop();
      resolve(answerOf(request));
    }
    return promise;
  };
}

function answerOf({ path, body }: CalloutRequest): Result<CalloutReply, never> {
  const text = path === "/setup" ? "keys" : `${path}=${new TextDecoder().decode(body)}`;
  return { ok: true, value: { status: 201, headers: [["X-Verdict", "yes"]], body: new TextEncoder().encode(text) } };
}

function asks(what: string, headers: Readonly<Record<string, string>> = {}, body?: Body): RequestInit {
  return { headers: { "x-do": what, ...headers }, ...(body && { body }) };
}

/** What was counted of requests that asked for `what`. */
function askedLine(metrics: FilterMetrics, what: string): string | undefined {
  return metrics.render().find((line) => line.startsWith(`asked_total{filter="platform",what="${what}"}`));
}

beforeAll(async () => {
  for (const subject of SUBJECTS) unwrap(await subject.build({ upstreams: UPSTREAMS }, { callout: instantly })).stop();
}, 60_000);

const instantly: Callout = (request) => Promise.resolve(answerOf(request));

describe.each(SUBJECTS.map((subject) => [subject.engine, subject] as const))("in engine %s", (engine, subject) => {
  let clock: TestClock;
  let upstreams: Upstreams;
  let metrics: FilterMetrics;
  let logs: { message: string; fields: Readonly<Record<string, unknown>> }[];
  let filter: Filter;

  function build(init: UseInit = {}) {
    return subject.build(
      { upstreams: UPSTREAMS, ...init },
      {
        clock,
        callout: upstreams.call,
        declareMetrics: (use, definitions) => metrics.declare(use, definitions),
        log: (_level, message, fields) => logs.push({ message, fields }),
      },
    );
  }

  beforeEach(async () => {
    clock = startClock();
    upstreams = new Upstreams(clock);
    metrics = new FilterMetrics();
    logs = [];
    filter = unwrap(await build());
  });
  afterEach(() => filter.stop());

  /** Sends one exchange through a chain of this filter; `advance` moves the clock while it waits. */
  async function send(
    init: RequestInit,
    upstream: (exchange: Exchange) => Reply = () => localReply(200, "ok", "via_upstream"),
  ) {
    const exchange = makeExchange(init, clock);
    const runs: FilterRun[] = [];
    let forwarded: { readonly body: string; readonly trailers: Record<string, string> | undefined } | undefined;
    const run = compileChain(
      [filter],
      { filterRan: (ran) => runs.push(ran), circuitChanged: () => undefined },
      clock,
    )(async (seen): Promise<Outcome> => {
      const { text, trailers } = await collect(seen.body);
      forwarded = { body: text, trailers: trailers && fieldsOf(trailers) };
      return { ok: true, value: upstream(seen) };
    });
    const outcome = await settled(promised(run(exchange)));
    return { exchange, forwarded, outcome, runs, request: fieldsOf(exchange.headers) };
  }

  /** Fuel of one call. */
  async function fuelOfAsk(what: string, headers: Readonly<Record<string, string>> = {}): Promise<number> {
    const verdict = await settled(filter.request?.(makeExchange(asks(what, headers), clock)));
    return verdict === undefined ? 0 : fuelOf(filter, verdict);
  }

  /** What a promise resolves to; while it waits, time passes. */
  async function settled<T>(pending: T | Promise<T>): Promise<T> {
    const wait = { isOver: false };
    const done = Promise.resolve(pending).finally(() => {
      wait.isOver = true;
    });
    for (let turn = 0; turn < 2000 && !wait.isOver; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (turn % 4 === 3) clock.advance(1);
    }
    return done;
  }

  test("setup runs before the first request, and its state is every handler's", async () => {
    expect(upstreams.calls.map(({ path }) => path)).toEqual(["/setup"]);
    const { request } = await send(asks("state"));
    expect(request["x-a"]).toMatch(/^\d+ keys 0 hello$/u);
  });

  test("a set-up that fails refuses the configuration and says why", async () => {
    const built = await build({ config: { failSetup: true } });
    expect(built.ok ? [] : built.problems).toEqual([{ path: "config", message: expect.stringContaining("no keys") }]);
  });

  test("upstreams that lead nowhere, and those that are not called, are told", async () => {
    const { authz } = UPSTREAMS;
    const built = await build({ upstreams: { authz, extra: authz } });
    expect(built.ok ? [] : built.problems.map(({ path }) => path)).toEqual(["upstreams.slow", "upstreams.extra"]);
  });

  test("a timer runs when it is due, and not after the filter was stopped", async () => {
    clock.advance(30_000);
    await settled(new Promise<void>((resolve) => setImmediate(resolve)));
    expect(upstreams.calls.map(({ path }) => path)).toEqual(["/setup", "/tick/1"]);
    clock.advance(30_000);
    await settled(new Promise<void>((resolve) => setImmediate(resolve)));
    expect((await send(asks("state"))).request["x-a"]).toContain(" 2 ");
    filter.stop();
    expect(clock.scheduled).toBe(0);
  });

  test("an upstream is called with what the filter says, and answers", async () => {
    const { request } = await send({ path: "/cart", ...asks("fetch") });
    expect(request["x-a"]).toBe('201 true yes /check?a=1={"path":"/cart"}');
    expect(upstreams.calls.at(-1)).toMatchObject({
      cluster: "outbound|80||authz",
      method: "POST",
      path: "/check?a=1",
      headers: [
        ["x-token", "t"],
        ["x-two", "ü"],
      ],
      timeoutMs: 1000,
    });
  });

  test("several operations run at once, and the first may win", async () => {
    const { request } = await send(asks("both"));
    expect(request["x-a"]).toBe("/1= /2= slept fulfilled,rejected");
  });

  test("an upstream that takes too long is an error of its own name, and finally runs", async () => {
    const { request } = await send(asks("timeout"));
    expect([request["x-a"], request["x-b"]]).toEqual(["TimeoutError", "finally"]);
  });

  test("an upstream that was not declared cannot be called", async () => {
    const { outcome } = await send(asks("unknown upstream"));
    expect(outcome).toMatchObject({ ok: false, error: { kind: "filter_failed" } });
    expect(outcome.ok ? "" : outcome.error.message).toContain('"other" is not one of its upstreams');
  });

  test("a call that does not decide in time fails, and what it waits for is called off", async () => {
    filter.stop();
    filter = unwrap(await build({ limits: { deadlineMs: 50 } }));
    const waiting = clock.scheduled;
    const { outcome } = await send(asks("late"));
    expect(outcome.ok ? "" : outcome.error.message).toContain("has not decided within 50 ms");
    expect(clock.scheduled).toBe(waiting);
    expect((await send(asks("state"))).outcome.ok).toBe(true);
  });

  test("a client that leaves ends the call: its operations stop, its signal is aborted", async () => {
    const exchange = makeExchange(asks("left"), clock);
    const pending = filter.request?.(exchange);
    await new Promise<void>((resolve) => setImmediate(resolve));
    const gone = failure("downstream_closed", "the client left");
    exchange.waiter?.aborted(gone);
    expect(await pending).toMatchObject({ kind: "failed", failure: gone });
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(upstreams.abandoned).toBe(1);
    expect(logs.map(({ message }) => message).toSorted()).toEqual(["caught AbortError true", "left"]);
    expect(exchange.waiter).toBeUndefined();
  });

  test("operations of one call are bounded", async () => {
    expect((await send(asks("many"))).outcome).toMatchObject({ ok: false, error: { kind: "filter_failed" } });
    filter.stop();
    filter = unwrap(await build({ limits: { operationsMax: 200 } }));
    expect((await send(asks("many"))).outcome.ok).toBe(true);
  });

  test("many calls wait in one instance, and each gets its own answer", async () => {
    const all = await Promise.all(
      Array.from({ length: 200 }, (_, index) => send({ path: `/${index}`, ...asks("fetch") })),
    );
    expect(all.map(({ request }) => request["x-a"])).toEqual(
      all.map((_, index) => `201 true yes /check?a=1={"path":"/${index}"}`),
    );
  });

  test("one call may wake another", async () => {
    const [woken, waker] = await Promise.all([send(asks("wake")), send(asks("waker"))]);
    expect([woken.request["x-a"], waker.outcome.ok]).toEqual(["woken", true]);
  });

  test("an async handler may reply, with bytes", async () => {
    const { outcome, forwarded } = await send(asks("async reply"));
    if (!outcome.ok) throw new Error(outcome.error.message);
    expect(forwarded).toBeUndefined();
    expect(outcome.value.status).toBe(403);
    expect(outcome.value.headers.get("content-length")).toBe("3");
    expect((await collect(outcome.value.body)).bytes).toEqual(Buffer.from([0, 255, 1]));
  });

  test("async generators and for await work", async () => {
    expect((await send(asks("iterate"))).request["x-a"]).toBe("a,b");
  });

  test("a call that waits tells the fuel of all of its entries, and of no other's", async () => {
    await fuelOfAsk("laps", { "x-a": "1" });
    const short = await fuelOfAsk("laps", { "x-a": "2" });
    const long = await fuelOfAsk("laps", { "x-a": "5" });
    if (engine === "native") return expect([short, long]).toEqual([0, 0]);
    // Three pieces of work, and six.
    expect(long / short).toBeGreaterThan(1.8);
    expect(long / short).toBeLessThan(2.2);
    // They end in the same entry of the guest, or in turn: each with its own.
    const together = await Promise.all([
      fuelOfAsk("laps", { "x-a": "5" }),
      fuelOfAsk("wake"),
      fuelOfAsk("laps", { "x-a": "5" }),
      fuelOfAsk("waker"),
    ]);
    for (const [index, most] of [long, short / 2, long, short / 2].entries()) {
      expect(together[index]).toBeGreaterThan(0);
      expect(together[index]).toBeLessThan(most * 1.2);
    }
    return expect(together[0]).toBeGreaterThan(long * 0.8);
  });

  test("one that throws after it has waited fails the call, and none of its edits apply", async () => {
    const { outcome, request } = await send(asks("throw later"));
    expect(outcome.ok ? "" : outcome.error.message).toContain("RangeError: later");
    expect(request).toEqual({ "x-do": "throw later" });
  });

  test("a rejection that nobody looks at fails the call, in the sandbox, and says where", async () => {
    if (engine === "native") return;
    for (const [what, message] of [
      ["unhandled", "left alone"],
      ["left alone", "at once"],
    ] as const) {
      const { outcome } = await send(asks(what));
      expect(outcome.ok ? "" : outcome.error.message).toContain(`unhandled rejection: Error: ${message}`);
    }
    expect((await send(asks("both"))).outcome.ok).toBe(true);
  });

  test("a body is read whole, and goes on as it came", async () => {
    const { request, forwarded } = await send(asks("body", {}, pieces(["hel", "lo", " world"])));
    expect(request["x-a"]).toBe("11 hello");
    expect(forwarded?.body).toBe("hello world");
  });

  test("a body is replaced, and its length said anew", async () => {
    const { request, forwarded } = await send(asks("replace", { "content-length": "7" }, pieces(['{"n":', "1}"])));
    expect(forwarded?.body).toBe('{"n":2}');
    const unread = await send(asks("replace unread", { "content-length": "9" }, pieces(["123456789"])));
    expect(Buffer.from(unread.forwarded?.body ?? "", "latin1")).toEqual(Buffer.from([1, 2, 3]));
    expect([request["content-length"], unread.request["content-length"]]).toEqual(["7", "3"]);
  });

  test("a request's body beyond the limit is refused with 413's failure, whatever the policy", async () => {
    filter.stop();
    filter = unwrap(await build({ limits: { bodyMaxBytes: 10 }, failurePolicy: "open" }));
    const { outcome } = await send(asks("body", {}, pieces(["0123456789", "a"])));
    expect(outcome).toMatchObject({ ok: false, error: { kind: "body_too_large" } });
    expect((await send(asks("body", {}, pieces(["0123456789"])))).forwarded?.body).toBe("0123456789");
  });

  test.each([
    ["upper", "HELLO WORLD!"],
    ["identity", "hello world"],
    ["drop", "dropped"],
    ["async chunks", "[3][3][5]end"],
  ])("a body goes through the transform %p piece by piece", async (what, expected) => {
    const { outcome } = await send(asks(what), () => {
      const reply = localReply(200, "", "via_upstream", [["content-length", "11"]]);
      reply.body = pieces(["hel", "lo ", "world"]);
      return reply;
    });
    if (!outcome.ok) throw new Error(outcome.error.message);
    expect(outcome.value.headers.has("content-length")).toBe(false);
    expect((await settled(collect(outcome.value.body))).text).toBe(expected);
  });

  test("a transform that fails breaks the body off", async () => {
    const { outcome } = await send(asks("broken chunks"), () => {
      const reply = localReply(200, "", "via_upstream");
      reply.body = pieces(["first", "second", "third"]);
      return reply;
    });
    const read = outcome.ok ? await collect(outcome.value.body) : undefined;
    expect(read?.text).toBe("first");
    expect(read?.cut?.kind).toBe("filter_failed");
  });

  test("a body that nobody reads on is let go of by the filter", async () => {
    const { outcome } = await send(asks("upper"), () => {
      const reply = localReply(200, "", "via_upstream");
      reply.body = pieces(["a", "b"]);
      return reply;
    });
    if (outcome.ok) outcome.value.body.cancel();
    expect((await send(asks("state"))).outcome.ok).toBe(true);
  });

  test("trailers are edited, down and up", async () => {
    const { outcome, forwarded } = await send(asks("", {}, pieces(["x"], HeaderMap.from([["x-trail", "t"]]))), () => {
      const reply = localReply(200, "", "via_upstream");
      reply.body = pieces(["y"], HeaderMap.from([["x-trail", "u"]]));
      return reply;
    });
    expect(forwarded?.trailers).toEqual({ "x-trail": "t seen" });
    const read = outcome.ok ? await settled(collect(outcome.value.body)) : undefined;
    expect(read?.trailers && fieldsOf(read.trailers)).toEqual({ "x-b": "after" });
  });

  test("metadata reads back, and stays on the exchange", async () => {
    const { exchange, request } = await send(asks("metadata"));
    expect(request["x-a"]).toBe("GET none");
    expect([...(exchange.metadata ?? [])]).toEqual([["seen", "GET none"]]);
    expect(exchange.headers.has("metadata.seen")).toBe(false);
  });

  test("what it measures is exposed under its names", async () => {
    await send(asks("measure"));
    const lines = metrics.render();
    expect(lines).toContain("# HELP asked_total What was asked.");
    expect(lines).toContain('asked_total{filter="platform",what="measure"} 3.5');
    expect(lines).toContain('level{filter="platform"} 7');
    expect(lines).toContain('took_bucket{filter="platform",what="a\\nb",le="10"} 1');
    expect(lines).toContain('took_sum{filter="platform",what="a\\nb"} 55');
  });

  test("a verdict is kept for the same head, for as long as it said, and for no other", async () => {
    const [first, second] = [await send(asks("cache")), await send(asks("cache"))];
    for (const { request } of [first, second]) expect(request["x-a"]).toBe("kept");
    // What was decided before costs nothing, and counts as such.
    expect(first.runs).toMatchObject([{ phase: "request", kept: false }, { phase: "response" }]);
    expect(second.runs).toMatchObject([{ phase: "request", kept: true, fuel: 0 }, { phase: "response" }]);
    expect(askedLine(metrics, "cache")).toEndWith(" 1");
    expect((await send({ path: "/other", ...asks("cache") })).request["x-a"]).toBe("kept");
    expect(askedLine(metrics, "cache")).toEndWith(" 2");
    clock.advance(1000);
    await send(asks("cache"));
    expect(askedLine(metrics, "cache")).toEndWith(" 3");
  });

  test("it looks back at an exchange that is over", async () => {
    const { exchange } = await send(asks("look back"));
    exchange.status = 200;
    exchange.bytesReceived = 12;
    exchange.onEnd?.();
    await settled(new Promise<void>((resolve) => setImmediate(resolve)));
    expect(logs).toEqual([{ message: "over", fields: { filter: "platform", status: 200, flags: "-", size: "12" } }]);
  });

  test("a fault ends every call that waits in the instance, and the next is served", async () => {
    if (engine === "native") return;
    const exchange = makeExchange(asks("left"), clock);
    const pending = filter.request?.(exchange);
    filter.stop();
    expect(await pending).toMatchObject({ kind: "failed" });
    filter = unwrap(await build());
    expect((await send(asks("state"))).outcome.ok).toBe(true);
  });
});
