// What does each filter of the library cost a request, natively and sandboxed?
import { join } from "node:path";
import { fuelOf, type Filter } from "../../runtime/chain/filter.ts";
import { BUILTIN_FILTERS } from "../../runtime/builtin-filters.ts";
import { localReply, type Reply } from "../../runtime/exchange/reply.ts";
import { systemTimers } from "../../runtime/exchange/timer-lists.ts";
import { buildFilter } from "../../runtime/wasm/build-filter.ts";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import { deriveFile, depsFor, unwrap, useOf } from "../contract/subjects.ts";
import { LIBRARY_CASES, type LibraryCase } from "./library-cases.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "What does each filter of the library cost a request, natively and sandboxed?";
export const parts: readonly string[] = Object.keys(LIBRARY_CASES);

const FILTERS = join(import.meta.dir, "../../filters");

/** One request, and its reply where the filter looks at it, through each filter in both engines. */
export async function run({ isQuick, hasPart, progress }: BenchOptions): Promise<BenchResult> {
  const rows: BenchRow[] = [];
  for (const [name, given] of Object.entries(LIBRARY_CASES)) {
    if (!hasPart(name)) continue;
    progress(name);
    const bundle = await deriveFile(join(FILTERS, name, "filter.ts"));
    const deps = {
      ...depsFor(bundle),
      builtins: BUILTIN_FILTERS,
      clock: { now: () => Date.now(), monotonic: () => performance.now() },
      schedule: systemTimers(),
      callout: given.callout ?? depsFor(bundle).callout,
    };
    const init = {
      name,
      config: given.config,
      ...(given.fuel !== undefined && { limits: { fuel: given.fuel } }),
      upstreams: Object.fromEntries(
        (given.upstreams ?? []).map((upstream) => [upstream, { cluster: upstream, timeoutMs: 1000 }]),
      ),
    };
    const native = unwrap(await buildFilter(useOf({ kind: "builtin", name }, init), deps));
    const sandboxed = unwrap(await buildFilter(useOf({ kind: "bundle", bundle: bundle.ref }, init), deps));
    const figures = { native: [] as number[], sandboxed: [] as number[] };
    // A round of each in turn, so that what else the machine does falls on both.
    for (let round = 0; round < (isQuick ? 4 : 11); round++) {
      figures.native.push(await measureCall(native, given, isQuick ? 2000 : 10_000));
      figures.sandboxed.push(await measureCall(sandboxed, given, isQuick ? 1000 : 4000));
    }
    const fuel = await fuelOfExchange(sandboxed, given);
    native.stop();
    sandboxed.stop();
    rows.push(
      { figure: `${name} native`, value: settled(figures.native), unit: "µs", note: given.note },
      { figure: `${name} sandboxed`, value: settled(figures.sandboxed), unit: "µs", note: `${fuel} units of fuel` },
    );
  }
  return { name: "library", question, rows };
}

/** The median without the first two rounds, which compile. */
function settled(values: readonly number[]): number {
  return median(values.slice(2));
}

/** Microseconds of one exchange in the filter. */
async function measureCall(filter: Filter, given: LibraryCase, calls: number): Promise<number> {
  const startedMs = performance.now();
  const exchange = makeExchange(given.request);
  for (let call = 0; call < calls; call++) {
    const verdict = filter.request?.(exchange);
    await passed(verdict);
    if (filter.response === undefined) continue;
    const reply = replyOf(given);
    await passed(filter.response(exchange, reply));
    reply.body.pipe(SINK);
  }
  return ((performance.now() - startedMs) * 1000) / calls;
}

/** Of a request and, where the filter looks at it, its reply. */
async function fuelOfExchange(filter: Filter, given: LibraryCase): Promise<number> {
  const exchange = makeExchange(given.request);
  const request = await filter.request?.(exchange);
  const fuel = request === undefined ? 0 : fuelOf(filter, request);
  const response = await filter.response?.(exchange, replyOf(given));
  return response === undefined ? fuel : fuel + fuelOf(filter, response);
}

function replyOf({ reply = {} }: LibraryCase): Reply {
  return localReply(200, reply.body ?? "ok", "via_upstream", Object.entries(reply.headers ?? {}));
}

const SINK = { write: () => true, end: () => undefined, abort: () => undefined };

/** Waits where there is something to wait for; a filter that refuses what it is measured with measures nothing. */
async function passed(pending: ReturnType<Filter["request"] & {}> | undefined): Promise<void> {
  const verdict = pending instanceof Promise ? await pending : pending;
  if (verdict?.kind === "failed") throw new Error(verdict.failure.message);
  if (verdict?.kind === "reply") throw new Error(`expected proceed, not ${verdict.reply.status}`);
}
