// Stage 3: the route is found on the way down, before the filters; what it changes is applied after them.
import type { Decision, Exchange, Layer, Outcome, Random } from "../exchange/exchange.ts";
import { failure } from "../exchange/failure.ts";
import { continued } from "../exchange/later.ts";
import type { RouteTable } from "./table.ts";

/** What happens to a request that no route matches; `undefined` fails it as `no_route`. */
export type Fallback = (exchange: Exchange) => Decision | undefined;

/** Sets `exchange.decision`. */
export function matchRoute(table: RouteTable, fallback: Fallback, random: Random): Layer {
  return (next) => {
    return function routeExchange(exchange) {
      const decision = table(exchange.authority, exchange)?.(random()) ?? fallback(exchange);
      if (decision === undefined) {
        return { ok: false, error: failure("no_route", `no route for ${exchange.authority}${exchange.path}`) };
      }
      exchange.decision = decision;
      return next(exchange);
    };
  };
}

/** Rewrites and header edits of the route, on the way down and up. */
export const applyRoute: Layer = (next) => {
  return function applyDecision(exchange) {
    const { decision } = exchange;
    decision?.prepare?.(exchange);
    if (decision?.editReply === undefined) return next(exchange);
    return continued(next(exchange), exchange, edited);
  };
};

function edited(outcome: Outcome, { decision }: Exchange): Outcome {
  if (outcome.ok) decision?.editReply?.(outcome.value.headers);
  return outcome;
}
