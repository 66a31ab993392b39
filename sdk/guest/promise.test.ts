// The guest's promise against Node's: whatever a program does with it, the same happens in the same order.
import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { join } from "node:path";
import { KINDS, OUTCOMES, runSteps, type PromiseKind, type Step } from "../../test/harness/promise-steps.ts";
import { runProgram } from "../../test/harness/program.ts";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";
import { addJob, drainJobs, GuestPromise, takeUnhandled } from "./promise.ts";

const GUEST: PromiseKind = {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- What esbuild's lowered code uses of it is there.
  Promise: GuestPromise as unknown as typeof Promise,
  enqueue: addJob,
  runAsync: (body) => GuestPromise.lowered(undefined, null, body),
};

beforeEach(() => {
  drainJobs();
  takeUnhandled();
});

const program: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.tuple(fc.constantFrom(...KINDS), fc.nat({ max: 9 }), fc.nat({ max: 9 }), fc.constantFrom(...OUTCOMES)),
  { minLength: 1, maxLength: 12 },
);

/** What the same programs do in Node: its promise keeps ECMA-262's order, which Bun's does not where it is not awaited. */
async function runInNode(programs: readonly (readonly Step[])[]): Promise<readonly string[][]> {
  const source = await Bun.file(join(import.meta.dir, "../../test/harness/promise-steps.ts")).text();
  const script = new Bun.Transpiler({ loader: "ts" }).transformSync(source);
  const main = `
    // Node 20 does not have these yet.
    Promise.withResolvers ??= () => { let parts; const promise = new Promise((resolve, reject) => (parts = { resolve, reject })); return { promise, ...parts }; };
    Promise.try ??= (run, ...values) => new Promise((resolve) => resolve(run(...values)));
    process.on("unhandledRejection", () => undefined);
    const runAsync = async (body) => {
      const run = body();
      let step = run.next();
      while (!step.done) {
        let value;
        try {
          value = await step.value;
        } catch (error) {
          step = run.throw(error);
          continue;
        }
        step = run.next(value);
      }
      return step.value;
    };
    const all = [];
    for (const steps of ${JSON.stringify(programs)}) {
      const seen = [];
      runSteps({ Promise, enqueue: queueMicrotask, runAsync }, steps, seen);
      await new Promise((resolve) => setImmediate(resolve));
      all.push(seen);
    }
    process.stdout.write(JSON.stringify(all));`;
  await using folder = await makeTempFolder();
  await Bun.write(folder.file("steps.mjs"), script + main);
  const { stdout, output } = await runProgram(["node", folder.file("steps.mjs")]);
  const all: unknown = JSON.parse(stdout === "" ? JSON.stringify(output) : stdout);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Compared as it is.
  return all as readonly string[][];
}

test("programs run as ECMA-262 has them, in its order", async () => {
  const programs = fc.sample(program, 2000);
  const own = programs.map((steps) => {
    const seen: string[] = [];
    runSteps(GUEST, steps, seen);
    drainJobs();
    return seen;
  });
  expect(own).toEqual([...(await runInNode(programs))]);
}, 30_000);

describe("what nobody waits for is told", () => {
  test("a rejection that has no handler when the jobs are done, once", () => {
    const reason = new Error("lost");
    void GuestPromise.resolve().then(() => {
      throw reason;
    });
    drainJobs();
    expect(takeUnhandled()?.reason).toBe(reason);
    expect(takeUnhandled()).toBeUndefined();
  });

  test("not one that a handler, a later handler or a combinator took", () => {
    const late = GuestPromise.reject(new Error("late"));
    GuestPromise.reject(new Error("caught")).catch(() => undefined);
    GuestPromise.allSettled([GuestPromise.reject(new Error("settled"))]).then(() => undefined);
    late.then(undefined, () => undefined);
    drainJobs();
    expect(takeUnhandled()).toBeUndefined();
  });

  test("the promise that was derived, where only that has no handler", () => {
    void GuestPromise.reject(new Error("first")).then(() => undefined);
    drainJobs();
    expect(takeUnhandled()?.reason).toEqual(new Error("first"));
  });
});

test("a promise that waits for itself is rejected, and a handler that is none passes on", () => {
  const { promise, resolve } = GuestPromise.withResolvers<unknown>();
  resolve(promise);
  const seen: unknown[] = [];
  promise.catch((reason: unknown) => seen.push(String(reason)));
  GuestPromise.resolve(1)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- As a filter in JavaScript may.
    .finally(5 as unknown as () => void)
    .then((value) => seen.push(value));
  drainJobs();
  expect(seen).toEqual(expect.arrayContaining(["TypeError: a promise that waits for itself", 1]));
});

test("a job that throws does not leave the others to another call", () => {
  addJob(() => {
    throw new Error("thrown");
  });
  const seen: string[] = [];
  addJob(() => seen.push("of that call"));
  expect(drainJobs).toThrow("thrown");
  drainJobs();
  expect(seen).toEqual([]);
});
