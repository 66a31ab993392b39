// Promises and operations as the engine has them, which resolves its own without functions: whatever a program does with them,
// the same happens in the same order as in Node, and calls are answered once.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { join } from "node:path";
import { openScript } from "../../test/harness/engine-script.ts";
import { runProgram } from "../../test/harness/program.ts";
import { KINDS, OUTCOMES, type Step } from "../../test/harness/promise-steps.ts";
import { makeTempFolder } from "../../test/harness/temp-folder.ts";

const STEPS = join(import.meta.dir, "../../test/harness/promise-steps.ts");

const program: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.tuple(fc.constantFrom(...KINDS), fc.nat({ max: 9 }), fc.nat({ max: 9 }), fc.constantFrom(...OUTCOMES)),
  { minLength: 1, maxLength: 12 },
);

/** An `async` function of a body that yields where it would await. */
const RUN_ASYNC = `async (body) => {
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
}`;

async function stepsScript(): Promise<string> {
  return new Bun.Transpiler({ loader: "ts" }).transformSync(await Bun.file(STEPS).text());
}

/** What the programs do in Node, whose promise keeps ECMA-262's order; Bun's does not where it is not awaited. */
async function runInNode(programs: readonly (readonly Step[])[]): Promise<unknown[]> {
  const main = `
    // Node 20 does not have these yet.
    Promise.withResolvers ??= () => { let parts; const promise = new Promise((resolve, reject) => (parts = { resolve, reject })); return { promise, ...parts }; };
    Promise.try ??= (run, ...values) => new Promise((resolve) => resolve(run(...values)));
    process.on("unhandledRejection", () => undefined);
    const runAsync = ${RUN_ASYNC};
    const all = [];
    for (const steps of ${JSON.stringify(programs)}) {
      const seen = [];
      runSteps({ Promise, enqueue: queueMicrotask, runAsync }, steps, seen);
      await new Promise((resolve) => setImmediate(resolve));
      all.push(seen);
    }
    process.stdout.write(JSON.stringify(all));`;
  await using folder = await makeTempFolder();
  await Bun.write(folder.file("steps.mjs"), (await stepsScript()) + main);
  const { stdout, output } = await runProgram(["node", folder.file("steps.mjs")]);
  const all: unknown = JSON.parse(stdout);
  if (!Array.isArray(all)) throw new Error(output);
  return all;
}

test("programs run as ECMA-262 has them, in its order", async () => {
  const programs = fc.sample(program, 2000);
  const before = `${(await stepsScript()).replaceAll("export ", "")}; let seen = []; const runAsync = ${RUN_ASYNC};`;
  const { begin } = await openScript(
    `(head) => {
      if (head === "") return JSON.stringify(seen);
      seen = [];
      runSteps({ Promise, enqueue: queueMicrotask, runAsync }, JSON.parse(head), seen);
      return "began";
    }`,
    before,
  );
  const own = programs.map((steps) => {
    begin(JSON.stringify(steps));
    return JSON.parse(begin("")) as unknown;
  });
  expect(own).toEqual(await runInNode(programs));
}, 30_000);

describe("what nobody waits for is told", () => {
  test.each([
    ["a rejection", "Promise.resolve().then(() => { throw new Error('lost'); })", "unhandled Error: lost"],
    ["one of many", "for (let at = 0; at < 3000; at++) Promise.reject(new Error(at))", "unhandled Error: 0"],
    ["that of an async function", "(async () => { await 1; throw new Error('late'); })()", "unhandled Error: late"],
    ["one derived", "Promise.reject(new Error('first')).then(() => 1)", "unhandled Error: first"],
    ["not one that is caught", "Promise.reject(new Error()).catch(() => 1)", "answered"],
    [
      "not one that is caught late",
      "const late = Promise.reject(new Error()); late.then(undefined, () => 1)",
      "answered",
    ],
    ["not one in a combinator", "Promise.allSettled([Promise.reject(new Error())]).then(() => 1)", "answered"],
    ["not one that is awaited", "(async () => { try { await Promise.reject(1); } catch {} })()", "answered"],
  ])("%s", async (_, script, expected) => {
    const { begin } = await openScript(`(head) => { if (head === "") { ${script}; } return "answered"; }`);
    expect(begin("")).toBe(expected);
    // Once.
    expect(begin("another")).toBe("answered");
  });

  test("in the log, where the call waits no more", async () => {
    const { begin, resume, said, started } = await openScript(
      `(head, call) => [operate(call, "sleep", "", new Uint8Array(), () => {
        Promise.reject(new Error("lost"));
        return 1;
      }), () => "rendered"]`,
    );
    expect(begin("", 4)).toBe("pending\n");
    expect(resume(9, started[0]?.[2] ?? 0, "")).toBe("pending\n");
    expect(said).toEqual(["settle 4 rendered", "log unhandled Error: lost"]);
  });
});

