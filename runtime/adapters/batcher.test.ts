import { expect, test } from "bun:test";
import fc from "fast-check";
import { startClock } from "../../sdk/testing/exchange.ts";
import { ReportBatch } from "../contract/adapter.ts";
import { Batcher, SENT, type Sent } from "./batcher.ts";

/** A batcher of numbers whose sends a test answers by hand. */
function startBatcher(policy: Partial<ReportBatch>) {
  const clock = startClock();
  const sends: { readonly entries: readonly number[]; readonly answer: (sent: Sent) => void }[] = [];
  const told: string[] = [];
  let length = 0;
  const batcher = new Batcher<number>({
    adapter: "a",
    policy: { ...ReportBatch.parse({}), ...policy },
    sizeOf: () => 10,
    send: (entries) => new Promise((answer) => sends.push({ entries: [...entries], answer })),
    schedule: clock.schedule,
    observer: {
      asked: () => undefined,
      fuelUsed: () => undefined,
      queueChanged: (_, now) => {
        length = now;
      },
      sent: (_, count) => told.push(`sent ${count}`),
      dropped: (_, count, why) => told.push(`dropped ${count} ${why}`),
      sendFailed: (_, reason) => told.push(`failed ${reason}`),
    },
  });
  const answer = async (sent: Sent): Promise<void> => {
    sends.at(-1)?.answer(sent);
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  return { clock, sends, told, batcher, answer, length: () => length };
}

const RETRY: Sent = { kind: "retry", message: "away" };

test("a batch goes out when it is whole, or when its first entry has waited", async () => {
  const { batcher, sends, clock, answer } = startBatcher({ entriesMax: 2, ageMs: 1000 });
  batcher.add(1);
  expect(sends).toHaveLength(0);
  batcher.add(2);
  batcher.add(3);
  expect(sends.map(({ entries }) => entries)).toEqual([[1, 2]]);
  await answer(SENT);
  clock.advance(999);
  expect(sends).toHaveLength(1);
  clock.advance(1);
  expect(sends.at(-1)?.entries).toEqual([3]);
});

test("a batch that is not taken is tried again, ever later, and what comes meanwhile waits behind it", async () => {
  const { batcher, sends, clock, answer, told } = startBatcher({ entriesMax: 1 });
  batcher.add(1);
  await answer(RETRY);
  batcher.add(2);
  clock.advance(249);
  expect(sends).toHaveLength(1);
  clock.advance(1);
  expect(sends.map(({ entries }) => entries)).toEqual([[1], [1]]);
  await answer(RETRY);
  clock.advance(499);
  expect(sends).toHaveLength(2);
  clock.advance(1);
  await answer(SENT);
  expect(sends.map(({ entries }) => entries)).toEqual([[1], [1], [1], [2]]);
  expect(told).toEqual(["failed away", "failed away", "sent 1"]);
});

test("what the queue cannot hold is dropped and counted, by number and by bytes", () => {
  const byCount = startBatcher({ queueMax: 3 });
  for (let entry = 0; entry < 5; entry++) byCount.batcher.add(entry);
  expect([byCount.length(), byCount.told]).toEqual([3, ["dropped 1 full", "dropped 1 full"]]);
  const byBytes = startBatcher({ queueMaxBytes: 29 });
  for (let entry = 0; entry < 3; entry++) byBytes.batcher.add(entry);
  expect([byBytes.length(), byBytes.told]).toEqual([2, ["dropped 1 full"]]);
});

test("a flush sends everything, and drops what is not taken then; after a stop nothing is kept", async () => {
  const { batcher, sends, answer, told, length, clock } = startBatcher({ entriesMax: 2, ageMs: 1000 });
  for (let entry = 0; entry < 5; entry++) batcher.add(entry);
  const stopped = batcher.stop();
  await answer(SENT);
  await answer(RETRY);
  await stopped;
  batcher.add(9);
  expect(sends.map(({ entries }) => entries)).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(told).toEqual(["sent 2", "failed away", "dropped 3 stopped", "dropped 1 stopped"]);
  expect([length(), clock.scheduled]).toEqual([0, 0]);
});

test("whatever happens, each entry is sent once in its order, or is counted as dropped", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant("add" as const) },
    fc.constantFrom("sent" as const, "retry" as const, "refused" as const),
    fc.nat(2000),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { batcher, sends, clock, answer, told } = startBatcher({ entriesMax: 3, queueMax: 8, ageMs: 100 });
      const taken: number[] = [];
      let added = 0;
      let answered = 0;
      const settle = async (kind: Sent["kind"]): Promise<void> => {
        if (answered === sends.length) return;
        answered = sends.length;
        if (kind === "sent") taken.push(...(sends.at(-1)?.entries ?? []));
        await answer(kind === "sent" ? SENT : { kind, message: "" });
      };
      for (const now of steps) {
        if (now === "add") batcher.add(added++);
        else if (typeof now === "number") clock.advance(now);
        else await settle(now);
      }
      const stopped = batcher.stop();
      for (let turn = 0; turn < 20; turn++) {
        await settle("sent");
        await Promise.resolve();
      }
      await stopped;
      const dropped = told.reduce((sum, line) => sum + Number(/^dropped (\d+)/u.exec(line)?.[1] ?? 0), 0);
      expect(taken).toEqual(taken.toSorted((a, b) => a - b));
      expect(new Set(taken).size).toBe(taken.length);
      expect(taken.length + dropped).toBe(added);
    }),
    { numRuns: 300 },
  );
});
