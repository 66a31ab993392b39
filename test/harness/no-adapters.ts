// What a generation is given in tests of snapshots without adapters.
import { Adapters } from "../../runtime/adapters/adapters.ts";
import type { AdapterObserver } from "../../runtime/exchange/adapter-observer.ts";
import type { Clock } from "../../runtime/exchange/exchange.ts";

/** Hears nothing. */
export const DEAF: AdapterObserver = {
  asked: () => undefined,
  fuelUsed: () => undefined,
  queueChanged: () => undefined,
  sent: () => undefined,
  dropped: () => undefined,
  sendFailed: () => undefined,
};

/** Of the service `test`. */
export function noAdapters(clock: Clock) {
  const own = { service: "test", namespace: "default", labels: {} };
  const adapters = new Adapters({
    clock,
    schedule: () => () => undefined,
    callout: () => Promise.resolve({ ok: false, error: { kind: "failed", message: "nobody is called in this test" } }),
    observer: DEAF,
    buildCalls: () =>
      Promise.resolve({ ok: false, problems: [{ path: "", message: "nothing is built in this test" }] }),
    own,
  });
  return { adapters, own };
}
