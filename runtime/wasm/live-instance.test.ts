import { expect, test } from "bun:test";
import { idleHost } from "../../test/contract/subjects.ts";
import { idleGuest, idleParts } from "../../test/harness/idle-guest.ts";
import { startClock } from "../../sdk/testing/exchange.ts";
import { failure } from "../exchange/failure.ts";
import { promiseOf } from "../exchange/pledge.ts";
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
