import { expect, test } from "bun:test";
import { startClock } from "../../sdk/testing/exchange.ts";
import { idleGuest, idleParts } from "../../test/harness/idle-guest.ts";
import { FreshInstances } from "./instance.ts";
import { LiveInstance } from "./live-instance.ts";

/** Instances of a guest that answers at once, and can be put back while `canReset`. */
function start() {
  const clock = startClock();
  const counts = { made: 0, kept: 0, stopped: 0 };
  const guest = { canReset: true };
  const instances: FreshInstances = new FreshInstances(() => {
    counts.made++;
    const live: LiveInstance = new LiveInstance(
      idleParts(clock, {
        onFault: (instance) => instances.drop(instance),
        onIdle: (instance) => instances.idle(instance),
      }),
    );
    live.attach(
      idleGuest({
        keep: () => ++counts.kept > 0,
        reset: () => guest.canReset,
        stop: () => void counts.stopped++,
      }),
    );
    return { ok: true, value: live };
  }, clock);
  const acquire = (): LiveInstance => {
    const acquired = instances.acquire();
    if (acquired instanceof Promise || !acquired.ok) throw new Error("expected an instance");
    return acquired.value;
  };
  /** One exchange after the other. */
  const serve = async (exchanges: number): Promise<void> => {
    for (let exchange = 0; exchange < exchanges; exchange++) {
      acquire().begin("request", "", undefined);
      await Promise.resolve();
    }
  };
  return { instances, counts, guest, acquire, serve };
}

test("one instance serves a thousand exchanges and ends", async () => {
  const { counts, serve } = start();
  await serve(1000);
  expect(counts).toEqual({ made: 1, kept: 1, stopped: 0 });
  await serve(1);
  expect(counts.made).toBe(1);
  await serve(1);
  expect(counts).toEqual({ made: 2, kept: 2, stopped: 1 });
});

test("eight of those that serve at once are put back, the others end with their exchanges", async () => {
  const { counts, acquire } = start();
  for (let turn = 0; turn < 3; turn++) {
    const held = Array.from({ length: 20 }, acquire);
    for (const instance of held) instance.begin("request", "", undefined);
    await Promise.resolve();
  }
  expect(counts).toEqual({ made: 20 + 2 * 12, kept: 8, stopped: 12 * 3 });
});

test("where none can be put back few are kept, and all again once one could", async () => {
  const { counts, guest, serve } = start();
  guest.canReset = false;
  await serve(8 + 160);
  expect(counts).toEqual({ made: 168, kept: 8 + 10, stopped: 168 });
  guest.canReset = true;
  await serve(100);
  expect(counts.made - 168).toBeLessThanOrEqual(16);
});

test("what waits ends with the use", async () => {
  const { instances, counts, serve } = start();
  await serve(3);
  instances.stop();
  expect(counts).toEqual({ made: 1, kept: 1, stopped: 1 });
  expect(instances.acquire()).toEqual({ ok: false, error: "was stopped" });
});
