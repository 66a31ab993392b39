// Rules once an exchange has ended: the outermost layer, so that what no route or filter let through is told of too.
import { phaseOf } from "../contract/adapter.ts";
import type { Rule } from "../contract/rule.ts";
import type { Clock, Exchange, Layer, Outcome } from "../exchange/exchange.ts";
import { continued } from "../exchange/later.ts";
import type { Instance, Reporting } from "./adapter.ts";
import type { NamedAdapter } from "./dispatch.ts";
import { compileInstance, compileMatch, type RuleSurroundings } from "./instance.ts";

/** Whom a rule tells, and what. */
interface Telling {
  readonly matches: ((exchange: Exchange) => boolean) | undefined;
  readonly instanceOf: (exchange: Exchange) => Instance;
  readonly reporting: Reporting;
}

/** The rules that tell; `undefined` where none does, and an exchange costs nothing then. */
export function compileReports(
  rules: readonly Rule[],
  adapters: ReadonlyMap<string, NamedAdapter>,
  surroundings: RuleSurroundings,
  clock: Clock,
): Layer | undefined {
  const tellings = rules.flatMap((rule) =>
    rule.actions.flatMap((action): readonly Telling[] => {
      const adapter = adapters.get(action.adapter);
      const reporting = adapter?.live.backend.report;
      if (adapter === undefined || reporting === undefined || phaseOf(adapter.config.backend, action) !== "report")
        return [];
      const matches = compileMatch(rule, surroundings);
      return [{ matches, instanceOf: compileInstance(action, rule, surroundings), reporting }];
    }),
  );
  if (tellings.length === 0) return undefined;

  function tell(exchange: Exchange): void {
    if (exchange.endedMonoMs === 0) exchange.endedMonoMs = clock.monotonic();
    for (const { matches, instanceOf, reporting } of tellings) {
      if (matches?.(exchange) !== false) reporting.add(instanceOf(exchange), exchange);
    }
  }
  return (next) => {
    return function reportExchange(exchange) {
      const before = exchange.onEnd;
      exchange.onEnd = () => {
        tell(exchange);
        before?.();
      };
      return continued(next(exchange), exchange, keepReply);
    };
  };
}

/** Reports read the reply as the client got it. */
function keepReply(outcome: Outcome, exchange: Exchange): Outcome {
  if (outcome.ok) exchange.reply = outcome.value;
  return outcome;
}
