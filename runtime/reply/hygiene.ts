// The last look at a reply before it is encoded: what Envoy's router adds.
import type { Exchange, Layer, Outcome } from "../exchange/exchange.ts";
import { continued } from "../exchange/later.ts";

/** Adds `x-envoy-upstream-service-time`: milliseconds from the request's end to the reply's head. */
export const cleanReply: Layer = (next) => {
  return function cleanExchange(exchange) {
    return continued(next(exchange), exchange, cleaned);
  };
};

function cleaned(outcome: Outcome, exchange: Exchange): Outcome {
  if (outcome.ok && exchange.repliedMonoMs > 0) {
    outcome.value.headers.replace("x-envoy-upstream-service-time", serviceTime(exchange));
  }
  return outcome;
}

/** Whole milliseconds; `-` where no upstream answered. */
export function serviceTime(exchange: Exchange): string {
  return exchange.repliedMonoMs > 0 ? String(Math.round(exchange.repliedMonoMs - exchange.sentMonoMs)) : "-";
}
