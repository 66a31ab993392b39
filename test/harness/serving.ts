// A proxy inside the test's own process: one snapshot, real sockets, and what it told of each exchange.
import { noAdapters } from "./no-adapters.ts";
import { NO_FILTERS } from "./no-filters.ts";
import { versionOf } from "../../runtime/contract/version.ts";
import { parseSnapshot } from "../../runtime/contract/snapshot.ts";
import type { Exchange, Layer } from "../../runtime/exchange/exchange.ts";
import type { TcpSession } from "../../runtime/exchange/tcp-session.ts";
import { compileTcpChain } from "../../runtime/chain/tcp-chain.ts";
import { buildTarget, type Application, type GenerationDeps, type Target } from "../../runtime/generation.ts";
import { OriginalDestinations } from "../../runtime/upstream/original-dst.ts";
import { Serving } from "../../runtime/serving.ts";
import { renderAccessLine } from "../../runtime/telemetry/access-line.ts";
import { renderTcpLine } from "../../runtime/telemetry/access-log.ts";
import { Metrics } from "../../runtime/telemetry/metrics.ts";
import { observe } from "../../runtime/telemetry/observe.ts";

/** A serving proxy and its record. */
export interface ServingUnderTest extends Disposable {
  readonly serving: Serving;
  readonly port: number;
  /** Each exchange as it ended, the oldest first. */
  readonly ended: readonly Exchange[];
  /** Each connection that was passed on, as it ended. */
  readonly sessions: readonly TcpSession[];
  readonly metrics: Metrics;
  /** Their access-log lines. */
  readonly lines: readonly string[];
  /** Applies another snapshot; the problems, if any. */
  apply(snapshot: unknown): Promise<readonly { readonly path: string; readonly message: string }[]>;
}

/**
 * Serves a snapshot's outbound side, or its inbound side where an application is given. `chain` stands before the routes;
 * filters of the snapshot, which look at connections alone, are built by `buildFilter`.
 */
export async function startServing(
  snapshot: unknown,
  application?: Omit<Application, "port">,
  chain: Layer = (next) => next,
  buildFilter: GenerationDeps["buildFilter"] = () =>
    Promise.resolve({ ok: false, problems: [{ path: "", message: "no filters in this test" }] }),
): Promise<ServingUnderTest> {
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const ended: Exchange[] = [];
  const sessions: TcpSession[] = [];
  const lines: string[] = [];
  const metrics = new Metrics(
    { service: "test", namespace: "default", version: "v1" },
    clock,
    (exchange, nowMs) => {
      ended.push(exchange);
      lines.push(renderAccessLine(exchange, nowMs));
    },
    (session, nowMs) => {
      sessions.push(session);
      lines.push(renderTcpLine(session, nowMs));
    },
  );
  const inbound = application === undefined ? undefined : { port: 0, ...application };
  const serving = new Serving(
    {
      applications: inbound === undefined ? [] : [inbound],
      observe: (next) => observe(() => crypto.randomUUID())(chain(next)),
      ...NO_FILTERS,
      ...noAdapters(clock),
      buildFilter,
      originalDestinations: new OriginalDestinations<Target>({
        build: (config, sourceAddress) => buildTarget(config, undefined, Math.random, sourceAddress),
        hasAddress: () => false,
      }),
      compileChain: () => (next) => next,
      compileTcpChain: (filters) =>
        compileTcpChain(
          filters,
          {
            filterRan: (run) => metrics.filterRan(run),
            circuitChanged: (filter, openForMs) => metrics.circuitChanged(filter, openForMs),
          },
          clock,
        ),
      clock,
      random: Math.random,
    },
    metrics,
    clock,
  );
  async function apply(value: unknown) {
    const parsed = parseSnapshot(value);
    return parsed.ok ? serving.apply(parsed.value, versionOf(parsed.value)) : parsed.problems;
  }
  const direction = inbound === undefined ? "outbound" : "inbound";
  const problems = [
    ...(await apply(snapshot)),
    ...serving.open([{ direction, hostname: "127.0.0.1", port: 0, application: inbound }]),
  ];
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const sweep = setInterval(() => serving.sweep(), 20);
  return {
    serving,
    port: serving.listeners[0]?.port ?? 0,
    ended,
    sessions,
    metrics,
    lines,
    apply,
    [Symbol.dispose]: () => {
      clearInterval(sweep);
      serving.stop();
    },
  };
}
