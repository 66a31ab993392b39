// A process that counts in shared memory as fast as it can, for test/property/shared-state.test.ts. Arguments: the file, what to
// do, how often. Prints what it was allowed to count.
import { thisProcess } from "../../runtime/host/shared-lock.ts";
import { MappedMemory } from "../../runtime/host/shared-memory.ts";
import { SharedState } from "../../runtime/host/shared-state.ts";

const [, , path = "", kind = "", times = "0"] = process.argv;
const clock = { now: () => (kind === "count" ? 1_700_000_000_000 : Date.now()), monotonic: () => performance.now() };
const scope = new SharedState(new MappedMemory(path), clock, thisProcess()).scopeOf("filter");
if (scope === undefined) throw new Error("no scope");
const { counters, values } = scope;

let allowed = 0;
process.stdout.write("ready\n");
for await (const _ of console) break;

for (let turn = 0; turn < Number(times); turn++) {
  if (kind === "count") {
    const counted = counters.count({ key: "hot", count: 1, windowMs: 60_000, limit: 4_000_000_000 });
    if (counted !== "busy" && counted.isAllowed) allowed++;
  } else if (kind === "limit") {
    const counted = counters.count({ key: `limited ${turn % 50}`, count: 1, windowMs: 3_600_000, limit: 1000 });
    if (counted !== "busy" && counted.isAllowed) allowed++;
  } else if (kind === "keys") {
    counters.count({ key: `key ${turn}`, count: 1, windowMs: 50, limit: 10 });
  } else {
    // Adds one to a number by reading and replacing it, until nobody was faster.
    for (;;) {
      const before = values.get("sum");
      if (before === "busy") continue;
      const sum = before === undefined ? 0 : Number(new TextDecoder().decode(before.value));
      const value = new TextEncoder().encode(String(sum + 1));
      if (typeof values.replace({ key: "sum", value, version: before?.version ?? 0, ttlMs: 60_000 }) === "number")
        break;
    }
    allowed++;
  }
}
process.stdout.write(`${allowed}\n`);
