// What a newcomer runs first: `npm run demo`. It does all that it promises, and leaves nothing behind.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startProgram } from "../harness/program.ts";
import { ROOT } from "../harness/proxy.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(120_000);

const DEMO = [process.execPath, join(ROOT, "test/demo/main.ts")];

test("demo --once takes less than a minute, loses no request and shows what the filter changed", async () => {
  const startedAtMs = performance.now();
  await using demo = startProgram([...DEMO, "--once"]);
  expect({ status: await demo.exited, output: demo.output() }).toMatchObject({
    status: 0,
    output: expect.stringMatching(/first reply that it changed: {2}x-book-club: welcome to the book club, \w+/u),
  });
  expect(performance.now() - startedAtMs).toBeLessThan(60_000);
  const lines = demo.stdout().trimEnd().split("\n");
  expect(Number(lines.find((line) => line.startsWith("requests "))?.split(" ")[1])).toBeGreaterThan(1000);
  expect(lines).toContain("failed 0");
  expect(lines).toContainEqual(expect.stringMatching(/^filter live in \d+ ms$/u));
});

test("Ctrl-C ends the demo and all that it started", async () => {
  await using demo = startProgram(DEMO);
  await demo.printed(/canary/u, 60_000);
  const children = descendantsOf(demo.pid);
  expect(children.length).toBeGreaterThanOrEqual(13);
  demo.signal("SIGINT");
  expect(await demo.exited).toBe(0);
  expect(children.filter(isAlive)).toEqual([]);
});

test("a demo that is killed takes its children with it", async () => {
  await using demo = startProgram(DEMO);
  await demo.printed(/canary/u, 60_000);
  const children = descendantsOf(demo.pid);
  expect(children.length).toBeGreaterThanOrEqual(13);
  demo.signal("SIGKILL");
  await demo.exited;
  await until("every child to end", () => (children.some(isAlive) ? undefined : true));
});

function descendantsOf(pid: number): readonly number[] {
  const found: number[] = [];
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, "latin1")
      .split(" ")
      .filter(Boolean)
      .map(Number);
    for (const child of children) found.push(child, ...descendantsOf(child));
  }
  return found;
}

/** Whether a process still runs: one that ended and was not waited for does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/mu.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    // No such process.
    return false;
  }
}