test("a promise that waits for itself is rejected, and a handler that is none passes on", async () => {
  const { begin } = await openScript(`() => {
    const { promise, resolve } = Promise.withResolvers();
    resolve(promise);
    return [Promise.all([promise.catch((reason) => reason.name), Promise.resolve(1).finally(5).then(6, 7)]),
      (all) => JSON.stringify(all)];
  }`);
  expect(begin("")).toBe('["TypeError",1]');
});

test("a job that throws fails its call, and does not leave the others to another one", async () => {
  const { begin } = await openScript(
    `(head) => {
      if (head === "") {
        queueMicrotask(() => { throw new Error("thrown"); });
        queueMicrotask(() => ran.push(1));
      }
      return JSON.stringify(ran);
    }`,
    "const ran = [];",
  );
  expect(begin("")).toBe("failed Error: thrown");
  expect(begin("another")).toBe("[]");
});

/** Waits for as many operations as the head says, one after the other. */
const OPERATIONS = `(head, call) => [(async () => {
  let all = "";
  for (let left = Number(head); left > 0; left--)
    all += await operate(call, "sleep", "", new Uint8Array(), (outcome) => { if (outcome === "no") throw new Error(outcome); return outcome; });
  return all;
})(), (all, about) => all + about, "!"]`;

test("calls that wait are answered where the proxy enters for them, and told of where it enters for others", async () => {
  const { begin, resume, said, started } = await openScript(OPERATIONS);
  const end = (call: number, index: number, outcome: string) => resume(call, started[index]?.[2] ?? 0, outcome);
  expect([begin("2", 1), begin("1", 2), begin("0", 3)]).toEqual(["pending\n", "pending\n", "!"]);
  expect(end(1, 0, "a")).toBe("pending\n");
  expect(end(1, 2, "b")).toBe("ab!");
  expect(said).toEqual([]);
  expect(end(1, 1, "c")).toBe("pending\n");
  expect(said).toEqual(["settle 2 c!"]);
  // Known no more.
  expect(end(2, 1, "d")).toBe("pending\n");
  expect([begin("1", 5), end(5, 3, "no")]).toEqual(["pending\n", "failed Error: no"]);
});

test("operations begin in their order: the answer starts one, and calls those that are not alone", async () => {
  const { begin, started } = await openScript(`(head, call) => {
    const [waits, ...requests] = JSON.parse(head);
    for (const request of requests) operate(call, "fetch", request, new Uint8Array(request === "body" ? 1 : 0), () => 1);
    return waits ? [new Promise(() => {}), () => ""] : "decided";
  }`);
  const own = expect.any(Number);
  const requestsOf = (): unknown => started.splice(0).map(([, request, number]) => [request, number > 2 ** 31]);
  const ask = (...head: unknown[]) => begin(JSON.stringify(head));
  expect(ask(true, "a: é\n\n")).toBe("pending\n");
  expect(started[0]).toEqual(["fetch", "a: é\n\n", own]);
  expect(requestsOf()).toEqual([["a: é\n\n", true]]);
  expect([ask(true, "a", "b"), requestsOf()]).toEqual([
    "pending\n",
    [
      ["a", false],
      ["b", false],
    ],
  ]);
  expect([ask(true, "a", "b", "c"), requestsOf()]).toEqual([
    "pending\n",
    [
      ["a", false],
      ["b", false],
      ["c", true],
    ],
  ]);
  expect([ask(true, "body", "b"), requestsOf()]).toEqual([
    "pending\n",
    [
      ["body", false],
      ["b", true],
    ],
  ]);
  // Nobody waits for it, and it is started all the same.
  expect([ask(false, "a"), requestsOf()]).toEqual(["decided", [["a", false]]]);
});

