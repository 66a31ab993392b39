// A filter whose candidate decides in its place for a share of the exchanges. Both phases of an exchange meet the same
// version; where the candidate fails, the live version decides, so that a bad version costs its share some time and nothing
// else. A filter without a candidate is never wrapped.
import type { Exchange } from "../exchange/exchange.ts";
import type { Reply } from "../exchange/reply.ts";
import { CandidateHealth } from "./candidate-health.ts";
import { PROCEED, type Filter, type Verdict } from "./filter.ts";
import { ask, failureOf, isCancelled, summaryOf, type TrialParts, type TrialPhase } from "./trial.ts";

type Handler = (exchange: Exchange, reply?: Reply) => Verdict | Promise<Verdict>;

export class CanaryFilter implements Filter {
  readonly name: string;
  readonly stage: Filter["stage"];
  readonly priority: number;
  readonly failurePolicy: Filter["failurePolicy"];
  readonly request?: Filter["request"] & {};
  readonly response?: Filter["response"] & {};
  readonly log?: Filter["log"] & {};
  /** The live version's: connections are nobody's share. */
  readonly connection?: Filter["connection"] & {};
  /** Of the version that answered last. */
  fuelUsed = 0;
  wasKept: boolean | undefined = undefined;
  readonly #parts: TrialParts;
  readonly #health = new CandidateHealth();
  /** Exchanges that the candidate decides about. */
  readonly #chosen = new WeakSet<Exchange>();
  /** The phase in which an exchange is chosen: the first that either version has. */
  readonly #first: TrialPhase;
  #isStopped = false;

  constructor(parts: TrialParts) {
    const { live, candidate } = parts;
    this.#parts = parts;
    this.name = live.name;
    this.stage = live.stage;
    this.priority = live.priority;
    this.failurePolicy = live.failurePolicy;
    const has = (phase: TrialPhase): boolean => live[phase] !== undefined || candidate[phase] !== undefined;
    this.#first = has("request") ? "request" : has("response") ? "response" : "log";
    const handler =
      (phase: TrialPhase): Handler =>
      (exchange, reply) =>
        this.#run(phase, exchange, reply);
    if (has("request")) this.request = handler("request");
    if (has("response")) this.response = handler("response");
    if (has("log")) this.log = handler("log");
    if (live.connection !== undefined) this.connection = live.connection;
  }

  /** Which version decides about an exchange. */
  decidedBy(exchange: Exchange): "live" | "candidate" {
    return !this.#isStopped && this.#chosen.has(exchange) ? "candidate" : "live";
  }

  stop(): void {
    this.#parts.watch.ended();
  }

  #run(phase: TrialPhase, exchange: Exchange, reply: Reply | undefined): Verdict | Promise<Verdict> {
    if (this.#isStopped) return this.#runLive(phase, exchange, reply);
    if (phase === this.#first && this.#parts.choose(exchange)) this.#chosen.add(exchange);
    if (!this.#chosen.has(exchange)) return this.#runLive(phase, exchange, reply);
    const { candidate, clock } = this.#parts;
    const startedMs = clock.monotonic();
    const bodyBefore = (reply ?? exchange).body;
    const pending = ask(candidate, phase, exchange, reply);
    if (pending === undefined) return PROCEED;
    if (!(pending instanceof Promise)) return this.#decided(phase, exchange, reply, pending, startedMs);
    return pending.then((verdict) => {
      const { body } = reply ?? exchange;
      // It may have begun to read a body that it did not put back: nobody else can read it then.
      if (failureOf(verdict) !== undefined && body === bodyBefore && body.lengthBytes !== 0) {
        this.#count(phase, exchange, verdict, startedMs);
        return verdict;
      }
      return this.#decided(phase, exchange, reply, verdict, startedMs);
    });
  }

  /** The candidate's verdict, or where it failed the live version's: nothing of a failed call was applied. */
  #decided(
    phase: TrialPhase,
    exchange: Exchange,
    reply: Reply | undefined,
    verdict: Verdict,
    startedMs: number,
  ): Verdict | Promise<Verdict> {
    this.#count(phase, exchange, verdict, startedMs);
    if (failureOf(verdict) === undefined) return verdict;
    this.#chosen.delete(exchange);
    return this.#runLive(phase, exchange, reply);
  }

  #count(phase: TrialPhase, exchange: Exchange, verdict: Verdict, startedMs: number): void {
    const { candidate, watch, clock } = this.#parts;
    this.fuelUsed = candidate.fuelUsed;
    this.wasKept = candidate.wasKept;
    if (isCancelled(verdict)) return;
    const nowMs = clock.monotonic();
    const failure = failureOf(verdict);
    watch.ran("candidate", failure !== undefined, nowMs - startedMs);
    if (failure !== undefined) watch.candidateFailed({ phase, exchange, failure });
    const reason = this.#health.record(failure !== undefined, nowMs);
    if (reason === undefined || this.#isStopped) return;
    this.#isStopped = true;
    watch.stopped(failure === undefined ? reason : `${reason}; the last: ${summaryOf(failure)}`);
  }

  #runLive(phase: TrialPhase, exchange: Exchange, reply: Reply | undefined): Verdict | Promise<Verdict> {
    const { live, clock } = this.#parts;
    const startedMs = clock.monotonic();
    const pending = ask(live, phase, exchange, reply);
    if (pending === undefined) return PROCEED;
    return pending instanceof Promise
      ? pending.then((verdict) => this.#countLive(verdict, startedMs))
      : this.#countLive(pending, startedMs);
  }

  #countLive(verdict: Verdict, startedMs: number): Verdict {
    const { live, watch, clock } = this.#parts;
    this.fuelUsed = live.fuelUsed;
    this.wasKept = live.wasKept;
    if (!isCancelled(verdict)) watch.ran("live", failureOf(verdict) !== undefined, clock.monotonic() - startedMs);
    return verdict;
  }
}
