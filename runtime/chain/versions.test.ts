// Two versions of a filter side by side: who decides, what is compared, and when the candidate is let go.
import { describe, expect, test } from "bun:test";
import { defineFilter, reply } from "../../sdk/index.ts";
import { makeExchange, startClock, type TestClock } from "../../sdk/testing/exchange.ts";
import { surroundingsOf } from "../../sdk/testing/run-filter.ts";
import type { AnyFilter } from "../../sdk/define-filter.ts";
import { FilterUse } from "../contract/filter.ts";
import { bytesBody, type Body } from "../exchange/body.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { failure } from "../exchange/failure.ts";
import { localReply } from "../exchange/reply.ts";
import { buildNativeFilter } from "./native-filter.ts";
import { discard, readWhole } from "./whole-body.ts";
import type { Compared, TrialWatch } from "./trial.ts";
import type { Filter } from "./filter.ts";
import { withCandidate } from "./with-candidate.ts";

interface Watched extends TrialWatch {
  readonly runs: readonly string[];
  readonly differences: readonly (Compared | undefined)[];
  readonly reasons: readonly string[];
  skips: number;
}

function watchAll(): Watched {
  const runs: string[] = [];
  const differences: (Compared | undefined)[] = [];
  const reasons: string[] = [];
  return {
    runs,
    differences,
    reasons,
    skips: 0,
    ran: (version, hasFailed) => runs.push(`${version}${hasFailed ? " failed" : ""}`),
    candidateFailed: () => undefined,
    compared: (difference) => differences.push(difference),
    skipped() {
      this.skips++;
    },
    stopped: (reason) => reasons.push(reason),
    ended: () => undefined,
  };
}

/** A filter that writes its name; what the request's `x-do` says is done by the candidate alone. */
const version = (name: string, more: Partial<AnyFilter> = {}): AnyFilter =>
  Object.assign(
    defineFilter({
      name,
      stage: "transform",
      reads: ["x-do"],
      writes: ["x-version", "x-up", "authorization"],
      body: { request: "buffer", response: "none" },
      request(request) {
        const asked = name === "new" ? request.headers.get("x-do") : null;
        request.headers.set("x-version", name);
        if (asked === "throw") throw new Error("no");
        if (asked === "late throw") return Promise.reject(new Error("no"));
        if (asked === "reply") return reply({ status: 403 });
        if (asked === "secret") request.headers.set("authorization", "Bearer abc");
        if (asked === "read") {
          return request.body.text().then((text) => {
            request.headers.set("x-up", text);
            return undefined;
          });
        }
        return undefined;
      },
      response(response) {
        if (name === "new" && response.request.headers.get("x-do") === "throw up") throw new Error("no");
        response.headers.set("x-up", name);
      },
    }),
    more,
  );

interface Trial {
  readonly filter: Filter;
  readonly watch: Watched;
  readonly clock: TestClock;
}

async function tryOut(candidate: object, live = version("old"), tried = version("new")): Promise<Trial> {
  const clock = startClock();
  const source = { kind: "builtin", name: "stamp" };
  const use = FilterUse.parse({
    name: "default/stamp",
    source,
    stage: "transform",
    candidate: { trial: "1", source, ...candidate },
  });
  const build = async (filter: AnyFilter) => {
    const built = await buildNativeFilter(filter, use, surroundingsOf(clock));
    if (!built.ok) throw new Error(JSON.stringify(built.problems));
    return built.value;
  };
  const watch = watchAll();
  const versions = { live: await build(live), candidate: await build(tried), watch };
  return { filter: withCandidate(use, versions, clock, clock.schedule), watch, clock };
}

async function exchangeThrough({ filter }: Trial, exchange: Exchange) {
  const down = await filter.request?.(exchange);
  const answer = localReply(200, "", "via_upstream");
  const up = await filter.response?.(exchange, answer);
  return {
    down: down?.kind,
    up: up?.kind,
    version: exchange.headers.get("x-version"),
    upBy: answer.headers.get("x-up"),
  };
}

const asking = (what: string, body?: Body) =>
  makeExchange({ requestId: crypto.randomUUID(), headers: { "x-do": what }, ...(body === undefined ? {} : { body }) });

