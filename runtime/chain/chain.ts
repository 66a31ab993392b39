// A chain of filters as a layer of the request path: requests go down the list, replies come up. It is compiled once,
// when configuration is applied; an exchange that no filter makes wait meets no `await`.
import type { Answer, Clock, Exchange, Layer, Outcome, Service } from "../exchange/exchange.ts";
import { charge } from "../exchange/filter-cost.ts";
import type { Observer } from "../exchange/observer.ts";
import type { Reply } from "../exchange/reply.ts";
import { continued, promised, type Step } from "../exchange/later.ts";
import type { Phase } from "../contract/bundle.ts";
import { Circuit } from "./circuit.ts";
import { fuelOf, type Filter, type Verdict } from "./filter.ts";
import { applyFailurePolicy, failedVerdict } from "./on-failure.ts";
import { orderFilters } from "./stage.ts";

/** Who is told of each run. */
export type RunObserver = Pick<Observer, "filterRan" | "circuitChanged">;

/** The filters, ordered, around the next stage. Without filters, the next stage itself. */
export function compileChain(filters: readonly Filter[], observer: RunObserver, clock: Clock): Layer {
  if (filters.length === 0) return (next) => next;
  const ordered = orderFilters(filters);
  return function chainFilters(next) {
    const chain = new Chain(ordered, next, observer, clock);
    if (!ordered.some(({ log }) => log !== undefined)) {
      return function runChain(exchange) {
        return chain.down(exchange, 0);
      };
    }
    return function runLoggedChain(exchange) {
      chain.watch(exchange);
      return chain.down(exchange, 0);
    };
  };
}

/** A filter and whether it may be asked. */
interface Link {
  readonly filter: Filter;
  readonly circuit: Circuit;
  /** The verdict while it is not asked. */
  readonly resting: Verdict;
}

class Chain {
  readonly #links: readonly Link[];
  readonly #next: Service;
  readonly #observer: RunObserver;
  readonly #clock: Clock;
  readonly #hasResponses: boolean;
  /** Monotonic; when the last filter had answered, or the first was about to be asked. */
  #toldAtMs = 0;
  readonly #allUp: Step;

