// One contract over every engine for adapters of one's own: what rules ask and tell comes to the same, natively and in the
// sandbox, and whatever a handler does ends in an answer.
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { AdapterAnswer, Instance, Question } from "../../runtime/adapters/adapter.ts";
import { buildFilterBackend } from "../../runtime/adapters/filter.ts";
import { LiveAdapter } from "../../runtime/adapters/live-adapter.ts";
import type { CalloutReply, CalloutRequest } from "../../runtime/chain/callout.ts";
import { Adapter, type BackendOf } from "../../runtime/contract/adapter.ts";
import type { AdapterObserver } from "../../runtime/exchange/adapter-observer.ts";
import { buildAdapterCalls } from "../../runtime/wasm/build-filter.ts";
import type { DerivedBundle } from "../../sdk/build/derive.ts";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { readBody } from "../../sdk/testing/run-filter.ts";
import doorman from "../fixtures/doorman/filter.ts";
import { deriveFile, depsFor, ENGINES, engineOf, unwrap } from "./subjects.ts";

const FILE = join(import.meta.dir, "../fixtures/doorman/filter.ts");

let bundle: DerivedBundle;
beforeAll(async () => {
  bundle = await deriveFile(FILE);
}, 60_000);

interface Start {
  readonly isolation?: "shared" | "request";
  readonly backend?: Partial<Pick<BackendOf<"filter">, "config">> & {
    readonly limits?: object;
    readonly batch?: object;
  };
  readonly keeper?: (request: CalloutRequest) => Promise<Partial<CalloutReply>> | Partial<CalloutReply>;
}

/** What a keeper answers that says nothing. */
const SILENT: CalloutReply = { status: 200, headers: [], body: new Uint8Array() };

const running: LiveAdapter[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(({ backend }) => backend.stop()));
});

