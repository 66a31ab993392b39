// Stage 0 and 9: what every request carries so that it can be told apart later.
import type { Layer } from "../exchange/exchange.ts";

/** A random UUID. */
export type NewId = () => string;

/** Names the client's certificate to the application, which believes it (Envoy's XFCC). */
const CLIENT_CERTIFICATE = "x-forwarded-client-cert";

const ATTEMPT_COUNT = "x-envoy-attempt-count";

/** Gives a request its `x-request-id` (kept where the caller sent one, so that a trace spans hops) and Envoy's attempt and protocol headers. */
export function observe(newId: NewId): Layer {
  return (next) => {
    return function observeExchange(exchange) {
      const { headers } = exchange;
      // As Istio has Envoy do it (APPEND_FORWARD): only who has shown a certificate that holds may say whom it speaks for,
      // and who it is comes last.
      const { direction, tls } = exchange.downstream;
      if (direction === "outbound" || tls === undefined || tls.forwarded === "") headers.delete(CLIENT_CERTIFICATE);
      else {
        const said = headers.get(CLIENT_CERTIFICATE);
        headers.replace(CLIENT_CERTIFICATE, said === undefined ? tls.forwarded : `${said},${tls.forwarded}`);
      }
      const given = headers.get("x-request-id");
      const requestId = given ?? newId();
      exchange.requestId = requestId;
      headers.delete(ATTEMPT_COUNT);
      if (given === undefined && !headers.has("x-forwarded-proto"))
        headers.appendAll(["x-request-id", requestId, "x-forwarded-proto", exchange.scheme, ATTEMPT_COUNT, "1"]);
      else {
        if (given === undefined) headers.append("x-request-id", requestId);
        if (!headers.has("x-forwarded-proto")) headers.append("x-forwarded-proto", exchange.scheme);
        headers.append(ATTEMPT_COUNT, "1");
      }
      return next(exchange);
    };
  };
}
