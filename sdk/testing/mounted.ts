// A mounted filter: the test's side of an engine.
import { parseDuration } from "../../runtime/contract/duration.ts";
import { FilterUse } from "../../runtime/contract/filter.ts";
import { parseWith, renderProblem } from "../../runtime/contract/problem.ts";
import type { Witnessed } from "../../runtime/chain/witness.ts";
import type { Exchange } from "../../runtime/exchange/exchange.ts";
import { failure } from "../../runtime/exchange/failure.ts";
import { promised } from "../../runtime/exchange/later.ts";
import type { AnyFilter } from "../define-filter.ts";
import { bytesOf } from "../content.ts";
import {
  askedOutcome,
  checkOf,
  quotaOf,
  reportOf,
  type AskedOutcome,
  type Asking,
  type TestCharge,
  type TestInstance,
} from "./asked.ts";
import { ConnectionStand, type TestConnection } from "./connect.ts";
import { startComponentEngine, startSourceEngine } from "./chain-engine.ts";
import { FakedDate } from "./faked-date.ts";
import { FakedRandom } from "./faked-random.ts";
import { serviceOf, type EngineName, type EngineParts, type RunningEngine } from "./engine.ts";
import { makeExchange, startClock, type TestClock } from "./exchange.ts";
import { findFilterFile } from "./find-filter.ts";
import { readMetric } from "./measured.ts";
import type { AskOptions, MountedFilter, MountOptions } from "./mount.ts";
import { outcomeOf, type LogLine, type Outcome, type TestRequest } from "./outcome.ts";
import { fieldsOf, piecesBody, readToEnd, type TestBody } from "./pieces.ts";
import { PROXY_CLUSTER, startProxyEngine } from "./proxy-engine.ts";
import { ScriptedUpstream, type ReceivedRequest, type TestUpstream } from "./upstream.ts";

const START: Readonly<Record<EngineName, (parts: EngineParts) => Promise<RunningEngine>>> = {
  source: startSourceEngine,
  component: startComponentEngine,
  proxy: startProxyEngine,
};

/** What is told of one request while it is under way. */
interface Underway {
  readonly seen: Witnessed[];
  forwarded: ReceivedRequest | undefined;
}

export class Mounted implements MountedFilter {
  readonly engine: EngineName;
  readonly service: ScriptedUpstream;
  readonly logs: LogLine[] = [];
  fuelUsed = 0;
  readonly #filter: AnyFilter;
  readonly #clock: TestClock;
  readonly #date: FakedDate;
  readonly #random: FakedRandom | undefined;
  readonly #upstreams: ReadonlyMap<string, ScriptedUpstream>;
  readonly #underway = new Map<string, Underway>();
  #complaints: Error[] = [];
  readonly #options: MountOptions;
  #stand: ConnectionStand | undefined = undefined;
  #requests = 0;
  readonly #routeName: string;
  #running: RunningEngine | undefined = undefined;

  static async start(filter: AnyFilter, engine: EngineName, options: MountOptions): Promise<Mounted> {
    const mounted = new Mounted(filter, engine, options);
    try {
      mounted.#running = await START[engine](mounted.#parts(options));
      return mounted;
    } catch (error) {
      mounted.#date.restore();
      mounted.#random?.restore();
      throw error;
    }
  }

