// What a sandboxed filter cannot do to a proxy: whatever it tries costs one request, its instance, and nothing else.
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Filter, Verdict } from "../../runtime/chain/filter.ts";
import { buildFilter } from "../../runtime/wasm/build-filter.ts";
import { makeExchange, startClock, type TestClock } from "../../sdk/testing/exchange.ts";
import { depsFor, probeBundle, SUBJECTS, unwrap, useOf } from "./subjects.ts";

const sandboxes = SUBJECTS.filter(({ engine }) => engine !== "native");

beforeAll(async () => {
  // Compiled once for all tests.
  const built = await Promise.all(SUBJECTS.map((subject) => subject.build()));
  for (const filter of built) unwrap(filter).stop();
}, 60_000);

describe.each(sandboxes.map((subject) => [subject.engine, subject] as const))("a guest in engine %s", (_, subject) => {
  let clock: TestClock;
  let filter: Filter;
  beforeEach(async () => {
    clock = startClock();
    filter = unwrap(await subject.build({ limits: { fuel: 2_000_000 } }, { clock }));
  });
  afterEach(() => filter.stop());

  function ask(what: string): Verdict {
    const exchange = makeExchange({ headers: { "x-do": what } }, clock);
    const verdict = filter.request?.(exchange);
    if (verdict === undefined || verdict instanceof Promise) throw new Error("a guest answers at once");
    return verdict;
  }

  function count(): string | undefined {
    const exchange = makeExchange({ headers: { "x-do": "count" } }, clock);
    void filter.request?.(exchange);
    return exchange.headers.get("x-a");
  }

  test.each([
    ["loop", "ran out of fuel"],
    ["regex", "ran out of fuel"],
  ])("%p costs one request and its instance", (what, message) => {
    expect(count()).toBe("1");
    expect(count()).toBe("2");
    expect(messageOf(ask(what))).toContain(message);
    expect(count()).toBe("1");
  });

  test("a memory bomb and endless recursion fail, and the next request is served", async () => {
    filter.stop();
    filter = unwrap(await subject.build({ limits: { memoryMaxBytes: 4 * 1024 * 1024 } }, { clock }));
    expect(ask("memory").kind).toBe("failed");
    expect(Number(count())).toBeGreaterThan(0);
    expect(ask("stack").kind).toBe("failed");
    expect(Number(count())).toBeGreaterThan(0);
  });

  test("a loop on the way up is stopped too", () => {
    const exchange = makeExchange({ headers: { "x-do": "up loop" } }, clock);
    const verdict = filter.response?.(exchange, ask("reply").kind === "reply" ? replyOf(ask("reply")) : never());
    expect(verdict).toMatchObject({ kind: "failed" });
  });

  test("a failure that the guest caught itself keeps the instance", () => {
    expect(count()).toBe("1");
    expect(messageOf(ask("throw"))).toContain("boom");
    expect(count()).toBe("3");
  });

  test("a call that waits for nothing fails when its time is up, and keeps the instance", async () => {
    expect(count()).toBe("1");
    const pending = filter.request?.(makeExchange({ headers: { "x-do": "wait" } }, clock));
    clock.advance(5000);
    expect(messageOf((await pending) ?? never())).toContain("has not decided within 5000 ms");
    expect(count()).toBe("3");
    expect(clock.scheduled).toBe(0);
  });

  test("fuel that a call used is told, and never more than there was", () => {
    ask("count");
    expect(filter.fuelUsed).toBeGreaterThan(100);
    expect(filter.fuelUsed).toBeLessThan(100_000);
    ask("loop");
    expect(filter.fuelUsed).toBe(2_000_000);
    // Running out again and again strains the worker: calls then get a small multiple of what they need.
    for (let fault = 0; fault < 5; fault++) {
      ask("loop");
      clock.advance(100);
    }
    expect(filter.fuelUsed).toBe(100_000);
    clock.advance(31_000);
    ask("loop");
    expect(filter.fuelUsed).toBe(2_000_000);
  });

  test("a guest that keeps faulting is revived where its engine can, else held back, longer each time", () => {
    for (let fault = 0; fault < 3; fault++) expect(messageOf(ask("loop"))).toContain("fuel");
    if (subject.engine === "jsc") {
      for (let fault = 0; fault < 20; fault++) {
        expect(messageOf(ask("loop"))).toContain("fuel");
        expect(count()).toBe("1");
      }
      return;
    }
    expect(messageOf(ask("count"))).toContain("next try in 10 ms");
    clock.advance(10);
    expect(messageOf(ask("loop"))).toContain("fuel");
    expect(messageOf(ask("count"))).toContain("next try in 20 ms");
    clock.advance(20);
    expect(ask("count").kind).toBe("proceed");
    // It served again: what was before is forgotten.
    expect(messageOf(ask("loop"))).toContain("fuel");
    expect(ask("count").kind).toBe("proceed");
  });

  test("two filters of one bundle share no state", async () => {
    const other = unwrap(await subject.build({}, { clock }));
    expect(count()).toBe("1");
    expect(count()).toBe("2");
    const exchange = makeExchange({ headers: { "x-do": "count" } }, clock);
    void other.request?.(exchange);
    expect(exchange.headers.get("x-a")).toBe("1");
    other.stop();
  });

  test("a new version takes over between two requests", async () => {
    const before = filter;
    const after = unwrap(await subject.build({ config: { greeting: "salut" } }, { clock }));
    const greeting = (which: Filter): string | undefined => {
      const exchange = makeExchange({ headers: { "x-do": "edit" } }, clock);
      void which.request?.(exchange);
      return exchange.headers.get("x-b");
    };
    expect([greeting(before), greeting(after), greeting(before)]).toEqual(["1, 2 hello", "1, 2 salut", "1, 2 hello"]);
    before.stop();
    expect(greeting(after)).toBe("1, 2 salut");
    after.stop();
  });
});