describe.each(["native", ...ENGINES] as const)("an adapter on engine %s", (engine) => {
  async function start({ backend = {}, keeper = () => ({}), isolation = "shared" }: Start = {}) {
    const clock = startClock();
    const told: string[] = [];
    const fuel = { check: 0, quota: 0, report: 0 };
    const observer: AdapterObserver = {
      asked: ({ outcome, isCached }) => void told.push(isCached ? `${outcome} kept` : outcome),
      fuelUsed: (_, phase, used) => void (fuel[phase] += used),
      queueChanged: () => undefined,
      sent: (_, count) => void told.push(`sent ${count}`),
      dropped: (_, count, why) => void told.push(`dropped ${count} ${why}`),
      sendFailed: (_, reason) => void told.push(`send failed: ${reason}`),
    };
    const config = Adapter.parse({
      name: "default/door",
      backend: {
        kind: "filter",
        bundle: { ...bundle.ref, manifest: { ...bundle.ref.manifest, isolation } },
        upstreams: { keeper: { cluster: "keeper" } },
        ...backend,
      },
    });
    const metrics: string[] = [];
    const deps = depsFor(bundle, {
      clock,
      builtins: new Map([[doorman.name, doorman]]),
      ...(engine === "native" ? {} : { engine: engineOf(engine) }),
      callout: async (request) => ({ ok: true, value: { ...SILENT, ...(await keeper(request)) } }),
      declareMetrics: (use) => ({
        ok: true,
        value: { record: (name, value, labels) => metrics.push([use, name, value, ...labels].join(" ")) },
      }),
    });
    if (config.backend.kind !== "filter") throw new Error("is another kind");
    const built = unwrap(
      await buildFilterBackend({
        name: config.name,
        config: config.backend,
        surroundings: {
          clock,
          schedule: clock.schedule,
          callout: deps.callout,
          observer,
          own: { service: "test", namespace: "default", labels: {} },
          buildCalls: (use) =>
            buildAdapterCalls(
              engine === "native" ? { ...use, source: { kind: "builtin", name: doorman.name } } : use,
              deps,
            ),
        },
      }),
    );
    const live = new LiveAdapter(config, built, { clock, observer });
    running.push(live);
    return { clock, live, told, metrics, fuel };
  }

  describe("check", () => {
    test("sees the action's name, value and the attributes that it reads, as they were declared", async () => {
      const { live, metrics } = await start({ backend: { config: { greeting: "salut" } } });
      const fields = { "x-a": "1", "x-b": "two\nlines" };
      const attributes = { do: "see", user: "Zoë ☕\r\nsize: 9", size: 12.5, admin: false, fields, other: "unread" };
      const answer = await ask(live, "check", { name: "door", value: "tea", attributes });
      expect(JSON.parse(said(answer))).toEqual({
        name: "door",
        value: "tea",
        attributes: { do: "see", user: "Zoë ☕  size: 9", size: 12.5, admin: false, fields },
        greeting: "salut",
        state: { bornWith: "salut" },
      });
      expect(metrics).toEqual(["adapter/default/door doorman_asked_total 1 check"]);
      const bare = JSON.parse(said(await ask(live, "check", { attributes: { do: "see" } })));
      expect(bare).toMatchObject({ name: "rule", attributes: { do: "see" } });
    });

    test("refuses with a status, fields and words of its own", async () => {
      const { live } = await start();
      const refused = replyOf(await ask(live, "check", { attributes: { do: "refuse" } }));
      expect([refused.status, readBody(refused)]).toEqual([401, "who are you? ☕"]);
      expect(refused.headers.get("www-authenticate")).toBe("Bearer");
      const elsewhere = replyOf(await ask(live, "check", { attributes: { do: "redirect" } }));
      expect([elsewhere.status, elsewhere.headers.get("location")]).toEqual([302, "/login"]);
      expect(await ask(live, "check", {})).toMatchObject({ kind: "allowed" });
    });

    test("an answer is kept for what was read of it, as long and as often as it says", async () => {
      const { live, told, clock } = await start();
      const keep = (other: string, user = "ada") => ask(live, "check", { attributes: { do: "keep", user, other } });
      for (const other of ["a", "b", "c", "d"]) await keep(other);
      await keep("a", "bob");
      expect(told).toEqual(["allowed", "allowed kept", "allowed kept", "allowed", "allowed"]);
      clock.advance(60_001);
      await keep("a");
      expect(told.at(-1)).toBe("allowed");
      await ask(live, "check", { attributes: { do: "keep refusal" } });
      await ask(live, "check", { attributes: { do: "keep refusal" } });
      expect(told.slice(-2)).toEqual(["refused", "refused kept"]);
    });

    test("asks its upstream, and is given up when nobody waits or its time is up", async () => {
      const bodies: string[] = [];
      const { live, clock, told } = await start({
        backend: { limits: { deadlineMs: 500 } },
        keeper: ({ body }) => ({ status: bodies.push(new TextDecoder().decode(body)) === 1 ? 200 : 418 }),
      });
      expect(await ask(live, "check", { attributes: { do: "ask", user: "ada" } })).toMatchObject({ kind: "allowed" });
      expect(replyOf(await ask(live, "check", { attributes: { do: "ask" } })).status).toBe(418);
      expect(bodies).toEqual(["ada", ""]);
      const late = ask(live, "check", { attributes: { do: "wait" } });
      clock.advance(501);
      expect(messageOf(await late)).toBe("has not decided within 500 ms");
      const leaving = new AbortController();
      const left = ask(live, "check", { attributes: { do: "wait" } }, { signal: leaving.signal });
      leaving.abort();
      expect((await left).kind).toBe("failed");
      expect(told.slice(-2)).toEqual(["failed", "cancelled"]);
    });

    test.each([
      ["throw", "boom"],
      ["reject", "later"],
      ["nothing", "the handler returned neither allow() nor refuse()"],
      ["status", "refuses with status 200, must be 300 to 599"],
      ["framing", `reply sets "content-length"`],
      ["line", "x-a: a field holds no line break"],
      ["fields", "refuses with fields of 5003 characters, limit is 4096"],
    ])("%p fails the call alone", async (what, message) => {
      const { live } = await start();
      expect(messageOf(await ask(live, "check", { attributes: { do: what } }))).toContain(message);
      expect(await ask(live, "check", {})).toMatchObject({ kind: "allowed" });
    });
  });

  describe("quota", () => {
    test("is asked for an amount, one where the action says none", async () => {
      const { live } = await start();
      const see = async (instance: Partial<Instance>, isBestEffort = false): Promise<unknown> => {
        const attributes = { do: "see", user: "ada" };
        return JSON.parse(said(await ask(live, "quota", { name: "calls", attributes, ...instance }, { isBestEffort })));
      };
      const alike = { name: "calls", attributes: { do: "see", user: "ada" } };
      expect(await see({})).toEqual({ ...alike, amount: 1, isBestEffort: false });
      expect(await see({ value: 7 }, true)).toEqual({ ...alike, amount: 7, isBestEffort: true });
      expect(await ask(live, "quota", { value: 0, attributes: { do: "see" } })).toMatchObject({ kind: "allowed" });
      expect(messageOf(await ask(live, "quota", { value: -1 }))).toBe("cannot charge -1");
    });

    test("less than the amount is a refusal, but where any part of it will do", async () => {
      const { live } = await start();
      const half = (value: number, isBestEffort: boolean) =>
        ask(live, "quota", { value, attributes: { do: "half" } }, { isBestEffort });
      expect(await ask(live, "quota", { value: 10 })).toMatchObject({ kind: "allowed" });
      expect(replyOf(await half(10, false)).status).toBe(429);
      expect(await half(10, true)).toMatchObject({ kind: "allowed" });
      expect(replyOf(await half(1, true)).status).toBe(429);
      const refused = replyOf(await ask(live, "quota", { attributes: { do: "refuse" } }));
      expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "7"]);
    });

    test("may grant for several requests at once", async () => {
      const { live, told } = await start();
      for (let use = 0; use < 11; use++) await ask(live, "quota", { attributes: { do: "keep" } });
      expect(told.filter((how) => how === "allowed")).toHaveLength(2);
      expect(told.filter((how) => how === "allowed kept")).toHaveLength(9);
    });

    test.each([
      ["part", "grant: 0.5 is not a whole number of 0 or more"],
      ["nothing", "the handler returned neither grant() nor refuse()"],
    ])("%p fails the call", async (what, message) => {
      const { live } = await start();
      expect(messageOf(await ask(live, "quota", { attributes: { do: what } }))).toContain(message);
    });
  });

  describe("report", () => {
    test("gets batches, and what its receiver does not take it gets again", async () => {
      const bodies: unknown[] = [];
      let status = 503;
      const { live, told, clock, metrics } = await start({
        backend: { batch: { entriesMax: 2 } },
        keeper: ({ body }) => {
          bodies.push(JSON.parse(new TextDecoder().decode(body)));
          return { status };
        },
      });
      for (const user of ["ada", "bob", "eve"]) live.backend.report?.add(instanceOf(user), makeExchange({}, clock));
      await turns(() => told.length > 0);
      expect(told).toEqual([expect.stringMatching(/^send failed: (?:.*Error: )?the keeper answered 503/u)]);
      status = 204;
      clock.advance(250);
      await turns(() => told.includes("sent 2"));
      await live.backend.report?.flush();
      expect(told.slice(1)).toEqual(["sent 2", "sent 1"]);
      expect(bodies).toEqual([
        [instanceOf("ada"), instanceOf("bob")],
        [instanceOf("ada"), instanceOf("bob")],
        [instanceOf("eve")],
      ]);
      expect(metrics).toContain("adapter/default/door doorman_asked_total 2 report");
    });

    test("drops what it refuses", async () => {
      const { live, told, clock } = await start();
      live.backend.report?.add(
        { name: "log", value: undefined, attributes: { do: "refuse" } },
        makeExchange({}, clock),
      );
      await live.backend.report?.flush();
      expect(told).toEqual(["send failed: not these", "dropped 1 refused"]);
    });
  });

  // A native adapter has no instance of its own.
  if (engine !== "native") {
    test("one that never ends costs its call and its instance", async () => {
      const { live, fuel, told, clock } = await start({ backend: { limits: { fuel: 2_000_000 } } });
      const count = async (): Promise<string> => said(await ask(live, "check", { attributes: { do: "count" } }));
      expect([await count(), await count()]).toEqual(["1", "2"]);
      expect(fuel.check).toBeGreaterThan(0);
      expect(messageOf(await ask(live, "check", { attributes: { do: "loop" } }))).toContain("ran out of fuel");
      expect(await count()).toBe("1");
      // Told again it would never end again.
      live.backend.report?.add({ name: "log", value: undefined, attributes: { do: "loop" } }, makeExchange({}, clock));
      await live.backend.report?.flush();
      expect(told.slice(-2)).toEqual([expect.stringContaining("ran out of fuel"), "dropped 1 refused"]);
      expect(await count()).toBe("1");
    });

    test("a batch whose instance another call made fault is told again", async () => {
      let told = 0;
      const { promise, resolve } = Promise.withResolvers<Partial<CalloutReply>>();
      const adapter = await start({
        backend: { limits: { fuel: 2_000_000 }, batch: { entriesMax: 1 } },
        keeper: () => (++told === 1 ? promise : {}),
      });
      adapter.live.backend.report?.add(instanceOf("ada"), makeExchange({}, adapter.clock));
      await turns(() => told === 1);
      expect(messageOf(await ask(adapter.live, "check", { attributes: { do: "loop" } }))).toContain("ran out of fuel");
      await turns(() => adapter.told.length === 2);
      expect(adapter.told.at(-1)).toContain("its instance was given up, since another call ran out of fuel");
      resolve({});
      adapter.clock.advance(250);
      await turns(() => adapter.told.length === 3);
      expect(adapter.told.at(-1)).toBe("sent 1");
    });

    test("with isolation request nothing stays from one call to the next", async () => {
      const { live } = await start({ isolation: "request" });
      const count = async (): Promise<string> => said(await ask(live, "check", { attributes: { do: "count" } }));
      expect([await count(), await count(), await count()]).toEqual(["1", "1", "1"]);
      const seen = JSON.parse(said(await ask(live, "check", { attributes: { do: "see" } })));
      expect(seen).toMatchObject({ state: { bornWith: "hello" } });
      const leaving = new AbortController();
      const left = ask(live, "check", { attributes: { do: "wait" } }, { signal: leaving.signal });
      leaving.abort();
      expect(messageOf(await left)).toBe("nobody waits for it any more");
    });
  }

  test("a configuration that is not its own, and an upstream that leads nowhere, are refused by their paths", async () => {
    const config = start({ backend: { config: { greeting: "x" } } });
    expect((await rejectionOf(config)).message).toStartWith("backend.config.greeting");
  });
});

