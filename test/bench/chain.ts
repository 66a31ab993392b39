// What do chains of filters cost: ten native ones, kept and awaited decisions, bodies, memory, and one that loops?
import { join } from "node:path";
import { compileChain } from "../../runtime/chain/chain.ts";
import type { Filter } from "../../runtime/chain/filter.ts";
import type { Outcome } from "../../runtime/exchange/exchange.ts";
import { localReply } from "../../runtime/exchange/reply.ts";
import { buildFilter } from "../../runtime/wasm/build-filter.ts";
import type { Engine } from "../../runtime/wasm/engine.ts";
import { buildFilterFile } from "../../sdk/build/build.ts";
import type { DerivedBundle } from "../../sdk/build/derive.ts";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import { systemTimers } from "../../runtime/exchange/timer-lists.ts";
import { deriveFile, depsFor, engineOf, ENGINES, unwrap, useOf } from "../contract/subjects.ts";
import stamp from "../fixtures/stamp/filter.ts";
import { startControl } from "../harness/control.ts";
import { startNginxUpstream } from "../harness/peers.ts";
import { startProxy } from "../harness/proxy.ts";
import { makeTempFolder } from "../harness/temp-folder.ts";
import { runOpenLoop } from "./load.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question =
  "What do chains of filters cost: ten of them, kept and awaited decisions, bodies, and one that loops?";
export const parts: readonly string[] = ["calls", "bodies", "memory", "loop"];

const FIXTURES = join(import.meta.dir, "../fixtures");
const FILE = join(FIXTURES, "measured/filter.ts");
const HEADERS = { "x-user": "ada", "x-tenant": "books", "x-request-id": "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9" };
const CHUNK = Buffer.alloc(64 * 1024, "x");
const MEGABYTE_CHUNKS = 16;
/** Requests a second: those that loop, and those of everybody else. */
const LOOPS_PER_SECOND = 100;
const OTHERS_PER_SECOND = 500;
const AWAITED_MAX_US: Readonly<Record<string, number>> = { jsc: 30, wasmtime: 40 };

const SURROUNDINGS = {
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  schedule: systemTimers(),
};
const ANSWER = Promise.resolve({
  ok: true as const,
  value: { status: 204, headers: [["x-verdict", "yes"]] as const, body: new Uint8Array(0) },
});

export async function run(options: BenchOptions): Promise<BenchResult> {
  const rows: BenchRow[] = [];
  if (options.hasPart("calls")) rows.push(...(await measureCalls(options)));
  if (options.hasPart("bodies")) rows.push(...(await measureBodies(options)));
  if (options.hasPart("memory")) rows.push(...(await measureMemory(options)));
  if (options.hasPart("loop")) rows.push(...(await measureLoop(options)));
  return { name: "chain", question, rows };
}

const SANDBOXES: readonly Engine[] = ENGINES.map(engineOf);
const UPSTREAMS = { authz: { cluster: "authz", timeoutMs: 1000 } };
let derived: Promise<DerivedBundle> | undefined;

async function build(engine: Engine, name = "measured"): Promise<Filter> {
  const bundle = await (derived ??= deriveFile(FILE));
  const use = useOf({ kind: "bundle", bundle: bundle.ref }, { name, upstreams: UPSTREAMS });
  return unwrap(await buildFilter(use, { ...depsFor(bundle), ...SURROUNDINGS, engine, callout: () => ANSWER }));
}

async function buildStamp(name: string): Promise<Filter> {
  const builtins = new Map([[stamp.name, stamp]]);
  const use = useOf({ kind: "builtin", name: stamp.name }, { name });
  return unwrap(await buildFilter(use, { ...depsFor(undefined), ...SURROUNDINGS, builtins }));
}

