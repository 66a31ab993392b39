// Quotas that proxies share in a real Redis.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { startAdapted, type AdaptedProxy } from "../harness/adapters.ts";
import { ready, type Peer } from "../harness/peers.ts";
import { freePort } from "../harness/ports.ts";
import { runProgram, startProgram } from "../harness/program.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

let folder: TempFolder;
let redis: Peer;
const port = freePort();
const url = `redis://127.0.0.1:${port}`;

beforeAll(async () => {
  folder = await makeTempFolder();
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function startRedis(): Promise<Peer> {
  const command = ["redis-server", "--bind", "127.0.0.1", "--port", String(port), "--save", "", "--appendonly", "no"];
  return ready("Redis", port, startProgram(command));
}

interface QuotaCase {
  readonly prefix: string;
  readonly quota: Record<string, unknown>;
  readonly action?: Record<string, unknown>;
  readonly failurePolicy?: "closed";
  readonly timeoutMs?: string;
}

function start({ prefix, quota, action, failurePolicy, timeoutMs = "2s" }: QuotaCase): Promise<AdaptedProxy> {
  const backend = {
    kind: "redis_quota" as const,
    url,
    prefix,
    timeoutMs,
    quotas: { calls: { maxAmount: 5, ...quota } },
  };
  return startAdapted({
    folder,
    adapters: [{ name: "redis", backend, ...(failurePolicy === undefined ? {} : { failurePolicy }) }],
    rules: [
      {
        name: "calls",
        actions: [{ adapter: "redis", name: "calls", attributes: { user: `request.headers["x-user"]` }, ...action }],
      },
    ],
  });
}

async function statuses(sidecar: AdaptedProxy, count: number, user = "ada"): Promise<readonly number[]> {
  const replies = await Promise.all(Array.from({ length: count }, () => sidecar.get("/", { "x-user": user })));
  return replies.map(({ status }) => status).toSorted((a, b) => a - b);
}

test("two proxies share a quota, each dimension has its own, and an override goes before", async () => {
  const quota = { validForMs: "1h", overrides: [{ dimensions: { user: "eve" }, maxAmount: 1 }] };
  await using one = await start({ prefix: "shared", quota });
  await using two = await start({ prefix: "shared", quota });
  const [first, second] = await Promise.all([statuses(one, 6), statuses(two, 6)]);
  const all = [...first, ...second];
  expect(all.filter((status) => status === 200)).toHaveLength(5);
  expect(all.filter((status) => status === 429)).toHaveLength(7);
  expect(await statuses(two, 2, "eve")).toEqual([200, 429]);
  const refused = await two.get("/", { "x-user": "ada" });
  expect(Number(refused.headers.get("retry-after"))).toBeWithin(3000, 4000);
  expect(one.seen.length + two.seen.length).toBe(6);
});

test("a window ends, and what was used in it is there again", async () => {
  for (const algorithm of ["fixed_window", "rolling_window"] as const) {
    await using sidecar = await start({ prefix: algorithm, quota: { validForMs: "300ms", algorithm } });
    await until("the quota to be used up", async () => ((await sidecar.get("/")).status === 429 ? true : undefined));
    await until("more to be there", async () => ((await sidecar.get("/")).status === 200 ? true : undefined));
  }
});

test("an amount is charged whole or not at all, and at best effort as far as it is there", async () => {
  const quota = { validForMs: "1h" };
  await using whole = await start({ prefix: "whole", quota, action: { value: 3 } });
  expect(await statuses(whole, 3)).toEqual([200, 429, 429]);
  await using effort = await start({ prefix: "effort", quota, action: { value: 3, bestEffort: true } });
  expect(await statuses(effort, 3)).toEqual([200, 200, 429]);
});

test("without Redis, quotas are open unless they are said to be closed, and count again when it is back", async () => {
  const quota = { validForMs: "1h", maxAmount: 2 };
  await using open = await start({ prefix: "open", quota, timeoutMs: "200ms" });
  await using closed = await start({ prefix: "closed", quota, failurePolicy: "closed", timeoutMs: "200ms" });
  expect([await statuses(open, 1), await statuses(closed, 1)]).toEqual([[200], [200]]);
  await redis[Symbol.asyncDispose]();
  expect([await statuses(open, 3), await statuses(closed, 3)]).toEqual([
    [200, 200, 200],
    [503, 503, 503],
  ]);
  expect(await open.metric("vespid_adapter_dispatches_total", `outcome="failed"`)).toBe(3);
  redis = await startRedis();
  await until("the quota to be counted again", async () =>
    (await closed.get("/", { "x-user": "bob" })).status === 200 ? true : undefined,
  );
  await until("the quota to be used up", async () =>
    (await closed.get("/", { "x-user": "bob" })).status === 429 ? true : undefined,
  );
  const keys = await runProgram(["redis-cli", "-p", String(port), "keys", "closed:*"]);
  expect(keys.stdout).toMatch(/^closed:calls:[\w-]{43}\n/u);
});
