// Who looks at what, and when that ends.
import { expect, test } from "bun:test";
import { TAPS_MAX, type Tap, type TapEvent } from "../../runtime/contract/tap.ts";
import { createTaps, type Looker } from "./taps.ts";

const event: TapEvent = { kind: "log", atMs: 1, level: "info", message: "hi", fields: {} };

function startTaps() {
  const told: (readonly Tap[])[] = [];
  let last = 0;
  const taps = createTaps(
    (wanted) => told.push(wanted),
    () => `${++last}`,
  );
  return { taps, told };
}

function looker(room = Infinity): Looker & { readonly events: TapEvent[]; lost: number } {
  const events: TapEvent[] = [];
  return {
    events,
    lost: 0,
    seen: (one) => events.length < room && events.push(one) > 0,
    dropped(count) {
      this.lost += count;
    },
  };
}

test("proxies are told of each look, and of its end, once", () => {
  const { taps, told } = startTaps();
  const close = taps.open({ filter: "default/a", kind: "tail" }, looker());
  expect(told.at(-1)).toMatchObject([{ id: "1", filter: "default/a", kind: "tail", sample: 1, level: "debug" }]);
  close?.();
  close?.();
  expect(told).toHaveLength(2);
  expect(told.at(-1)).toEqual([]);
});

test("what proxies see comes to who looks, and what has no room is counted with what they dropped", () => {
  const { taps } = startTaps();
  const first = looker();
  const second = looker(1);
  taps.open({ filter: "default/a", kind: "tail" }, first);
  taps.open({ filter: "default/a", kind: "record" }, second);
  taps.told({ tap: "1", events: [event], dropped: 0 }, "app~1");
  taps.told({ tap: "2", events: [event, event, event], dropped: 4 }, "app~1");
  taps.told({ tap: "9", events: [event], dropped: 0 }, "app~1");
  expect([first.events.length, first.lost]).toEqual([1, 0]);
  expect([second.events.length, second.lost]).toEqual([1, 6]);
});

test("so many look at once, and no more", () => {
  const { taps } = startTaps();
  const closes = Array.from({ length: TAPS_MAX }, () => taps.open({ filter: "default/a", kind: "tail" }, looker()));
  expect(closes.every((close) => close !== undefined)).toBe(true);
  expect(taps.open({ filter: "default/a", kind: "tail" }, looker())).toBeUndefined();
  closes[0]?.();
  expect(taps.open({ filter: "default/a", kind: "tail" }, looker())).toBeDefined();
});
