// A proxy of several workers is one proxy: to clients, to control, to who scrapes it, and to who ends it.
import { afterAll, beforeAll, expect, test, setDefaultTimeout } from "bun:test";
import { z } from "zod";
import { BusyClient } from "../harness/busy-client.ts";
import { FakeControl } from "../harness/fake-control.ts";
import { runProgram } from "../harness/program.ts";
import { proxyCommand, startProxy, type ProxyOptions, type RunningProxy } from "../harness/proxy.ts";
import { sharedInodesOf } from "../harness/shared-inodes.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const BODY = "x".repeat(2000);
const owned = new AsyncDisposableStack();
let folder: TempFolder;
let upstreamPort = 0;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch: (request) => new Response(request.url.endsWith("/slow") ? slowBody() : BODY, { headers: { "x-app": "1" } }),
  });
  owned.defer(() => upstream.stop(true));
  upstreamPort = upstream.port ?? 0;
});
afterAll(() => owned.disposeAsync());

/** Two seconds of bytes. */
async function* slowBody(): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < 40; sent++) {
    yield new Uint8Array(1000).fill(120);
    await Bun.sleep(50);
  }
}

const Worker = z.object({ slot: z.int(), crew: z.int(), pid: z.int(), state: z.string(), rows: z.array(z.int()) });
const Dump = z.object({ version: z.string().optional(), workers: z.array(Worker) });

async function workersOf(proxy: RunningProxy): Promise<z.infer<typeof Dump>["workers"]> {
  return Dump.parse(await (await fetch(`${proxy.admin}/config_dump`)).json()).workers;
}

async function pidOf(proxy: RunningProxy, slot: number): Promise<number> {
  const worker = (await workersOf(proxy)).find((each) => each.slot === slot && each.state === "serving");
  if (worker === undefined) throw new Error(`worker ${slot} does not serve`);
  return worker.pid;
}

function start(options: Partial<ProxyOptions> = {}): Promise<RunningProxy> {
  return startProxy({
    service: "crew",
    applicationPort: upstreamPort,
    cwd: folder.path,
    concurrency: 2,
    accessLog: "off",
    ...options,
  });
}

/** One request on a connection of its own. */
async function ask(proxy: RunningProxy): Promise<Response> {
  return fetch(`http://127.0.0.1:${proxy.inboundPort}/`, {
    headers: { connection: "close" },
    signal: AbortSignal.timeout(5000),
  });
}

async function countedRequests(proxy: RunningProxy): Promise<number> {
  const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
  const values = [...text.matchAll(/^istio_requests_total\{[^\n]*\} (\d+)$/gmu)].map(([, value]) => Number(value));
  return values.reduce((sum, value) => sum + value, 0);
}

/** Processor time that a process has used, in ticks. */
async function ticksOf(pid: number): Promise<number> {
  const fields = (await Bun.file(`/proc/${pid}/stat`).text()).replace(/^.*\) /u, "").split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

test("both workers serve, the supervisor carries nothing, and one scrape counts all", async () => {
  await using proxy = await start();
  const pids = [await pidOf(proxy, 0), await pidOf(proxy, 1)];
  const before = await Promise.all([...pids, proxy.program.pid].map(ticksOf));
  const run = await runProgram(["wrk", "-t1", "-c64", "-d2s", `http://127.0.0.1:${proxy.inboundPort}/`]);
  const requests = Number(/(\d+) requests in/u.exec(run.output)?.[1] ?? 0);
  expect(requests).toBeGreaterThan(200);
  expect(run.output).not.toMatch(/Socket errors|Non-2xx/u);
  const after = await Promise.all([...pids, proxy.program.pid].map(ticksOf));
  const [first = 0, second = 0, supervisor = 0] = after.map((ticks, index) => ticks - (before[index] ?? 0));
  expect(Math.min(first, second)).toBeGreaterThan((first + second) / 6);
  expect(supervisor).toBeLessThan((first + second) / 5);
  // wrk leaves with up to one request of each connection under way.
  const counted = await until("every exchange to be counted", async () => {
    const count = await countedRequests(proxy);
    return count >= requests ? count : undefined;
  });
  expect(counted - requests).toBeLessThanOrEqual(64);
});