function instanceOf(user: string): Instance {
  return { name: "log", value: "x", attributes: { user, size: 3 } };
}

function ask(
  live: LiveAdapter,
  phase: "check" | "quota",
  instance: Partial<Instance>,
  more: Partial<Pick<Question, "isBestEffort" | "signal">> = {},
): Promise<AdapterAnswer> {
  const question: Question = {
    instance: { name: "rule", value: undefined, attributes: {}, ...instance },
    exchange: makeExchange({}, startClock()),
    isBestEffort: false,
    signal: new AbortController().signal,
    ...more,
  };
  return Promise.resolve(live.ask(phase, question)).then(({ answer }) => answer);
}

function replyOf(answer: AdapterAnswer) {
  if (answer.kind !== "refused") throw new Error(`expected a refusal: ${JSON.stringify(answer)}`);
  return answer.refusal.reply();
}

function said(answer: AdapterAnswer): string {
  return readBody(replyOf(answer));
}

function messageOf(answer: AdapterAnswer): string {
  return answer.kind === "failed" ? answer.message : answer.kind;
}

/** Promises of this process settle; nothing here waits for a real clock. */
async function turns(isDone: () => boolean): Promise<void> {
  for (let turn = 0; turn < 100 && !isDone(); turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

async function rejectionOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("expected it to be refused");
}