describe("a canary", () => {
  test("decides for its share alone, in both phases of an exchange", async () => {
    const trial = await tryOut({ percent: 50 });
    const seen = [];
    for (let index = 0; index < 100; index++) seen.push(await exchangeThrough(trial, asking("")));
    const versions = seen.map(({ version: down, upBy }) => `${down} ${upBy}`);
    expect(new Set(versions)).toEqual(new Set(["old old", "new new"]));
    expect(trial.watch.runs.filter((run) => run === "candidate")).toHaveLength(
      2 * versions.filter((one) => one === "new new").length,
    );
  });

  test.each(["throw", "late throw"])(
    "that fails (%s) leaves the decision to the live version, up too",
    async (what) => {
      const trial = await tryOut({});
      expect(await exchangeThrough(trial, asking(what))).toEqual({
        down: "proceed",
        up: "proceed",
        version: "old",
        upBy: "old",
      });
      expect(trial.watch.runs).toEqual(["candidate failed", "live", "live"]);
    },
  );

  test("that fails on the way up leaves the reply to the live version", async () => {
    const trial = await tryOut({});
    expect(await exchangeThrough(trial, asking("throw up"))).toMatchObject({ version: "new", upBy: "old" });
  });

  test("whose body it may have begun to read is not asked about again by the live version", async () => {
    const trial = await tryOut({});
    const exchange = asking("late throw", { ...bytesBody(Buffer.from("body")) });
    expect(await trial.filter.request?.(exchange)).toMatchObject({ kind: "failed" });
    expect(trial.watch.runs).toEqual(["candidate failed"]);
  });

  test("that keeps failing is stopped here at once, and says so once", async () => {
    const trial = await tryOut({});
    for (let index = 0; index < 10; index++) {
      expect(await exchangeThrough(trial, asking("throw"))).toMatchObject({ down: "proceed", version: "old" });
    }
    expect(trial.watch.reasons).toEqual(["5 calls in a row failed; the last: filter default/stamp: Error: no"]);
    expect(trial.watch.runs.filter((run) => run === "candidate failed")).toHaveLength(5);
  });

  test("is not blamed for exchanges that were lost", async () => {
    const lost: Filter = {
      name: "default/stamp",
      stage: "transform",
      priority: 0,
      failurePolicy: "closed",
      fuelUsed: 0,
      wasKept: undefined,
      request: () => ({ kind: "failed", failure: failure("downstream_closed", "left") }),
      stop: () => undefined,
    };
    const trial = await tryOut({});
    const watch = watchAll();
    const use = FilterUse.parse({
      name: "a",
      source: { kind: "builtin", name: "a" },
      stage: "authn",
      candidate: { trial: "1", source: { kind: "builtin", name: "a" } },
    });
    const filter = withCandidate(
      use,
      { live: trial.filter, candidate: lost, watch },
      trial.clock,
      trial.clock.schedule,
    );
    for (let index = 0; index < 10; index++)
      expect(await filter.request?.(asking(""))).toMatchObject({ kind: "failed" });
    expect([watch.runs, watch.reasons]).toEqual([[], []]);
  });
});

/** Everything that is due, promises of it included. */
const settle = async (clock: TestClock): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) {
    clock.advance(1);
    await Promise.resolve();
  }
};

