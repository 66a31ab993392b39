// A new version of the program takes over without closing a port, or the one that serves goes on.
import { afterAll, beforeAll, expect, test, setDefaultTimeout } from "bun:test";
import { cpSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { makeAuthority } from "../harness/authority.ts";
import { BusyClient } from "../harness/busy-client.ts";
import { runProgram } from "../harness/program.ts";
import { ROOT, startProxy, type ProxyOptions, type RunningProxy } from "../harness/proxy.ts";
import { sharedInodesOf } from "../harness/shared-inodes.ts";
import { makeTempFolder, type TempFolder } from "../harness/temp-folder.ts";
import { until } from "../harness/until.ts";

// Real programs start and end here, on machines that may be busy.
setDefaultTimeout(60_000);

const BODY = "x".repeat(2000);
const SLOW_BYTES = 100_000;
const owned = new AsyncDisposableStack();
let folder: TempFolder;
let upstreamPort = 0;

beforeAll(async () => {
  folder = owned.use(await makeTempFolder());
  const upstream = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    // The application is spoken to as the client spoke.
    http2: true,
    fetch: (request) => new Response(request.url.endsWith("/slow") ? slowBody() : BODY),
  });
  owned.defer(() => upstream.stop(true));
  upstreamPort = upstream.port ?? 0;
});
afterAll(() => owned.disposeAsync());

/** Five seconds of bytes: longer than a hot restart. */
async function* slowBody(): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < 100; sent++) {
    yield new Uint8Array(SLOW_BYTES / 100).fill(120);
    await Bun.sleep(50);
  }
}

const Dump = z.object({ workers: z.array(z.object({ pid: z.int(), crew: z.int(), state: z.string() })) });

/** Process ids of the workers that serve; none while the admin port is not there. */
async function servingPids(proxy: RunningProxy): Promise<readonly number[]> {
  try {
    const { workers } = Dump.parse(await (await fetch(`${proxy.admin}/config_dump`)).json());
    return workers.filter(({ state }) => state === "serving").map(({ pid }) => pid);
  } catch {
    return [];
  }
}

/** Waits until as many others serve. */
function replaced(proxy: RunningProxy, before: readonly number[], count = 2): Promise<readonly number[]> {
  return until("other workers to serve", async () => {
    const pids = await servingPids(proxy);
    return pids.length === count && pids.every((pid) => !before.includes(pid)) ? pids : undefined;
  });
}

function start(options: Partial<ProxyOptions> = {}): Promise<RunningProxy> {
  return startProxy({
    service: "restart",
    applicationPort: upstreamPort,
    cwd: folder.path,
    concurrency: 2,
    accessLog: "off",
    ...options,
  });
}

/** Opens connection after connection until it is told to stop; every one is answered, or is a failure. */
class Caller {
  answered = 0;
  readonly failures: unknown[] = [];
  readonly ended: Promise<void>;
  #isStopping = false;

  constructor(url: string) {
    this.ended = this.#call(url);
  }

  stop(): void {
    this.#isStopping = true;
  }

  async #call(url: string): Promise<void> {
    while (!this.#isStopping) {
      try {
        const reply = await fetch(url, { headers: { connection: "close" }, signal: AbortSignal.timeout(5000) });
        if (reply.status !== 200 || (await reply.text()) !== BODY) this.failures.push(reply.status);
        this.answered++;
      } catch (error) {
        this.failures.push(error);
      }
    }
  }
}

async function countedRequests(proxy: RunningProxy): Promise<number> {
  const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
  const values = [...text.matchAll(/^istio_requests_total\{[^\n]*\} (\d+)$/gmu)].map(([, value]) => Number(value));
  return values.reduce((sum, value) => sum + value, 0);
}

test("a hot restart under load loses nothing: new, kept, and long connections", async () => {
  await using proxy = await start();
  const url = `http://127.0.0.1:${proxy.inboundPort}`;
  const before = await servingPids(proxy);
  const callers = Array.from({ length: 4 }, () => new Caller(`${url}/`));
  const busy = Array.from({ length: 16 }, () => new BusyClient(proxy.inboundPort, "/", BODY.length));
  const slow = fetch(`${url}/slow`).then((reply) => reply.arrayBuffer());
  await until("load", () => (busy.every(({ answered }) => answered > 5) ? true : undefined));
  const counted = await countedRequests(proxy);
  const shared = await Promise.all(before.map(sharedInodesOf));

  proxy.program.signal("SIGUSR2");
  const after = await replaced(proxy, before);
  // Those that were kept open end when they are told to, and never in the middle.
  await Promise.all(busy.map(({ ended }) => ended));
  expect(busy.map(({ isLost }) => isLost)).not.toContain(true);
  expect(busy.map(({ wasTold }) => wasTold)).not.toContain(false);
  expect((await slow).byteLength).toBe(SLOW_BYTES);
  const answered = callers.map((caller) => caller.answered);
  await until("calls to the new workers", () =>
    callers.every((caller, index) => caller.answered > (answered[index] ?? 0) + 3) ? true : undefined,
  );
  for (const caller of callers) caller.stop();
  await Promise.all(callers.map(({ ended }) => ended));
  expect(callers.flatMap(({ failures }) => failures)).toEqual([]);
  // What filters counted goes on.
  expect(await Promise.all(after.map(sharedInodesOf))).toEqual(shared);
  // The same process to who started it, and the same counts to who scrapes it.
  proxy.program.assertRunning();
  expect(await countedRequests(proxy)).toBeGreaterThan(counted);
  await until("the workers of before to end", () => (before.some(isAlive) ? undefined : true));

  // And once more, since what took over can be taken over from.
  expect((await fetch(`${proxy.admin}/restart`, { method: "POST" })).status).toBe(200);
  await replaced(proxy, after);
  expect(await (await fetch(`${url}/`)).text()).toBe(BODY);
  expect(await proxy.program.stop()).toBe(0);
});