test("both workers map the memory that filters share, the same one, and one that is started later does too", async () => {
  await using proxy = await start();
  const first = await pidOf(proxy, 0);
  const [inode = ""] = await sharedInodesOf(first);
  expect(inode).toMatch(/^\d+$/u);
  expect(await sharedInodesOf(await pidOf(proxy, 1))).toEqual([inode]);
  process.kill(first, "SIGKILL");
  const next = await until("another worker to serve", async () => {
    const worker = (await workersOf(proxy)).find(({ slot, state }) => slot === 0 && state === "serving");
    return worker === undefined || worker.pid === first ? undefined : worker.pid;
  });
  expect(await sharedInodesOf(next)).toEqual([inode]);
});

test("lines of the access log are whole, from both workers on one pipe", async () => {
  await using proxy = await start({ accessLog: "-" });
  await runProgram(["wrk", "-t1", "-c32", "-d1s", `http://127.0.0.1:${proxy.inboundPort}/${"p".repeat(700)}`]);
  const counted = await until("the load to have ended", async () => {
    const before = await countedRequests(proxy);
    await Bun.sleep(300);
    return (await countedRequests(proxy)) === before && before > 0 ? before : undefined;
  });
  const lines = await until("every line", () => {
    const all = proxy.program.stdout().split("\n");
    // What a test keeps of a program's output is bounded: the first of it may be cut off.
    return all.length > Math.min(counted, 1000) && all.at(-1) === "" ? all.slice(1, -1) : undefined;
  });
  expect(
    lines.filter((line) => !/^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET \/p{700} HTTP\/1\.1" .* default$/u.test(line)),
  ).toEqual([]);
});

test("a worker that is killed costs what it had in hand, is replaced, and its counts stay", async () => {
  await using proxy = await start();
  const clients = Array.from({ length: 24 }, () => new BusyClient(proxy.inboundPort, "/", BODY.length));
  await until("every client to be busy", () => (clients.every(({ answered }) => answered > 3) ? true : undefined));
  const counted = await countedRequests(proxy);
  const [survivor, victim] = [await pidOf(proxy, 0), await pidOf(proxy, 1)];
  process.kill(victim, "SIGKILL");
  const failures: unknown[] = [];
  const replaced = await until("the worker to be replaced", async () => {
    // Those who come meanwhile are all answered: the queue of the dead is looked after.
    await ask(proxy).then(
      (reply) => reply.status === 200 || failures.push(reply.status),
      (error: unknown) => failures.push(error),
    );
    const workers = await workersOf(proxy);
    const isOver = workers.every(({ pid }) => pid !== victim);
    return isOver && workers.filter(({ state }) => state === "serving").length === 2 ? workers : undefined;
  });
  expect(failures).toEqual([]);
  expect(replaced.map(({ pid }) => pid)).toContain(survivor);
  expect(await countedRequests(proxy)).toBeGreaterThanOrEqual(counted);
  const alive = clients.filter(({ isLost }) => !isLost);
  expect(alive.length).toBeGreaterThan(0);
  expect(alive.length).toBeLessThan(clients.length);
  for (const client of clients) client.stop();
  await Promise.all(clients.map(({ ended }) => ended));
  expect(alive.map(({ isLost }) => isLost)).not.toContain(true);
  await until("both rows to be back with their workers", async () => {
    const rows = (await workersOf(proxy)).map((worker) => worker.rows.join());
    return rows.toSorted().join(" ") === "0 1" ? true : undefined;
  });
});

test("a worker that dies again and again is started ever more seldom, while others answer for it", async () => {
  await using proxy = await start();
  const killed = new Set<number>();
  const failures: unknown[] = [];
  await until("four replacements", async () => {
    const victim = (await workersOf(proxy)).find(({ slot, pid }) => slot === 1 && !killed.has(pid));
    if (victim !== undefined) {
      killed.add(victim.pid);
      process.kill(victim.pid, "SIGKILL");
    }
    await ask(proxy).catch((error: unknown) => failures.push(error));
    return killed.size === 5 ? true : undefined;
  });
  expect(failures).toEqual([]);
  const waits = [...proxy.program.output().matchAll(/"restartInMs":(\d+)/gu)].map(([, ms]) => Number(ms));
  // Half fixed, half random: each bound is twice the one before.
  [100, 200, 400].forEach((boundMs, index) => {
    expect(waits[index]).toBeGreaterThanOrEqual(boundMs / 2);
    expect(waits[index]).toBeLessThanOrEqual(boundMs);
  });
  expect(proxy.program.output()).toContain("was ended by SIGKILL");
});

test("a worker whose event loop stands still is passed over at once, then ended and replaced", async () => {
  await using proxy = await start();
  const hung = await pidOf(proxy, 1);
  process.kill(hung, "SIGSTOP");
  // Ten seconds of silence, and a start.
  await until(
    "it to be replaced",
    async () => {
      const reply = await ask(proxy);
      expect(reply.status).toBe(200);
      const worker = (await workersOf(proxy)).find(({ slot, state }) => slot === 1 && state === "serving");
      return worker !== undefined && worker.pid !== hung ? true : undefined;
    },
    30_000,
  );
  expect(proxy.program.output()).toContain("a worker hangs: it is ended");
});

const ROUTED = (port: number, mark: string): object => ({
  service: "crew",
  inbound: {
    virtualHosts: [
      {
        name: "all",
        domains: ["*"],
        routes: [
          {
            destinations: [{ cluster: "app" }],
            responseHeaders: { set: { "x-mark": mark } },
          },
        ],
      },
    ],
  },
  clusters: [{ name: "app", endpoints: [{ address: "127.0.0.1", port }] }],
});

test("a snapshot is swapped in by all workers together, or refused by all", async () => {
  await using control = new FakeControl();
  await using own = await makeTempFolder();
  const starting = start({ control: control.url, cwd: own.path });
  await until("the proxy to connect", () => (control.connections > 0 ? true : undefined));
  expect(await control.push(ROUTED(upstreamPort, "one"))).toMatchObject({ kind: "ack" });
  await using proxy = await starting;
  const marks = async (): Promise<readonly (string | null)[]> =>
    (await Promise.all(Array.from({ length: 20 }, () => ask(proxy)))).map((reply) => reply.headers.get("x-mark"));
  expect(new Set(await marks())).toEqual(new Set(["one"]));
  // Acknowledged means swapped everywhere: from here on nobody is answered by the one before.
  for (const mark of ["two", "three", "four"]) {
    expect(await control.push(ROUTED(upstreamPort, mark))).toMatchObject({ kind: "ack" });
    expect(new Set(await marks())).toEqual(new Set([mark]));
  }
  const refused = await control.push({ ...ROUTED(upstreamPort, "bad"), clusters: [] });
  expect(refused).toMatchObject({ kind: "nack" });
  expect(refused.problems?.map(({ path }) => path)).toEqual([
    "snapshot.inbound.virtualHosts[0].routes[0].destinations[0].cluster",
  ]);
  expect(new Set(await marks())).toEqual(new Set(["four"]));
  // One that comes later runs what the others run.
  process.kill(await pidOf(proxy, 0), "SIGKILL");
  await until("it to be replaced", async () => {
    expect(new Set(await marks())).toEqual(new Set(["four"]));
    return (await workersOf(proxy)).filter(({ state }) => state === "serving").length === 2 ? true : undefined;
  });
  expect(new Set(await marks())).toEqual(new Set(["four"]));
});

test("SIGTERM under load loses no request on any worker, and all processes end", async () => {
  await using proxy = await start();
  const pids = (await workersOf(proxy)).map(({ pid }) => pid);
  const clients = Array.from({ length: 32 }, () => new BusyClient(proxy.inboundPort, "/", BODY.length));
  await until("every client to be busy", () => (clients.every(({ answered }) => answered > 5) ? true : undefined));
  proxy.program.signal("SIGTERM");
  await Promise.all(clients.map(({ ended }) => ended));
  expect(clients.map(({ isLost }) => isLost)).not.toContain(true);
  expect(clients.map(({ wasTold }) => wasTold)).not.toContain(false);
  expect(await proxy.program.exited).toBe(0);
  expect(pids.filter(isAlive)).toEqual([]);
});

test("workers do not outlive their supervisor, and finish what they have in hand", async () => {
  await using proxy = await start();
  const pids = (await workersOf(proxy)).map(({ pid }) => pid);
  const reply = await fetch(`http://127.0.0.1:${proxy.inboundPort}/slow`);
  process.kill(proxy.program.pid, "SIGKILL");
  expect((await reply.arrayBuffer()).byteLength).toBe(40_000);
  await until("every worker to end", () => (pids.some(isAlive) ? undefined : true));
});

test("a port that is in use is told by its flag, and one of workers is not shared by chance", async () => {
  await using proxy = await start();
  const options: ProxyOptions = { service: "second", applicationPort: upstreamPort, cwd: folder.path, concurrency: 2 };
  const command = proxyCommand(options, { inboundPort: proxy.inboundPort, adminPort: 0 });
  const run = await runProgram(command, { cwd: folder.path });
  expect(run.status).toBe(1);
  expect(run.output).toContain(`inbound: cannot listen on 127.0.0.1:${proxy.inboundPort}: the port is in use`);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