describe("a shadow", () => {
  test("changes nothing, and what it would have done otherwise is told by what differs", async () => {
    const trial = await tryOut({ mode: "shadow" });
    expect(await exchangeThrough(trial, asking("reply"))).toMatchObject({
      down: "proceed",
      version: "old",
      upBy: "old",
    });
    expect(trial.watch.runs).toEqual(["live", "live"]);
    await settle(trial.clock);
    expect(trial.watch.differences).toMatchObject([
      {
        phase: "request",
        live: { verdict: "proceed", edits: [{ kind: "set", name: "x-version", value: "old" }] },
        candidate: { verdict: "reply", status: 403 },
      },
      { phase: "response", candidate: { verdict: "proceed", edits: [{ name: "x-up", value: "new" }] } },
    ]);
  });

  test("that decides alike is told as no difference", async () => {
    const trial = await tryOut({ mode: "shadow" }, version("old"), version("old"));
    await exchangeThrough(trial, asking(""));
    await settle(trial.clock);
    expect(trial.watch.differences).toEqual([undefined, undefined]);
  });

  test("shows no value of a credential", async () => {
    const trial = await tryOut({ mode: "shadow" });
    await exchangeThrough(trial, asking("secret"));
    await settle(trial.clock);
    const edits = trial.watch.differences[0]?.candidate.edits;
    expect(edits).toContainEqual({ kind: "set", name: "authorization", value: "[redacted]" });
    expect(JSON.stringify(trial.watch.differences)).not.toContain("abc");
  });

  test("sees the body that went on, which is there whole for who reads it", async () => {
    const trial = await tryOut({ mode: "shadow" });
    const exchange = asking("read", bytesBody(Buffer.from("a body")));
    await trial.filter.request?.(exchange);
    await settle(trial.clock);
    expect(trial.watch.differences).toEqual([]);
    const read = await readWhole(exchange, 100);
    expect(read.ok && Buffer.from(read.value).toString()).toBe("a body");
    await settle(trial.clock);
    expect(trial.watch.differences[0]?.candidate.edits).toContainEqual({ kind: "set", name: "x-up", value: "a body" });
  });

  test("is skipped where the body is too large for it", async () => {
    const trial = await tryOut({ mode: "shadow" });
    const exchange = asking("read", { ...bytesBody(Buffer.alloc(100_000)), lengthBytes: undefined });
    await trial.filter.request?.(exchange);
    discard(exchange.body);
    await settle(trial.clock);
    expect([trial.watch.skips, trial.watch.differences]).toEqual([1, []]);
  });

  test("is skipped when too many messages wait, and the exchange goes on", async () => {
    const trial = await tryOut({ mode: "shadow" });
    for (let index = 0; index < 100; index++) {
      expect(await trial.filter.request?.(asking(""))).toMatchObject({ kind: "proceed" });
    }
    expect(trial.watch.skips).toBe(36);
    await settle(trial.clock);
    expect(trial.watch.differences).toHaveLength(64);
  });

  test("keeps a bounded number of bodies that are on their way", async () => {
    const trial = await tryOut({ mode: "shadow" });
    const slow: Body = { lengthBytes: 9, pipe: () => undefined, resume: () => undefined, cancel: () => undefined };
    const exchanges = Array.from({ length: 100 }, () => asking("", slow));
    for (const exchange of exchanges) await trial.filter.request?.(exchange);
    expect(trial.watch.skips).toBe(36);
    for (const { body } of exchanges) body.cancel();
    const before = trial.watch.skips;
    await trial.filter.request?.(asking("", bytesBody(Buffer.from("a body"))));
    expect(trial.watch.skips).toBe(before);
  });

  test("rests from exchanges that are over as from those that go on", async () => {
    const trial = await tryOut({ mode: "shadow" });
    const { clock, watch } = trial;
    const logged: string[] = [];
    const logging = (name: string, tookMs: number): Filter => ({
      ...trial.filter,
      fuelUsed: 0,
      wasKept: undefined,
      stop: () => undefined,
      log: () => {
        logged.push(name);
        clock.advance(tookMs);
        return { kind: "proceed" };
      },
    });
    const source = { kind: "builtin", name: "a" };
    const candidate = { trial: "1", source, mode: "shadow" };
    const use = FilterUse.parse({ name: "a", source, stage: "authn", candidate });
    const versions = { live: logging("old", 0), candidate: logging("new", 10), watch };
    const filter = withCandidate(use, versions, clock, clock.schedule);
    for (let exchange = 0; exchange < 3; exchange++) await filter.log?.(asking(""));
    expect(logged).toEqual(["old", "new", "old", "old"]);
    clock.advance(40);
    await filter.log?.(asking(""));
    expect(logged.slice(4)).toEqual(["old", "new"]);
    expect(watch.skips).toBe(2);
  });

  test("that keeps failing is stopped", async () => {
    const trial = await tryOut({ mode: "shadow" });
    for (let index = 0; index < 10; index++) {
      await trial.filter.request?.(asking("throw"));
      await settle(trial.clock);
    }
    expect(trial.watch.reasons).toHaveLength(1);
    expect(trial.watch.runs.filter((run) => run === "candidate failed")).toHaveLength(5);
  });

  test("rests four times as long as it worked", async () => {
    const trial = await tryOut({ mode: "shadow" });
    const slow: Filter = {
      ...trial.filter,
      fuelUsed: 0,
      wasKept: undefined,
      stop: () => undefined,
      request: () => {
        trial.clock.advance(10);
        return { kind: "proceed" };
      },
    };
    const watch = watchAll();
    const use = FilterUse.parse({
      name: "a",
      source: { kind: "builtin", name: "a" },
      stage: "authn",
      candidate: { trial: "1", source: { kind: "builtin", name: "a" }, mode: "shadow" },
    });
    const { clock } = trial;
    const quick: Filter = { ...slow, request: () => ({ kind: "proceed" }) };
    const filter = withCandidate(use, { live: quick, candidate: slow, watch }, clock, clock.schedule);
    for (let index = 0; index < 3; index++) await filter.request?.(asking(""));
    clock.advance(0);
    expect(watch.differences).toHaveLength(1);
    // The clock was ten further when it had looked.
    clock.advance(49);
    expect(watch.differences).toHaveLength(1);
    clock.advance(2);
    expect(watch.differences).toHaveLength(2);
  });
});
