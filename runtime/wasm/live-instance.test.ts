import { expect, test } from "bun:test";
import { idleHost } from "../../test/contract/subjects.ts";
import { startClock } from "../../sdk/testing/exchange.ts";
import { NO_METER } from "../chain/meter.ts";
import { FilterLimits } from "../contract/filter.ts";
import { failure } from "../exchange/failure.ts";
import { createHostFunctions } from "../host/host-functions.ts";
import type { GuestInstance } from "./engine.ts";
import { FuelGovernor } from "./fuel-governor.ts";
import { LiveInstance } from "./live-instance.ts";

const MEGABYTE = new Uint8Array(1024 * 1024);
const PENDING = { ok: true, value: "pending\n" } as const;

/** A guest whose calls emit a megabyte each and wait. */
function start() {
  const clock = startClock();
  const limits = FilterLimits.parse({});
  const live = new LiveInstance({
    limits,
    operations: { start: () => ({ ok: false, error: "is not offered" }) },
    functions: createHostFunctions({ shared: () => undefined }),
    meter: NO_METER,
    schedule: clock.schedule,
    governor: new FuelGovernor(limits.fuel, clock),
    onFault: () => undefined,
    onIdle: () => undefined,
  });
  const host = idleHost({ clock, log: () => undefined, ...live.host });
  const guest: GuestInstance = {
    configure: () => ({ ok: true, value: { problems: undefined } }),
    begin: (call) => {
      host.emit(call, "upstream", MEGABYTE);
      return PENDING;
    },
    resume: () => PENDING,
    chunk: () => PENDING,
    cancel: () => ({ ok: true, value: undefined }),
    fuelMax: limits.fuel,
    fuelUsed: 1,
    memoryBytes: 0,
    isMemoryFull: false,
    keep: () => false,
    reset: () => false,
    resetsAfterFaults: false,
    stop: () => undefined,
  };
  live.attach(guest);
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
  expect(await over.done).toMatchObject({
    kind: "answered",
    answer: { kind: "failed", message: expect.stringContaining("limit") },
  });
  expect(await held[0]?.done).toMatchObject({ kind: "answered", answer: { kind: "proceed", hasBody: true } });
  for (const call of [66, 67, 68]) host.settle(call, "proceed\nbody emitted\n");
  begin();
  expect(await Promise.all(after.map(({ done }) => done))).toMatchObject([
    { answer: { kind: "proceed", hasBody: true } },
    { answer: { kind: "proceed", hasBody: true } },
    { answer: { kind: "failed" } },
  ]);
});
