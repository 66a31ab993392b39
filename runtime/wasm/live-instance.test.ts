import { expect, test } from "bun:test";
import { idleHost } from "../../test/contract/subjects.ts";
import { idleGuest, idleParts } from "../../test/harness/idle-guest.ts";
import { startClock } from "../../sdk/testing/exchange.ts";
import { failure } from "../exchange/failure.ts";
import { promiseOf } from "../exchange/pledge.ts";
import { HOST_CALL_FUEL } from "./bounded-host.ts";
import { LiveInstance } from "./live-instance.ts";

const MEGABYTE = new Uint8Array(1024 * 1024);
const PENDING = { ok: true, value: "pending\n" } as const;

/** A guest whose calls emit a megabyte each and wait. */
function start() {
  const clock = startClock();
  const live = new LiveInstance(idleParts(clock));
  const host = idleHost({ clock, log: () => undefined, ...live.host });
  live.attach(
    idleGuest({
      begin: (call) => {
        host.emit(call, "upstream", MEGABYTE);
        return PENDING;
      },
    }),
  );
  const begin = () => {
    const begun = live.begin("request", "", undefined);
    if ("kind" in begun) throw new Error("expected a call that waits");
    return begun;
  };
  return { host, begin };
}

test("what calls that wait emitted is bounded together, and given back as they end", async () => {
  const { host, begin } = start();
  const held = Array.from({ length: 64 }, begin);
  const over = begin();
  // The guest's numbers of calls begin at one.
  host.settle(65, "proceed\nbody emitted\n");
  host.settle(1, "proceed\nbody emitted\n");
  held[1]?.cancel(failure("downstream_closed", "left"));
  // What was settled counts once the guest has returned.
  const after = [begin(), begin(), begin()];
  expect(await promiseOf(over)).toMatchObject({
    kind: "answered",
    answer: { kind: "failed", message: expect.stringContaining("limit") },
  });
  const [first = over] = held;
  expect(await promiseOf(first)).toMatchObject({ kind: "answered", answer: { kind: "proceed", hasBody: true } });
  for (const call of [66, 67, 68]) host.settle(call, "proceed\nbody emitted\n");
  begin();
  expect(await Promise.all(after.map((call) => promiseOf(call)))).toMatchObject([
    { answer: { kind: "proceed", hasBody: true } },
    { answer: { kind: "proceed", hasBody: true } },
    { answer: { kind: "failed" } },
  ]);
});

/** A guest that answers a head with the head, and outcomes with the outcome. */
function startEcho() {
  const clock = startClock();
  const started: (readonly [kind: string, request: string, end: (outcome: string) => void])[] = [];
  const faults: LiveInstance[] = [];
  const resumed: number[] = [];
  const live = new LiveInstance(
    idleParts(clock, {
      onFault: (faulted) => void faults.push(faulted),
      operations: {
        start: (kind, request, _payload, owner) => {
          if (kind === "none") return { ok: false, error: "is not offered" };
          started.push([kind, request, (outcome) => owner.ended(outcome, new Uint8Array())]);
          return { ok: true, value: { stop: () => undefined } };
        },
      },
    }),
  );
  live.attach(
    idleGuest({
      begin: (_call, _phase, head) => ({ ok: true, value: head }),
      resume: (_call, operation, outcome) => {
        resumed.push(operation);
        return { ok: true, value: outcome };
      },
    }),
  );
  return { started, faults, resumed, begin: (answer: string) => live.begin("request", answer, undefined) };
}

test("an answer starts an operation, which costs what a call for it costs, and so does the next one", async () => {
  const { started, resumed, begin } = startEcho();
  const call = begin("pending 2147483648 fetch\nauthz GET /\n\n");
  if ("kind" in call) throw new Error("expected a call that waits");
  expect(started.map(([kind, request]) => [kind, request])).toEqual([["fetch", "authz GET /\n\n"]]);
  started[0]?.[2]("pending 2147483649 sleep\n5");
  expect(started[1]?.slice(0, 2)).toEqual(["sleep", "5"]);
  started[1]?.[2]("proceed\n");
  expect(await promiseOf(call)).toMatchObject({ kind: "answered", fuel: 3 + 2 * HOST_CALL_FUEL });
  expect(resumed).toEqual([2_147_483_648, 2_147_483_649]);
});

test.each([
  ["that is not offered", "pending 2147483649 none\n5"],
  ["whose number is taken", "pending 2147483648 sleep\n5"],
])("a guest that answers with an operation %s is given up", async (_, answer) => {
  const { started, faults, begin } = startEcho();
  const waiting = begin("pending 2147483648 sleep\n5");
  expect(begin(answer)).toMatchObject({ kind: "faulted", isOwn: true, message: expect.stringContaining("trapped: ") });
  expect(faults).toHaveLength(1);
  if ("kind" in waiting) throw new Error("expected a call that waits");
  expect(await promiseOf(waiting)).toMatchObject({ kind: "faulted", isOwn: false });
  // It began before, and ends for nobody.
  started[0]?.[2]("proceed\n");
});

test("a guest that goes on with an operation that is not offered ends its own call", async () => {
  const { started, faults, begin } = startEcho();
  const call = begin("pending 2147483648 sleep\n5");
  if ("kind" in call) throw new Error("expected a call that waits");
  started[0]?.[2]("pending 2147483649 none\n5");
  expect(await promiseOf(call)).toMatchObject({ kind: "faulted", isOwn: true });
  expect(faults).toHaveLength(1);
});
