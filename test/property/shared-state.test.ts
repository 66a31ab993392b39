// Shared memory between processes: nothing is lost, no limit is passed, and a process that is killed anywhere stops nobody.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, openSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MappedMemory, sizeSharedFile } from "../../runtime/host/shared-memory.ts";
import { SharedState, type SharedScope } from "../../runtime/host/shared-state.ts";

const WORKER = join(import.meta.dir, "../harness/shared-worker.ts");
const PROCESSES = 4;

let fd: number;
let scope: SharedScope;
const clock = { now: () => Date.now(), monotonic: () => performance.now() };

beforeEach(() => {
  const path = join(tmpdir(), `vespid-shared-${crypto.randomUUID()}`);
  fd = openSync(path, "wx+");
  unlinkSync(path);
  sizeSharedFile(fd);
  const made = new SharedState(new MappedMemory(`/proc/self/fd/${fd}`), clock).scopeOf("filter");
  if (made === undefined) throw new Error("no scope");
  scope = made;
});

afterEach(() => closeSync(fd));

function start(kind: string, times: number) {
  return Bun.spawn([process.execPath, WORKER, "/proc/self/fd/3", kind, String(times)], {
    stdio: ["pipe", "pipe", "inherit", fd],
  });
}

/** Runs processes that begin together; what each was allowed. */
async function together(kind: string, times: number): Promise<readonly number[]> {
  const children = Array.from({ length: PROCESSES }, () => start(kind, times));
  const readers = children.map((child) => linesOf(child.stdout));
  for (const reader of readers) expect((await reader.next()).value).toBe("ready");
  for (const { stdin } of children) {
    void stdin.write("go\n");
    void stdin.end();
  }
  const counts = await Promise.all(readers.map(async (reader) => Number((await reader.next()).value)));
  await Promise.all(children.map((child) => child.exited));
  return counts;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

test("processes that count at once lose nothing", async () => {
  const counts = await together("count", 200_000);
  expect(sum(counts)).toBe(PROCESSES * 200_000);
  const total = new SharedState(new MappedMemory(`/proc/self/fd/${fd}`), { ...clock, now: () => 1_700_000_000_000 });
  const look = { key: "hot", count: 0, windowMs: 60_000, limit: 4_000_000_000 };
  expect(total.scopeOf("filter")?.counters.count(look)).toMatchObject({ value: PROCESSES * 200_000 });
}, 60_000);

test("limits of many keys that are new to all are met exactly", async () => {
  const counts = await together("limit", 100_000);
  // Fifty keys, each up to a thousand; twice that, if an hour ends in between.
  expect([50_000, 100_000]).toContain(sum(counts));
}, 60_000);

test("values that all replace lose no change", async () => {
  const counts = await together("value", 5000);
  expect(sum(counts)).toBe(PROCESSES * 5000);
  const found = scope.values.get("sum");
  expect(found === undefined || found === "busy" ? found : new TextDecoder().decode(found.value)).toBe("20000");
}, 60_000);

test("processes that are killed in the middle of it leave nothing locked", async () => {
  for (let round = 0; round < 6; round++) {
    const children = ["keys", "value"].map((kind) => start(kind, 100_000_000));
    for (const child of children) {
      await linesOf(child.stdout).next();
      void child.stdin.write("go\n");
      void child.stdin.end();
    }
    const before = scope.values.get("sum");
    const version = before === undefined || before === "busy" ? 0 : before.version;
    // Until the one that replaces has done so some hundred times.
    for (;;) {
      const now = scope.values.get("sum");
      if (now !== undefined && now !== "busy" && now.version > version + 100) break;
      await Bun.sleep(1);
    }
    for (const child of children) child.kill("SIGKILL");
    await Promise.all(children.map((child) => child.exited));
    for (let key = 0; key < 20_000; key++) {
      expect(scope.counters.count({ key: `key ${key}`, count: 1, windowMs: 50, limit: 1000 })).not.toBe("busy");
    }
    expect(scope.values.get("sum")).not.toBe("busy");
  }
}, 60_000);
