import { expect, test } from "bun:test";
import type { TapEvent } from "../../runtime/contract/tap.ts";
import { createTaps } from "../push/taps.ts";
import { tapRoutes } from "./taps.ts";

test("what waits for somebody who does not read is bounded by its size, and the rest is counted", async () => {
  const taps = createTaps(
    () => undefined,
    () => "t",
  );
  const app = tapRoutes({ taps, hasFilter: () => true });
  const looking = await app.request("/filters/default/stamp/record", { method: "POST" });
  const event: TapEvent = { kind: "log", atMs: 0, level: "info", message: "x".repeat(100_000), fields: {} };
  for (let count = 0; count < 200; count++) taps.told({ tap: "t", events: [event], dropped: 0 }, "a");
  const reader = looking.body?.getReader();
  const read = async (): Promise<string> => String((await reader?.read())?.value);
  let received = 0;
  while (received < 4_000_000) received += (await read()).length;
  taps.told({ tap: "t", events: [event], dropped: 3 }, "a");
  let frame = "";
  while (!frame.startsWith("event: dropped")) {
    frame = await read();
    received += frame.length;
  }
  expect(frame).toContain('data: {"dropped":3}');
  expect(received).toBeLessThan(4_500_000);
  await reader?.cancel();
});
