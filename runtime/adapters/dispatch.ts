// Rules before a request goes on: a filter of the proxy's own in the chain, after those that say who asks and may ask, before
// those that count. Checks come first, and only what all of them allow is charged.
import type { Filter, Verdict } from "../chain/filter.ts";
import { PROCEED } from "../chain/filter.ts";
import type { Action, Rule } from "../contract/rule.ts";
import { phaseOf, type Adapter } from "../contract/adapter.ts";
import type { Exchange, Waiter } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import type { Instance, Question } from "./adapter.ts";
import { compileInstance, compileMatch, type RuleSurroundings } from "./instance.ts";
import type { Answered, LiveAdapter } from "./live-adapter.ts";
import { CODES, refusal } from "./refusal.ts";

/** An adapter and what it was made of. */
export interface NamedAdapter {
  readonly config: Adapter;
  readonly live: LiveAdapter;
}

/** One question of one rule. */
interface Step {
  readonly matches: ((exchange: Exchange) => boolean) | undefined;
  readonly instanceOf: (exchange: Exchange) => Instance;
  readonly phase: "check" | "quota";
  readonly adapter: LiveAdapter;
  readonly isBestEffort: boolean;
}

/** Highest, so that it is the first of its stage. */
const PRIORITY = 2 ** 31 - 1;

/** The rules that ask; `undefined` where none does, and a request costs nothing then. */
export function compileDispatch(
  rules: readonly Rule[],
  adapters: ReadonlyMap<string, NamedAdapter>,
  surroundings: RuleSurroundings,
): Filter | undefined {
  const steps = rules.flatMap((rule) => rule.actions.flatMap((action) => stepOf(rule, action, adapters, surroundings)));
  if (steps.length === 0) return undefined;
  const checksFirst = [
    ...steps.filter(({ phase }) => phase === "check"),
    ...steps.filter(({ phase }) => phase === "quota"),
  ];
  return {
    name: "adapters",
    stage: "ratelimit",
    priority: PRIORITY,
    // Each adapter has a policy of its own, so that this filter never fails.
    failurePolicy: "closed",
    fuelUsed: 0,
    wasKept: undefined,
    request: (exchange) => new Inquiry(checksFirst, exchange).from(0),
    stop: () => undefined,
  };
}

function stepOf(
  rule: Rule,
  action: Action,
  adapters: ReadonlyMap<string, NamedAdapter>,
  surroundings: RuleSurroundings,
): readonly Step[] {
  const adapter = adapters.get(action.adapter);
  const phase = adapter && phaseOf(adapter.config.backend, action);
  if (adapter === undefined || phase === undefined || phase === "report") return [];
  return [
    {
      matches: compileMatch(rule, surroundings),
      instanceOf: compileInstance(action, rule, surroundings),
      phase,
      adapter: adapter.live,
      isBestEffort: action.bestEffort,
    },
  ];
}

/** The questions about one request. */
class Inquiry {
  readonly #steps: readonly Step[];
  readonly #exchange: Exchange;
  #controller: AbortController | undefined = undefined;
  #cause: Failure | undefined = undefined;
  #asked = 0;
  #fuel = 0;
  #isCached = true;

  constructor(steps: readonly Step[], exchange: Exchange) {
    this.#steps = steps;
    this.#exchange = exchange;
  }

  from(first: number): Verdict | Promise<Verdict> {
    for (let index = first; index < this.#steps.length; index++) {
      const step = this.#steps[index];
      if (step === undefined || step.matches?.(this.#exchange) === false) continue;
      const answered = step.adapter.ask(step.phase, this.#question(step));
      if (answered instanceof Promise) return this.#wait(answered, step, index);
      const verdict = this.#decide(answered, step);
      if (verdict !== undefined) return verdict;
    }
    if (this.#asked > 0) this.#exchange.checked = { errorCode: 0, errorMessage: "", isCached: this.#isCached };
    return this.#charged(PROCEED);
  }

  #question({ instanceOf, isBestEffort }: Step): Question {
    const signalOf = (): AbortSignal => (this.#controller ??= new AbortController()).signal;
    return {
      instance: instanceOf(this.#exchange),
      exchange: this.#exchange,
      isBestEffort,
      get signal() {
        return signalOf();
      },
    };
  }

  /** While an adapter takes its time it is told when the client leaves; whoever waited before is told too. */
  #wait(answered: Promise<Answered>, step: Step, index: number): Promise<Verdict> {
    const exchange = this.#exchange;
    const before = exchange.waiter;
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    const waiter: Waiter = {
      aborted: (cause) => {
        before?.aborted(cause);
        this.#cause = cause;
        this.#controller?.abort();
        resolve({ kind: "failed", failure: cause });
      },
    };
    exchange.waiter = waiter;
    const decided = answered.then((late) => {
      if (exchange.waiter === waiter) exchange.waiter = before;
      return this.#cause === undefined ? (this.#decide(late, step) ?? this.from(index + 1)) : promise;
    });
    return Promise.race([promise, decided]);
  }

  /** The verdict, where the answer ends it. */
  #decide({ answer, isCached }: Answered, { adapter, phase }: Step): Verdict | undefined {
    this.#asked++;
    this.#isCached &&= isCached;
    if (!isCached) this.#fuel += answer.fuel ?? 0;
    switch (answer.kind) {
      case "allowed":
        return undefined;
      case "refused":
        return this.#refuse(answer.refusal);
      case "failed": {
        const policy = adapter.failurePolicy ?? (phase === "check" ? "closed" : "open");
        if (policy === "open") return undefined;
        // What went wrong inside is for logs.
        const { reply } = refusal({ adapter: adapter.name, status: 503, message: "" });
        return this.#refuse({ code: CODES.unavailable, message: `${adapter.name} failed`, reply });
      }
    }
  }

  #refuse({ code, message, reply }: ReturnType<typeof refusal>): Verdict {
    this.#exchange.checked = { errorCode: code, errorMessage: message, isCached: this.#isCached };
    return this.#charged({ kind: "reply", reply: reply() });
  }

  /** A verdict with what was spent for it. */
  #charged(verdict: Verdict): Verdict {
    return this.#fuel === 0 ? verdict : { ...verdict, fuel: this.#fuel };
  }
}
