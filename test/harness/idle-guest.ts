// A guest that is none: what a test of whoever calls guests does not look at, and what it does in its place.
import { FilterLimits } from "../../runtime/contract/filter.ts";
import type { InstanceParts } from "../../runtime/wasm/live-instance.ts";
import type { GuestInstance } from "../../runtime/wasm/engine.ts";
import { FuelGovernor } from "../../runtime/wasm/fuel-governor.ts";
import { createHostFunctions } from "../../runtime/host/host-functions.ts";
import { NO_METER } from "../../runtime/chain/meter.ts";
import type { TestClock } from "../../sdk/testing/exchange.ts";

const PROCEED = { ok: true, value: "proceed\n" } as const;

/** Answers `proceed`, and cannot be put back. */
export function idleGuest(given: Partial<GuestInstance> = {}): GuestInstance {
  return {
    configure: () => ({ ok: true, value: { problems: undefined } }),
    begin: () => PROCEED,
    resume: () => PROCEED,
    chunk: () => PROCEED,
    cancel: () => ({ ok: true, value: undefined }),
    fuelMax: 1_000_000,
    fuelUsed: 1,
    memoryBytes: 0,
    isMemoryFull: false,
    keep: () => false,
    reset: () => false,
    resetsAfterFaults: false,
    stop: () => undefined,
    ...given,
  };
}

/** What an instance works with that reaches nobody. */
export function idleParts(clock: TestClock, given: Partial<InstanceParts> = {}): InstanceParts {
  const limits = FilterLimits.parse({});
  return {
    limits,
    operations: { start: () => ({ ok: false, error: "is not offered" }) },
    functions: createHostFunctions({ shared: () => undefined }),
    meter: NO_METER,
    schedule: clock.schedule,
    governor: new FuelGovernor(limits.fuel, clock),
    onFault: () => undefined,
    onIdle: () => undefined,
    ...given,
  };
}
