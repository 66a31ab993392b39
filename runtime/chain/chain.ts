// A chain of filters as a layer of the request path: requests go down the list, replies come up. It is compiled once,
// when configuration is applied; an exchange that no filter makes wait meets no `await`.
import type { Answer, Clock, Exchange, Layer, Outcome, Service } from "../exchange/exchange.ts";
import type { Observer } from "../exchange/observer.ts";
import type { Reply } from "../exchange/reply.ts";
import { continued, promised, type Step } from "../exchange/later.ts";
import type { Filter, Verdict } from "./filter.ts";
import { applyFailurePolicy } from "./on-failure.ts";
import { orderFilters } from "./stage.ts";

/** Who is told of each run. */
export type RunObserver = Pick<Observer, "filterRan">;

/** The filters, ordered, around the next stage. Without filters, the next stage itself. */
export function compileChain(filters: readonly Filter[], observer: RunObserver, clock: Clock): Layer {
  if (filters.length === 0) return (next) => next;
  const ordered = orderFilters(filters);
  return function chainFilters(next) {
    const chain = new Chain(ordered, next, observer, clock);
    return function runChain(exchange) {
      return chain.down(exchange, 0);
    };
  };
}

class Chain {
  readonly #filters: readonly Filter[];
  readonly #next: Service;
  readonly #observer: RunObserver;
  readonly #clock: Clock;
  readonly #hasResponses: boolean;
  readonly #allUp: Step;

  constructor(filters: readonly Filter[], next: Service, observer: RunObserver, clock: Clock) {
    this.#filters = filters;
    this.#next = next;
    this.#observer = observer;
    this.#clock = clock;
    this.#hasResponses = filters.some(({ response }) => response !== undefined);
    this.#allUp = (outcome, exchange) =>
      outcome.ok ? this.#up(exchange, outcome.value, this.#filters.length - 1) : outcome;
  }

  /** The request, from filter `from` on. */
  down(exchange: Exchange, from: number): Answer {
    for (let index = from; index < this.#filters.length; index++) {
      const filter = this.#filters[index];
      if (filter?.request === undefined) continue;
      const startedMs = this.#clock.monotonic();
      const pending = filter.request(exchange);
      if (pending instanceof Promise) {
        return pending.then(
          (verdict) =>
            this.#decideDown(exchange, index, this.#tell(filter, "request", startedMs, verdict)) ??
            promised(this.down(exchange, index + 1)),
        );
      }
      const outcome = this.#decideDown(exchange, index, this.#tell(filter, "request", startedMs, pending));
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
    for (let index = from; index >= 0; index--) {
      const filter = this.#filters[index];
      if (filter?.response === undefined) continue;
      const startedMs = this.#clock.monotonic();
      const pending = filter.response(exchange, current);
      if (pending instanceof Promise) {
        const seen = current;
        return pending.then((verdict) => {
          const decided = decideUp(seen, this.#tell(filter, "response", startedMs, verdict));
          return decided.ok ? this.#up(exchange, decided.value, index - 1) : decided;
        });
      }
      const decided = decideUp(current, this.#tell(filter, "response", startedMs, pending));
      if (!decided.ok) return decided;
      current = decided.value;
    }
    return { ok: true, value: current };
  }

  /** Tells the observer how the call went, and applies the failure policy. */
  #tell(filter: Filter, phase: "request" | "response", startedMs: number, verdict: Verdict): Verdict {
    this.#observer.filterRan({
      filter: filter.name,
      phase,
      outcome: verdict.kind,
      failure: verdict.kind === "failed" ? verdict.failure : undefined,
      fuel: filter.fuelUsed,
      tookMs: this.#clock.monotonic() - startedMs,
    });
    return applyFailurePolicy(filter, verdict);
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