describe("a bundle that is not what its snapshot says is refused", () => {
  test.each([
    ["a file is missing", () => undefined, "could not be fetched"],
    ["a file is truncated", (bytes: Uint8Array) => bytes.slice(0, -1), "has digest"],
    [
      "a file was changed",
      (bytes: Uint8Array) => Uint8Array.from(bytes, (byte, at) => (at === 100 ? byte ^ 1 : byte)),
      "has digest",
    ],
  ])("%s", async (_, change, message) => {
    const bundle = await probeBundle();
    const deps = depsFor(bundle, {
      fetchFile: ({ digest, name }) => {
        const bytes = bundle.files.get(digest);
        const changed = bytes === undefined || name !== "filter.core3.wasm" ? bytes : change(bytes);
        return Promise.resolve(
          changed === undefined ? { ok: false, error: "is not there" } : { ok: true, value: changed },
        );
      },
    });
    const built = await buildFilter(useOf({ kind: "bundle", bundle: bundle.ref }), deps);
    expect(built.ok ? "" : built.problems[0]?.message).toContain(message);
    expect(built.ok ? "" : built.problems[0]?.path).toBe("source.bundle");
  });

  test("a filter of another name is none of the proxy's own", async () => {
    const built = await buildFilter(useOf({ kind: "builtin", name: "cosr" }), depsFor(undefined));
    expect(built).toMatchObject({ ok: false, problems: [{ path: "source.name" }] });
  });

  test("memory below what the guest starts with", async () => {
    const bundle = await probeBundle();
    const use = useOf({ kind: "bundle", bundle: bundle.ref });
    const built = await buildFilter({ ...use, limits: { ...use.limits, memoryMaxBytes: 65_536 } }, depsFor(bundle));
    expect(built.ok ? "" : built.problems[0]?.message).toMatch(/needs \d+ bytes of memory, limit is 65536/u);
  });
});

function replyOf(verdict: Verdict) {
  return verdict.kind === "reply" ? verdict.reply : never();
}

function never(): never {
  throw new Error("expected a reply");
}

function messageOf(verdict: Verdict): string {
  return verdict.kind === "failed" ? verdict.failure.message : verdict.kind;
}