async function measureCalls({ isQuick, progress }: BenchOptions): Promise<readonly BenchRow[]> {
  const rounds = isQuick ? 5 : 15;
  const calls = isQuick ? 2000 : 10_000;
  progress("ten native filters");
  const ten = await Promise.all(Array.from({ length: 10 }, (_, index) => buildStamp(`stamp-${index}`)));
  const [first] = ten;
  const rows: BenchRow[] = [
    { figure: "native header filter", value: await perCall(calls, rounds, callOf(first, "")), unit: "µs", limit: 0.5 },
    { figure: "chain of ten native filters", value: await perCall(calls, rounds, chainOf(ten)), unit: "µs", limit: 5 },
  ];
  for (const engine of SANDBOXES) {
    progress(`decisions in ${engine.name}`);
    const filter = await build(engine);
    rows.push(
      {
        figure: `kept decision, ${engine.name}`,
        value: await perCall(calls, rounds, callOf(filter, "keep")),
        unit: "µs",
        limit: 1,
      },
      {
        figure: `one awaited fetch, ${engine.name}`,
        value: await perCall(calls / 4, rounds, callOf(filter, "fetch")),
        unit: "µs",
        limit: AWAITED_MAX_US[engine.name] ?? Number.NaN,
        note: "without the network",
      },
    );
    filter.stop();
  }
  return rows;
}

/** Microseconds of one call: the median of the rounds, behind as many that compile. */
async function perCall(calls: number, rounds: number, call: () => unknown): Promise<number> {
  const figures: number[] = [];
  for (let round = -rounds; round < rounds; round++) {
    const startedMs = performance.now();
    for (let count = 0; count < calls; count++) {
      const pending = call();
      if (pending instanceof Promise) await pending;
    }
    if (round >= 0) figures.push(((performance.now() - startedMs) * 1000) / calls);
  }
  return median(figures);
}

function callOf(filter: Filter | undefined, what: string): () => unknown {
  const exchange = makeExchange({ headers: { ...HEADERS, "x-do": what } });
  return () => filter?.request?.(exchange);
}

function chainOf(filters: readonly Filter[]): () => unknown {
  const exchange = makeExchange({ headers: HEADERS });
  const reply: Outcome = { ok: true, value: localReply(200, "ok", "via_upstream") };
  const observer = { filterRan: () => undefined, circuitChanged: () => undefined };
  const serve = compileChain(filters, observer, SURROUNDINGS.clock)(() => reply);
  return () => serve(exchange);
}

async function measureBodies({ isQuick, progress }: BenchOptions): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const engine of SANDBOXES) {
    const filter = await build(engine);
    for (const [what, limit] of [
      ["identity", 0.3],
      ["copy", undefined],
    ] as const) {
      progress(`bodies in ${engine.name}: ${what}`);
      const figures: number[] = [];
      // An engine in WebAssembly is compiled well only after some thirty thousand calls.
      for (let round = isQuick ? -10 : -100; round < (isQuick ? 5 : 15); round++) {
        const ms = await measureMegabytes(filter, what);
        if (round >= 0) figures.push(ms);
      }
      rows.push({
        figure: `body of 64 KB pieces, ${what}, ${engine.name}`,
        value: median(figures),
        unit: "ms/MB",
        ...(limit === undefined
          ? { note: "each piece comes back" }
          : { limit, note: "the filter sees it, and lets it pass" }),
      });
    }
    filter.stop();
  }
  return rows;
}

/** Milliseconds for a megabyte of a reply's body. */
async function measureMegabytes(filter: Filter, what: string): Promise<number> {
  const megabytes = 16;
  const exchange = makeExchange({ headers: { "x-do": what } });
  const reply = localReply(200, "", "via_upstream");
  let read = 0;
  reply.body = {
    lengthBytes: undefined,
    pipe: (sink) => {
      for (let chunk = 0; chunk < megabytes * MEGABYTE_CHUNKS; chunk++) sink.write(CHUNK, 0, CHUNK.length);
      sink.end(undefined);
    },
    resume: () => undefined,
    cancel: () => undefined,
  };
  const verdict = await filter.response?.(exchange, reply);
  if (verdict?.kind !== "proceed") throw new Error("expected proceed");
  const startedMs = performance.now();
  reply.body.pipe({
    write: (_chunk, start, end) => {
      read += end - start;
      return true;
    },
    end: () => undefined,
    abort: () => undefined,
  });
  const tookMs = performance.now() - startedMs;
  if (read !== megabytes * 1024 * 1024) throw new Error(`read ${read} bytes`);
  return tookMs / megabytes;
}