test("a call that was cancelled has no answer, and its operations are rejected", async () => {
  const { begin, resume, cancel, said, started } = await openScript(
    `(head, call) => {
      const wait = () => operate(call, "sleep", "", new Uint8Array(), () => 1);
      return [wait().catch((reason) => { host.log("info", String(reason), ""); return wait(); }), () => "rendered"];
    }`,
  );
  const end = (call: number, index: number) => resume(call, started[index]?.[2] ?? 0, "");
  expect([begin("", 1), begin("", 2)]).toEqual(["pending\n", "pending\n"]);
  cancel(1);
  expect(said).toEqual(["log Error: nobody waits"]);
  expect(end(1, 0)).toBe("pending\n");
  // What it began since ends too, without an answer.
  expect(started).toHaveLength(3);
  expect(end(1, 2)).toBe("pending\n");
  expect(end(2, 1)).toBe("rendered");
  expect(said).toHaveLength(1);
});

test("an operation that is given up is stopped, once, or not started at all", async () => {
  const { begin, said, started } = await openScript(`(head, call) => {
    const one = operate(call, "sleep", "", new Uint8Array(Number(head)), () => 1);
    giveUp(one, "enough");
    giveUp(one, "again");
    return [one.catch((reason) => reason), (reason) => reason];
  }`);
  expect([begin("1"), said.splice(0), started.splice(0)]).toEqual(["enough", ["stop 1"], [["sleep", "", 1]]]);
  expect([begin("0"), said, started]).toEqual(["enough", [], []]);
});

test("an operation that is begun once its call is over is no other call's", async () => {
  const { begin, cancel, started } = await openScript(
    "() => [new Promise(() => {}), () => '']",
    "",
    '(call) => void operate(call, "fetch", "late", new Uint8Array(), () => 1)',
  );
  begin("", 1);
  cancel(1);
  expect(started).toEqual([]);
  expect(begin("", 2)).toBe("pending\n");
  // Begun by a call, for the one that it is of, and not by the answer of the other.
  expect(started).toEqual([["fetch", "late", 1]]);
});

test("what names an operation is text: nothing of the script's runs while there is room for one", async () => {
  const { begin } = await openScript(`(depth, call) => {
    let left = Number(depth);
    const kind = { toString: () => (left-- > 0 && operate(call, kind, "", new Uint8Array(), () => 1), "sleep") };
    try { operate(call, kind, "", new Uint8Array(), () => 1); return "begun"; } catch (error) { return error.name; }
  }`);
  expect(begin("40")).toBe("TypeError");
});

test("many calls wait at once, end in any order, and leave nothing behind", async () => {
  const { begin, resume, cancel, said, started, memory } = await openScript(OPERATIONS);
  let size = 0;
  for (let round = 0; round < 20; round++) {
    const calls = Array.from({ length: 500 }, (_, index) => round * 500 + index + 1);
    for (const call of calls) expect(begin("1", call)).toBe("pending\n");
    const numbers = started.splice(0).map(([, , number]) => number);
    const order = fc.sample(fc.shuffledSubarray([...calls.keys()], { minLength: calls.length }), 1)[0] ?? [];
    for (const index of order) {
      const call = calls[index] ?? 0;
      if (index % 7 === 0) cancel(call);
      else expect(resume(call, numbers[index] ?? 0, "x")).toBe("x!");
    }
    if (round === 4) size = memory.buffer.byteLength;
  }
  expect(memory.buffer.byteLength).toBe(size);
  expect(said).toEqual([]);
});
