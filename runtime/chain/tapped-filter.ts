// A filter that can be looked at while it runs. Where nobody looks, its handlers are the filter's own: the chain calls them
// without a step in between.
import type { Exchange } from "../exchange/exchange.ts";
import type { Reply } from "../exchange/reply.ts";
import { CanaryFilter } from "./canary.ts";
import { fuelOf, type Filter, type Verdict } from "./filter.ts";
import type { TrialPhase } from "./trial.ts";

/** One call of a handler, before it is made. */
export interface WatchedCall {
  readonly phase: TrialPhase;
  readonly exchange: Exchange;
  readonly reply: Reply | undefined;
}

/** How it ended. */
export interface EndedCall extends WatchedCall {
  readonly verdict: Verdict;
  readonly version: "live" | "candidate";
  readonly fuel: number;
}

/** Looks at calls. Never throws, never waits. */
export interface CallWatcher {
  /** Returns what is told of its end; `undefined` where it is not looked at. */
  begin(call: WatchedCall): ((ended: EndedCall) => void) | undefined;
  /** Lines that are written until `left` are of this exchange. */
  entered(exchange: Exchange): void;
  left(): void;
}

export class TappedFilter implements Filter {
  readonly name: string;
  readonly stage: Filter["stage"];
  readonly priority: number;
  readonly failurePolicy: Filter["failurePolicy"];
  request?: Filter["request"] & {};
  response?: Filter["response"] & {};
  log?: Filter["log"] & {};
  readonly connection?: Filter["connection"] & {};
  readonly #filter: Filter;

  constructor(filter: Filter) {
    this.#filter = filter;
    this.name = filter.name;
    this.stage = filter.stage;
    this.priority = filter.priority;
    this.failurePolicy = filter.failurePolicy;
    if (filter.connection !== undefined) this.connection = filter.connection;
    this.watch(undefined);
  }

  get fuelUsed(): number {
    return this.#filter.fuelUsed;
  }

  get wasKept(): boolean | undefined {
    return this.#filter.wasKept;
  }

  /** From the next call on; `undefined` for nobody. */
  watch(watcher: CallWatcher | undefined): void {
    const { request, response, log } = this.#filter;
    const ask = watcher === undefined ? undefined : asking(this.#filter, watcher);
    if (request !== undefined) {
      this.request =
        ask === undefined ? request : (exchange) => ask("request", exchange, undefined, () => request(exchange));
    }
    if (response !== undefined) {
      this.response =
        ask === undefined
          ? response
          : (exchange, reply) => ask("response", exchange, reply, () => response(exchange, reply));
    }
    if (log !== undefined) {
      this.log = ask === undefined ? log : (exchange) => ask("log", exchange, undefined, () => log(exchange));
    }
  }

  stop(): void {
    this.#filter.stop();
  }
}

type Ask = (
  phase: TrialPhase,
  exchange: Exchange,
  reply: Reply | undefined,
  run: () => Verdict | Promise<Verdict>,
) => Verdict | Promise<Verdict>;

function asking(filter: Filter, watcher: CallWatcher): Ask {
  return (phase, exchange, reply, run) => {
    const end = watcher.begin({ phase, exchange, reply });
    if (end === undefined) return run();
    const ended = (verdict: Verdict): Verdict => {
      const version = filter instanceof CanaryFilter ? filter.decidedBy(exchange) : "live";
      end({ phase, exchange, reply, verdict, version, fuel: fuelOf(filter, verdict) });
      return verdict;
    };
    watcher.entered(exchange);
    const pending = run();
    watcher.left();
    return pending instanceof Promise ? pending.then(ended) : ended(pending);
  };
}
