// Engines `source` and `component`: the proxy's chain around the filter alone, without sockets.
import type { AdapterCalls } from "../../runtime/chain/adapter-calls.ts";
import { compileChain, type RunObserver } from "../../runtime/chain/chain.ts";
import type { Callout } from "../../runtime/chain/callout.ts";
import type { Filter } from "../../runtime/chain/filter.ts";
import { buildNativeFilter, buildNativeRunner, type FilterSurroundings } from "../../runtime/chain/native-filter.ts";
import { witnessFilter } from "../../runtime/chain/witness.ts";
import { renderProblem, type Parsed } from "../../runtime/contract/problem.ts";
import { compose } from "../../runtime/exchange/service.ts";
import { createNativeHost } from "../../runtime/host/native-host.ts";
import { PrivateMemory } from "../../runtime/host/shared-memory.ts";
import { SharedState } from "../../runtime/host/shared-state.ts";
import { rescue } from "../../runtime/reply/rescue.ts";
import { FilterMetrics } from "../../runtime/telemetry/filter-metrics.ts";
import { observe } from "../../runtime/telemetry/observe.ts";
import { dirname } from "node:path";
import { explainFailure, nativePlaces } from "../build/failure-text.ts";
import { installHost } from "../host.ts";
import type { EngineParts, RunningEngine } from "./engine.ts";
import { receivedRequest, wholeBody, type ScriptedUpstream } from "./upstream.ts";

/** Turns of the event loop after which what does not wait for the clock has happened. */
const TURNS = 4;
/** Answers that the test itself holds back are not waited for longer than so many turns. */
const TURNS_MAX = 200;

/** Runs the filter in the test's process, native. */
export async function startSourceEngine(parts: EngineParts): Promise<RunningEngine> {
  installHost(createNativeHost());
  const { filter, use } = parts;
  const native = { ...use, source: { kind: "builtin" as const, name: filter.name } };
  const explain = (message: string): string => explainFailure(message, nativePlaces(dirname(parts.file())));
  return filter.instance === undefined
    ? startChainEngine(parts, (deps) => buildNativeFilter(filter, native, deps), explain)
    : startAskedEngine(parts, (deps) => buildNativeRunner(filter, native, deps), explain);
}

/** Runs the filter in the sandbox of this process. */
export async function startComponentEngine(parts: EngineParts): Promise<RunningEngine> {
  const { buildComponent } = await import("./component.ts");
  const { bundle, build, buildCalls, explain } = await buildComponent(parts.file());
  const sandboxed = { ...parts.use, source: { kind: "bundle" as const, bundle: bundle.ref } };
  return parts.filter.instance === undefined
    ? startChainEngine(parts, (deps) => build(sandboxed, deps), explain)
    : startAskedEngine(parts, (deps) => buildCalls(sandboxed, deps), explain);
}

/** What is built with what the test stands for. */
async function startWith<Built>(
  { clock, log, upstreams }: EngineParts,
  metrics: FilterMetrics,
  build: (deps: FilterSurroundings) => Promise<Parsed<Built>>,
): Promise<Built> {
  const built = await build({
    clock,
    schedule: clock.schedule,
    log,
    callout: (request, signal) => answerCallout(upstreams, request, signal, clock.schedule),
    declareMetrics: (name, definitions) => metrics.declare(name, definitions),
    shared: new SharedState(new PrivateMemory(), clock),
  });
  if (!built.ok) throw new Error(built.problems.map((problem) => renderProblem(problem)).join("\n"));
  return built.value;
}

/** An adapter, which is asked and told without an exchange. */
async function startAskedEngine(
  parts: EngineParts,
  build: (deps: FilterSurroundings) => Promise<Parsed<AdapterCalls>>,
  explain: RunningEngine["explain"],
): Promise<RunningEngine> {
  const metrics = new FilterMetrics();
  const calls = await startWith(parts, metrics, build);
  return {
    send: () => {
      throw new Error(`adapter ${parts.filter.name} sees no requests: call check(), quota() or report() of it`);
    },
    ask: (phase, lines) => calls.ask(phase, lines),
    stats: () => metrics.render(),
    settle: () => settle(parts.upstreams),
    explain,
    stop: () => calls.stop(),
  };
}

async function startChainEngine(
  parts: EngineParts,
  build: (deps: FilterSurroundings) => Promise<Parsed<Filter>>,
  explain: RunningEngine["explain"],
): Promise<RunningEngine> {
  const { clock, witness, service, upstreams } = parts;
  const metrics = new FilterMetrics();
  const filter = await startWith(parts, metrics, build);
  const watched = witnessFilter(filter, witness, () => performance.now());
  const layers = [observe(() => crypto.randomUUID()), rescue, compileChain([watched], SILENT, clock), rescue];
  return {
    send: compose(layers, service),
    ask: () => {
      throw new Error(`filter ${parts.filter.name} is no adapter, and is asked nothing`);
    },
    stats: () => metrics.render(),
    settle: () => settle(upstreams),
    explain,
    stop: () => filter.stop(),
  };
}

const SILENT: RunObserver = { filterRan: () => undefined, circuitChanged: () => undefined };

async function settle(upstreams: EngineParts["upstreams"]): Promise<void> {
  for (let turn = 0, quiet = 0; quiet < TURNS && turn < TURNS_MAX; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    quiet = [...upstreams.values()].some(({ pending }) => pending > 0) ? 0 : quiet + 1;
  }
}

/** A call of the filter's, answered by the test. */
async function answerCallout(
  upstreams: ReadonlyMap<string, ScriptedUpstream>,
  { cluster, authority = cluster, method, path, headers, body, timeoutMs, replyMaxBytes }: Parameters<Callout>[0],
  signal: Parameters<Callout>[1],
  schedule: FilterSurroundings["schedule"],
): ReturnType<Callout> {
  const fault = (kind: "timeout" | "aborted" | "failed", why: string) =>
    ({ ok: false, error: { kind, message: `call to ${cluster}: ${why}` } }) as const;
  const upstream = upstreams.get(cluster);
  if (upstream === undefined) return fault("failed", "is not known");
  const given = Promise.withResolvers<ReturnType<typeof fault>>();
  signal.addEventListener("abort", () => given.resolve(fault("aborted", "was given up")), { once: true });
  const stopTimeout = schedule(
    () => given.resolve(fault("timeout", `no whole reply within ${timeoutMs} ms`)),
    timeoutMs,
  );
  const answered = upstream
    .receive(receivedRequest({ method, path, authority }, headers, body))
    .then(async (made): ReturnType<Callout> => {
      if (made.kind === "never") return new Promise<never>(() => undefined);
      if (made.kind === "failed") return fault("failed", "the test has it fail");
      const bytes = wholeBody(made.parts.body);
      if (bytes.length > replyMaxBytes)
        return fault("failed", `body is beyond ${replyMaxBytes} bytes, which a filter may read`);
      return { ok: true, value: { status: made.status, headers: made.headers, body: bytes } };
    });
  const outcome = await Promise.race([answered, given.promise]);
  stopTimeout();
  return outcome;
}