  private constructor(filter: AnyFilter, engine: EngineName, options: MountOptions) {
    const { now = new Date(), routeName = "default", upstreams = [] } = options;
    this.engine = engine;
    this.#options = options;
    this.#routeName = routeName;
    this.#filter = filter;
    const startAtMs = new Date(now).getTime();
    if (Number.isNaN(startAtMs))
      throw new TypeError(`now: ${JSON.stringify(now)} is not a date such as "2026-01-31T12:00:00Z"`);
    this.#clock = startClock(startAtMs);
    this.#date = new FakedDate(this.#clock);
    this.#random = options.seed === undefined ? undefined : new FakedRandom(options.seed);
    const complain = (error: Error): void => void this.#complaints.push(error);
    this.service = new ScriptedUpstream({ body: "ok" }, complain, () => "");
    this.#upstreams = new Map(
      [...filter.upstreams, ...upstreams]
        .filter((name) => name !== "*")
        .map((name) => [
          name,
          new ScriptedUpstream(
            undefined,
            complain,
            ({ method, path }) =>
              `the filter called upstream ${JSON.stringify(name)} (${method} ${path}), which the test does not answer: ` +
              `add f.upstream(${JSON.stringify(name)}).reply(…) before the request`,
          ),
        ]),
    );
  }

  get #engine(): RunningEngine {
    if (this.#running === undefined) throw new Error("the filter was let go of: mount it in the test that uses it");
    return this.#running;
  }

  async request(target = "/", request: TestRequest = {}): Promise<Outcome> {
    const engine = this.#engine;
    const { body, signal } = request;
    const id = request.requestId ?? `test-${++this.#requests}`;
    const exchange = this.#exchangeOf(target, request, id);
    const underway: Underway = { seen: [], forwarded: undefined };
    this.#underway.set(id, underway);
    const logsBefore = this.logs.length;
    const leave = (): void => {
      exchange.aborted = true;
      exchange.waiter?.aborted(failure("downstream_closed", "the client left"));
    };
    signal?.addEventListener("abort", leave, { once: true });
    try {
      const outcome = await promised(engine.send(exchange));
      if (signal?.aborted === true) {
        await engine.settle();
        throw signal.reason;
      }
      if (!outcome.ok) throw new Error(`the request did not come back: ${outcome.error.message}`);
      const reply = outcome.value;
      const read = await readToEnd(reply.body);
      this.#end(exchange, reply, lengthOf(body), read.bytes.length);
      await engine.settle();
      this.#throwComplaints();
      return outcomeOf({
        given: new Set(Object.keys(request.headers ?? {}).map((name) => name.toLowerCase())),
        seen: underway.seen,
        forwarded: underway.forwarded,
        reply: { status: reply.status, headers: fieldsOf(reply.headers) },
        body: read,
        logs: this.logs.slice(logsBefore),
        explain: (message) => engine.explain(message),
      });
    } finally {
      signal?.removeEventListener("abort", leave);
      this.#underway.delete(id);
    }
  }

  check(instance: TestInstance = {}, options: AskOptions = {}): Promise<AskedOutcome> {
    return this.#ask(() => checkOf(this.#filter, instance), options);
  }

  quota(charge: TestCharge = {}, options: AskOptions = {}): Promise<AskedOutcome> {
    return this.#ask(() => quotaOf(this.#filter, charge), options);
  }

  report(instances: readonly TestInstance[]): Promise<AskedOutcome> {
    return this.#ask(() => reportOf(this.#filter, instances), {});
  }

  async #ask(askingOf: () => Asking, { signal }: AskOptions): Promise<AskedOutcome> {
    const engine = this.#engine;
    const asking = askingOf();
    const logsBefore = this.logs.length;
    const asked = engine.ask(asking.phase, asking.lines);
    const leave = (): void => {
      if (!("kind" in asked)) asked.cancel(failure("downstream_closed", "the client left"));
    };
    signal?.addEventListener("abort", leave, { once: true });
    const reply = "kind" in asked ? asked : await asked.done;
    signal?.removeEventListener("abort", leave);
    await engine.settle();
    this.#throwComplaints();
    this.fuelUsed += reply.fuel;
    return askedOutcome(asking, reply, {
      logs: this.logs.slice(logsBefore),
      explain: (message) => engine.explain(message),
    });
  }

  async connect(): Promise<TestConnection> {
    if (this.#filter.handlers.connection === undefined)
      throw new Error(`filter ${this.#filter.name} has no tcp handler, and sees no connections`);
    this.#stand ??= await ConnectionStand.start(this.engine, this.#parts(this.#options));
    return this.#stand.connect();
  }

  upstream(name: string): TestUpstream {
    const upstream = this.#upstreams.get(name);
    if (upstream !== undefined) return upstream;
    const known = [...this.#upstreams.keys()].join(", ");
    throw new Error(
      `the filter declares no upstream ${JSON.stringify(name)}; ${known === "" ? "add it to upstreams in defineFilter" : `there are ${known}`}`,
    );
  }

  async advance(time: string | number): Promise<void> {
    const ms = typeof time === "number" ? time : parseDuration(time);
    if (ms === undefined || !(ms >= 0))
      throw new TypeError(`advance: ${JSON.stringify(time)} is not a time such as "5m"`);
    await this.#settle();
    let left = ms;
    for (let next = this.#clock.nextInMs; next !== undefined && next <= left; next = this.#clock.nextInMs) {
      this.#move(next);
      left -= next;
      await this.#settle();
    }
    this.#move(left);
    await this.#settle();
    this.#throwComplaints();
  }

  metric(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const stats = [...this.#engine.stats(), ...(this.#stand?.stats() ?? [])];
    return readMetric(stats, Object.keys(this.#filter.metrics), name, labels);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.#date.restore();
    this.#random?.restore();
    running?.stop();
    this.#stand?.stop();
    this.#throwComplaints();
    return Promise.resolve();
  }

  #parts({ config = {}, failurePolicy, limits = {}, upstreamTimeoutMs, file }: MountOptions): EngineParts {
    const filter = this.#filter;
    const upstreams = Object.fromEntries(
      [...this.#upstreams.keys()].map((name) => [name, { cluster: name, timeoutMs: upstreamTimeoutMs }]),
    );
    const parsed = parseWith(FilterUse, {
      name: filter.name,
      source: { kind: "builtin", name: filter.name },
      stage: filter.stage,
      config,
      failurePolicy,
      limits,
      upstreams,
    });
    if (!parsed.ok) throw new Error(parsed.problems.map((problem) => renderProblem(problem)).join("\n"));
    const { source: _, ...use } = parsed.value;
    return {
      filter,
      file: () => findFilterFile(filter, file),
      use,
      routeName: this.#routeName,
      clock: this.#clock,
      log: (level, message, { filter: _name, ...fields }) => void this.logs.push({ level, message, fields }),
      witness: (seen) => this.#witness(seen),
      service: serviceOf(this.service, (received, exchange) => this.#received(received, exchange)),
      upstreams: this.#upstreams,
    };
  }

  #exchangeOf(target: string, request: TestRequest, id: string): Exchange {
    const { body, trailers, sourceIp, sourcePrincipal, metadata } = request;
    if (this.engine === "proxy" && (sourceIp ?? sourcePrincipal ?? metadata) !== undefined)
      throw new Error(
        "sourceIp, sourcePrincipal and metadata cannot be chosen on engine proxy: a real connection has its own",
      );
    const url = target.startsWith("/") ? undefined : new URL(target);
    const authority = request.authority ?? url?.host ?? "reviews";
    const isLengthTold = trailers === undefined && (typeof body === "string" || body instanceof Uint8Array);
    const framing = isLengthTold ? { "content-length": String(lengthOf(body)) } : {};
    const exchange = makeExchange(
      {
        method: request.method ?? (body === undefined ? "GET" : "POST"),
        path: url === undefined ? target : `${url.pathname}${url.search}`,
        authority,
        headers: { host: authority, "x-request-id": id, ...framing, ...request.headers },
        requestId: id,
        body: piecesBody(body, trailers),
        ...(sourceIp !== undefined && { sourceIp }),
        ...(sourcePrincipal !== undefined && { sourcePrincipal }),
      },
      this.#clock,
    );
    if (metadata !== undefined) exchange.metadata = new Map(Object.entries(metadata));
    const cluster = this.engine === "proxy" ? PROXY_CLUSTER : "";
    exchange.decision = { routeName: this.#routeName, cluster, timeoutMs: 0, prepare: undefined, editReply: undefined };
    return exchange;
  }

  #witness(seen: Witnessed): void {
    this.fuelUsed += seen.fuel;
    this.#underway.get(seen.exchange.requestId)?.seen.push(seen);
  }

  #received(received: ReceivedRequest, { headers }: Exchange): void {
    const named = this.#underway.get(headers.get("x-request-id") ?? "");
    // A filter may remove the id; then only a request that is alone is known.
    const [only] = this.#underway.size === 1 ? this.#underway.values() : [];
    const underway = named ?? only;
    if (underway !== undefined) underway.forwarded = received;
  }

  /** What a codec does after the last byte. A live proxy has done it itself. */
  #end(
    exchange: Exchange,
    reply: { status: number; flags: Exchange["flags"]; details: string },
    received: number,
    sent: number,
  ): void {
    if (this.engine === "proxy") return;
    exchange.status = reply.status;
    exchange.flags = reply.flags;
    exchange.details = reply.details;
    exchange.bytesReceived = received;
    exchange.bytesSent = sent;
    exchange.onEnd?.();
  }

  async #settle(): Promise<void> {
    await this.#engine.settle();
    await this.#stand?.settle();
  }

  #move(ms: number): void {
    this.#clock.advance(ms);
    this.#date.show();
  }

  #throwComplaints(): void {
    const [first] = this.#complaints;
    this.#complaints = [];
    if (first !== undefined) throw first;
  }
}

function lengthOf(body: TestBody | undefined): number {
  if (body === undefined) return 0;
  const pieces = typeof body === "string" || body instanceof Uint8Array ? [body] : body;
  return pieces.reduce((sum, piece) => sum + bytesOf(piece).length, 0);
}
