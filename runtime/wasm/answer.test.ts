import { expect, test } from "bun:test";
import { NO_METER } from "../chain/meter.ts";
import { parseAnswer } from "./answer.ts";

test("an answer may have a thousand lines, or 64 KiB of them, and a body", () => {
  expect(parseAnswer(`proceed\n${"set a: b\n".repeat(1000)}`, NO_METER)).toMatchObject({ kind: "proceed" });
  expect(parseAnswer(`reply 200\nadd a: b\n\n${"x\n".repeat(100_000)}`, NO_METER)).toMatchObject({ kind: "reply" });
  const startedMs = performance.now();
  for (const lines of [
    "set a: b\n".repeat(1001),
    "read first\n".repeat(95_000),
    `set a: ${"b".repeat(65_536)}\nset a: b\n`,
  ])
    expect(parseAnswer(`pass\n${lines}`, NO_METER)).toMatchObject({ kind: "failed" });
  expect(performance.now() - startedMs).toBeLessThan(500);
});

test("labels that are no texts are none, however deep they are nested", () => {
  const recorded: unknown[] = [];
  const meter = { record: (...measured: unknown[]) => void recorded.push(measured) };
  const nested = `${"[".repeat(5000)}${"]".repeat(5000)}`;
  expect(parseAnswer(`metric ["m",1,${nested},2,"x"]\nproceed\n`, meter)).toMatchObject({ kind: "proceed" });
  expect(recorded).toEqual([["m", 1, ["", "2", "x"]]]);
});

test("of adapters, how often an answer holds and what is granted are whole numbers", () => {
  expect(parseAnswer("proceed\ngranted 3\ncache 10\nuses 2\n", NO_METER)).toMatchObject({
    kind: "proceed",
    granted: 3,
    cacheMs: 10,
    uses: 2,
  });
  expect(parseAnswer("reply 429\nadd a: b\nuses 2\n\ngranted 3\n", NO_METER)).toMatchObject({
    kind: "reply",
    uses: 2,
    granted: undefined,
    body: "granted 3\n",
  });
  for (const option of [
    "granted -1",
    "granted 0.5",
    "granted 12345678901234567",
    "uses 1e3",
    "uses ",
    "uses 1234567890",
  ])
    expect(parseAnswer(`proceed\n${option}\n`, NO_METER), option).toMatchObject({ kind: "failed" });
});

test("an answer that waits may start an operation by a number of the guest's own", () => {
  expect(parseAnswer("pending 4294967295 fetch\nauthz GET /\n\n", NO_METER)).toEqual({
    kind: "pending",
    starts: { operation: 4_294_967_295, kind: "fetch", request: "authz GET /\n\n" },
  });
  for (const line of [
    "pending ",
    "pending fetch",
    "pending 2147483648",
    "pending 2147483648\nsleep 5",
    "pending 2147483647 sleep\n5",
    "pending 4294967296 sleep\n5",
    "pending 2147483648.5 sleep\n5",
    "pending  sleep\n5",
  ])
    expect(parseAnswer(line, NO_METER), line).toMatchObject({ kind: "failed" });
});