/** Downloads these with curl, one after the other on what may be one connection: versions and sizes. */
async function download(options: readonly string[], urls: readonly string[]): Promise<string> {
  const sinks = urls.flatMap(() => ["-o", "/dev/null"]);
  const format = "%{http_version} %{size_download}\n";
  const { output } = await runProgram(["curl", "-sS", "--max-time", "30", ...options, "-w", format, ...sinks, ...urls]);
  return output;
}

test("connections of HTTP/2 and of TLS go on through a hot restart, and the next request finds the new program", async () => {
  const authority = await makeAuthority(folder, "restart");
  const { certificate, privateKey } = await authority.issue("server", "DNS:localhost,IP:127.0.0.1");
  const certificates = [{ serverCertificate: certificate, privateKey }];
  await using plain = await start();
  await using secured = await start({ snapshot: () => ({ inbound: { tls: { mode: "SIMPLE", certificates } } }) });
  const before = [await servingPids(plain), await servingPids(secured)];
  const underTls = ["--cacert", authority.root];
  const open = `http://127.0.0.1:${plain.inboundPort}`;
  const closed = `https://127.0.0.1:${secured.inboundPort}`;
  // curl 7.88 reuses no connection of prior knowledge: error 16, whoever serves.
  const downloads = [
    download(["--http2-prior-knowledge"], [`${open}/slow`]),
    download(["--http2", ...underTls], [`${closed}/slow`, closed]),
    download(["--http1.1", ...underTls], [`${closed}/slow`, closed]),
  ];
  for (const [proxy, count] of [
    [plain, 1],
    [secured, 2],
  ] as const) {
    await until("the downloads to be under way", async () => {
      const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
      return text.includes(`envoy_http_downstream_cx_active{direction="inbound"} ${count}`) ? true : undefined;
    });
  }
  for (const { program } of [plain, secured]) program.signal("SIGUSR2");
  await Promise.all([replaced(plain, before[0] ?? []), replaced(secured, before[1] ?? [])]);
  expect(await Promise.all(downloads)).toEqual([
    `2 ${SLOW_BYTES}\n`,
    `2 ${SLOW_BYTES}\n2 ${BODY.length}\n`,
    `1.1 ${SLOW_BYTES}\n1.1 ${BODY.length}\n`,
  ]);
  expect(await download(["--http2-prior-knowledge"], [open])).toBe(`2 ${BODY.length}\n`);
});

test("a program that cannot take over is tried, its reason is told, and the one that serves goes on", async () => {
  const root = folder.file("program");
  for (const part of ["runtime", "sdk", "filters", "package.json"]) {
    cpSync(join(ROOT, part), join(root, part), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"));
  await using proxy = await start({ root });
  const before = await servingPids(proxy);
  for (const [file, broken] of [
    ["runtime/serving.ts", "this is no program"],
    ["runtime/supervisor/fleet.ts", "throw new Error('broken on purpose');"],
    ["runtime/worker.ts", "export const startWorker = () => process.exit(3);"],
  ] as const) {
    const good = await Bun.file(join(root, file)).text();
    await Bun.write(join(root, file), broken);
    const reply = await fetch(`${proxy.admin}/restart`, { method: "POST" });
    expect(reply.status).toBe(409);
    expect(await reply.text()).toStartWith("not restarted: it ended");
    expect(await (await fetch(`http://127.0.0.1:${proxy.inboundPort}/`)).text()).toBe(BODY);
    await Bun.write(join(root, file), good);
  }
  expect(await servingPids(proxy)).toEqual(before);
  expect(proxy.program.output()).toContain("the program on disk cannot take over");
  // Repaired, it does.
  expect((await fetch(`${proxy.admin}/restart`, { method: "POST" })).status).toBe(200);
  await replaced(proxy, before);
});

test("one process says that it cannot, and goes on", async () => {
  await using proxy = await start({ concurrency: 1 });
  const reply = await fetch(`${proxy.admin}/restart`, { method: "POST" });
  expect(reply.status).toBe(409);
  expect(await reply.text()).toContain("--concurrency 2");
  proxy.program.signal("SIGUSR2");
  await proxy.program.printed(/no hot restart/u);
  expect(await (await fetch(`http://127.0.0.1:${proxy.inboundPort}/`)).text()).toBe(BODY);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