/** What a further sandboxed filter adds to this process. */
async function measureMemory({ isQuick, progress }: BenchOptions): Promise<readonly BenchRow[]> {
  const count = isQuick ? 4 : 10;
  const rows: BenchRow[] = [];
  for (const engine of SANDBOXES) {
    progress(`memory in ${engine.name}`);
    const filters = [await build(engine, "first")];
    const before = await residentBytes();
    for (let index = 0; index < count; index++) filters.push(await build(engine, `further-${index}`));
    const after = await residentBytes();
    for (const filter of filters) filter.stop();
    rows.push({
      figure: `a further sandboxed filter, ${engine.name}`,
      value: (after - before) / count / 1024 / 1024,
      unit: "MB",
      limit: 4,
    });
  }
  return rows;
}

/** Resident memory once the collector and compiler threads have let go. */
async function residentBytes(): Promise<number> {
  for (let turn = 0; turn < 5; turn++) {
    Bun.gc(true);
    await Bun.sleep(100);
  }
  return process.memoryUsage.rss();
}

/** Others' p99 beside a filter that loops for ever on a hundred requests a second, all through the same sidecar. */
async function measureLoop({ isQuick, progress }: BenchOptions): Promise<readonly BenchRow[]> {
  await using folder = await makeTempFolder();
  await using upstream = await startNginxUpstream({ folder, body: "x".repeat(100) });
  await using control = await startControl({ cwd: folder.path });
  const built = await buildFilterFile(FILE);
  if (!built.ok) throw new Error(JSON.stringify(built.problems));
  const bundle = await control.push(built.value.artifact);
  await using proxy = await startProxy({
    service: "app",
    applicationPort: upstream.port,
    control: control.url,
    cwd: folder.path,
    accessLog: folder.file("access.log"),
    env: { VESPID_CONCURRENCY: "1" },
  });
  const host = {
    hosts: ["authz.default.svc.cluster.local"],
    resolution: "STATIC",
    endpoints: [{ address: "127.0.0.1" }],
  };
  const ports = [{ number: 80, name: "http", protocol: "HTTP", targetPort: upstream.port }];
  await control.rollOut(() =>
    control.apply(
      [
        {
          apiVersion: "networking.istio.io/v1",
          kind: "ServiceEntry",
          metadata: { name: "authz" },
          spec: { ...host, ports },
        },
        {
          apiVersion: "vespid.dev/v1",
          kind: "Filter",
          metadata: { name: "measured" },
          spec: {
            bundle,
            selector: { services: ["app"] },
            upstreams: { authz: { host: "authz.default.svc.cluster.local" } },
          },
        },
      ]
        .map((document) => JSON.stringify(document))
        .join("\n---\n"),
    ),
  );
  const durationMs = isQuick ? 2000 : 5000;
  const others = {
    folder,
    port: proxy.inboundPort,
    headers: HEADERS,
    durationMs,
    perSecond: OTHERS_PER_SECOND,
    connections: 32,
  };
  const quiet: number[] = [];
  const beside: number[] = [];
  let failed = 0;
  for (let round = 0; round < (isQuick ? 1 : 3); round++) {
    progress(`loop, round ${round + 1}`);
    quiet.push((await runOpenLoop(others)).p99Ms);
    const [report] = await Promise.all([
      runOpenLoop(others),
      runOpenLoop({ ...others, headers: { "x-do": "loop" }, perSecond: LOOPS_PER_SECOND, connections: 16 }),
    ]);
    beside.push(report.p99Ms);
    failed += report.failed;
  }
  return [
    { figure: "others' p99 alone", value: median(quiet), unit: "ms" },
    { figure: "others' p99 beside 100 loops a second", value: median(beside), unit: "ms" },
    { figure: "others' requests that failed", value: failed, unit: "requests", limit: 0 },
    { figure: "beside loops ÷ alone", value: median(beside) / median(quiet), unit: "×", limit: 2 },
  ];
}
