// Looking at filters: what is told, how much of it, and that nobody pays who does not look.
import { expect, test } from "bun:test";
import { makeExchange, startClock } from "../../sdk/testing/exchange.ts";
import { PROCEED, type Filter, type Verdict } from "../chain/filter.ts";
import { failedVerdict } from "../chain/on-failure.ts";
import { ProxyMessage } from "../contract/protocol.ts";
import { Tap, type TapEvent } from "../contract/tap.ts";
import { bytesBody } from "../exchange/body.ts";
import { Taps } from "./taps.ts";

const makeFilter = (verdict: Verdict = PROCEED): Filter => ({
  name: "default/a",
  stage: "authn",
  priority: 0,
  failurePolicy: "closed",
  fuelUsed: 7,
  wasKept: undefined,
  request: () => verdict,
  stop: () => undefined,
});

const tap = (more: object = {}) => Tap.parse({ id: "1", filter: "default/a", kind: "tail", ...more });

function start(verdict?: Verdict) {
  const clock = startClock();
  const told: { tap: string; events: TapEvent[]; dropped: number }[] = [];
  const taps = new Taps({
    clock,
    schedule: clock.schedule,
    tell: (id, events, dropped) => told.push({ tap: id, events: structuredClone(events), dropped }) > 0,
    explain: (_filter, _version, reason) => Promise.resolve(`${reason} (explained)`),
  });
  const filter = makeFilter(verdict);
  const [tapped = filter] = taps.wrap([filter]);
  /** One exchange through the filter, to its end. */
  const pass = async (status = 200, init: Parameters<typeof makeExchange>[0] = {}) => {
    const exchange = makeExchange({ requestId: crypto.randomUUID(), ...init }, clock);
    await tapped.request?.(exchange);
    exchange.status = status;
    exchange.onEnd?.();
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
  };
  return { clock, told, taps, filter, tapped, pass, events: () => told.flatMap(({ events }) => events) };
}

test("where nobody looks, the chain calls the filter's own handlers", () => {
  const { taps, filter, tapped } = start();
  const isOwn = (): boolean => tapped.request === filter.request;
  expect(isOwn()).toBe(true);
  taps.set([tap()]);
  expect(isOwn()).toBe(false);
  taps.set([tap({ id: "2", filter: "default/b" })]);
  expect(isOwn()).toBe(true);
  expect(taps.lineOf("default/a")).toBeUndefined();
});

test("a call is told when its exchange is over, with what that was answered", async () => {
  const { clock, taps, pass, events } = start(failedVerdict("default/a", "no"));
  taps.set([tap()]);
  await pass(503, { path: "/a?token=b", method: "PUT" });
  clock.advance(100);
  expect(events()).toMatchObject([
    {
      kind: "call",
      method: "PUT",
      path: "/a",
      phase: "request",
      verdict: "failed",
      reason: "filter default/a: no (explained)",
      status: 503,
      fuel: 7,
      version: "live",
    },
  ]);
});

test("a status and a share choose exchanges, and those of one id are chosen alike everywhere", async () => {
  const { clock, taps, pass, told } = start();
  taps.set([
    tap({ status: "5xx" }),
    tap({ id: "2", sample: 0.5 }),
    tap({ id: "3", sample: 0.5 }),
    tap({ id: "4", sample: 0 }),
  ]);
  for (let index = 0; index < 100; index++) await pass(index % 4 === 0 ? 500 : 404);
  clock.advance(100);
  const by = (id: string) => told.filter((one) => one.tap === id).flatMap(({ events }) => events);
  expect(by("1")).toHaveLength(25);
  expect(by("2").length).toBeWithin(25, 76);
  expect(by("3").map((event) => event.kind === "call" && event.requestId)).toEqual(
    by("2").map((event) => event.kind === "call" && event.requestId),
  );
  expect(by("4")).toEqual([]);
});

test("lines are told by their level, and not where only some exchanges are meant and nobody knows whose they are", async () => {
  const { clock, taps, events } = start();
  taps.set([tap({ level: "warn" })]);
  taps.lineOf("default/a")?.("info", "quiet", { filter: "default/a" });
  taps.lineOf("default/a~shadow")?.("error", "loud", { filter: "default/a~shadow", n: 1 });
  clock.advance(100);
  expect(events()).toMatchObject([{ kind: "log", level: "error", message: "loud", fields: { n: 1 } }]);
  taps.set([tap({ id: "2", sample: 0.5 })]);
  taps.lineOf("default/a")?.("error", "whose", {});
  clock.advance(100);
  expect(events()).toHaveLength(1);
});

test("more than can be told is dropped and counted, and every message is one that control takes", async () => {
  const { clock, taps, pass, told } = start();
  const one = { kind: "record", bodies: "all", bodyMaxBytes: 256 * 1024 };
  taps.set([tap(one), tap({ id: "2" })]);
  const body = Buffer.alloc(200_000, 1);
  for (let index = 0; index < 600; index++) {
    const exchange = { path: `/${"é".repeat(3000)}`, body: bytesBody(body), headers: { "x-long": "ä".repeat(60_000) } };
    await pass(200, index < 20 ? exchange : {});
  }
  clock.advance(100);
  expect(told).toHaveLength(2);
  for (const { tap: id, events, dropped } of told) {
    const message = { kind: "tapped", tap: id, events, dropped };
    expect(ProxyMessage.safeParse(message).success).toBe(true);
    expect(Buffer.byteLength(JSON.stringify(message))).toBeLessThan(4 * 1024 * 1024);
    expect(events.length + dropped).toBe(600);
    expect(dropped).toBeGreaterThan(0);
  }
});