  constructor(filters: readonly Filter[], next: Service, observer: RunObserver, clock: Clock) {
    this.#links = filters.map((filter) => ({
      filter,
      circuit: new Circuit(),
      resting: failedVerdict(filter.name, "keeps failing, and is not asked for a while"),
    }));
    this.#next = next;
    this.#observer = observer;
    this.#clock = clock;
    this.#hasResponses = filters.some(({ response }) => response !== undefined);
    this.#allUp = (outcome, exchange) =>
      outcome.ok ? this.#up(exchange, outcome.value, this.#links.length - 1) : outcome;
  }

  /** The request, from filter `from` on. */
  down(exchange: Exchange, from: number): Answer {
    // When one filter has answered, the next begins: one reading of the clock serves both.
    this.#toldAtMs = this.#clock.monotonic();
    for (let index = from; index < this.#links.length; index++) {
      const link = this.#links[index];
      if (link?.filter.request === undefined) continue;
      const startedMs = this.#toldAtMs;
      const pending = link.circuit.allows(startedMs) ? link.filter.request(exchange) : link.resting;
      if (pending instanceof Promise) {
        return pending.then(
          (verdict) =>
            this.#decideDown(exchange, index, this.#tell(exchange, link, "request", startedMs, verdict)) ??
            promised(this.down(exchange, index + 1)),
        );
      }
      const outcome = this.#decideDown(exchange, index, this.#tell(exchange, link, "request", startedMs, pending));
      if (outcome !== undefined) return outcome;
    }
    if (!this.#hasResponses) return this.#next(exchange);
    return continued(this.#next(exchange), exchange, this.#allUp);
  }

  /** The outcome, where the verdict of filter `index` ends the way down. A reply goes up through the filters before it alone: the others have not seen the request. */
  #decideDown(exchange: Exchange, index: number, verdict: Verdict): Outcome | Promise<Outcome> | undefined {
    switch (verdict.kind) {
      case "proceed":
        return undefined;
      case "reply":
        return this.#up(exchange, verdict.reply, index - 1);
      case "failed":
        return { ok: false, error: verdict.failure };
    }
  }

  /** The reply, from filter `from` back to the first. */
  #up(exchange: Exchange, reply: Reply, from: number): Outcome | Promise<Outcome> {
    let current = reply;
    this.#toldAtMs = this.#clock.monotonic();
    for (let index = from; index >= 0; index--) {
      const link = this.#links[index];
      if (link?.filter.response === undefined) continue;
      const startedMs = this.#toldAtMs;
      const pending = link.circuit.allows(startedMs) ? link.filter.response(exchange, current) : link.resting;
      if (pending instanceof Promise) {
        const seen = current;
        return pending.then((verdict) => {
          const decided = decideUp(seen, this.#tell(exchange, link, "response", startedMs, verdict));
          return decided.ok ? this.#up(exchange, decided.value, index - 1) : decided;
        });
      }
      const verdict = this.#tell(exchange, link, "response", startedMs, pending);
      if (verdict.kind === "proceed") continue;
      const decided = decideUp(current, verdict);
      if (!decided.ok) return decided;
      current = decided.value;
    }
    exchange.reply = current;
    return { ok: true, value: current };
  }

  /** Filters that look at exchanges which are over are asked when this one is. */
  watch(exchange: Exchange): void {
    const before = exchange.onEnd;
    exchange.onEnd = () => {
      exchange.endedMonoMs = this.#clock.monotonic();
      for (const link of this.#links) {
        if (link.filter.log === undefined || !link.circuit.allows(exchange.endedMonoMs)) continue;
        const pending = link.filter.log(exchange);
        if (pending instanceof Promise)
          void pending.then((verdict) => this.#tell(exchange, link, "log", exchange.endedMonoMs, verdict));
        else this.#tell(exchange, link, "log", exchange.endedMonoMs, pending);
      }
      before?.();
    };
  }

  /** Tells the observer how the call went, and applies the failure policy. */
  #tell(exchange: Exchange, link: Link, phase: Phase, startedMs: number, verdict: Verdict): Verdict {
    const { filter } = link;
    const isResting = verdict === link.resting;
    const fuel = isResting ? 0 : fuelOf(filter, verdict);
    const nowMs = this.#clock.monotonic();
    this.#toldAtMs = nowMs;
    const failure = verdict.kind === "failed" ? verdict.failure : undefined;
    const isCancelled = failure !== undefined && failure.kind !== "filter_failed";
    this.#observer.filterRan({
      filter: filter.name,
      phase,
      outcome: isCancelled ? "cancelled" : verdict.kind,
      failure,
      kept: isResting ? undefined : filter.wasKept,
      fuel,
      tookMs: nowMs - startedMs,
    });
    if (fuel > 0) charge(exchange, filter.name, fuel, nowMs - startedMs);
    if (!isResting) this.#count(link, isCancelled ? undefined : failure !== undefined, nowMs);
    return applyFailurePolicy(filter, verdict);
  }

  /** `hasFailed`: `undefined` where the filter was kept from deciding. */
  #count({ filter, circuit }: Link, hasFailed: boolean | undefined, nowMs: number): void {
    const changed = hasFailed === undefined ? circuit.forget() : circuit.record(hasFailed, nowMs);
    if (changed !== undefined) this.#observer.circuitChanged(filter.name, changed);
  }
}

/** The reply that goes on up; one that is replaced or given up lets go of its body. */
function decideUp(reply: Reply, verdict: Verdict): Outcome {
  switch (verdict.kind) {
    case "proceed":
      return { ok: true, value: reply };
    case "reply":
      reply.body.cancel();
      return { ok: true, value: verdict.reply };
    case "failed":
      reply.body.cancel();
      return { ok: false, error: verdict.failure };
  }
}
