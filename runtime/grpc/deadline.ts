// A gRPC client says how long it waits. Past that nobody reads the reply, so the upstream's work is cut there.
import type { Exchange } from "../exchange/exchange.ts";
import { parseGrpcTimeoutMs } from "./status.ts";

/**
 * The bound of an exchange, milliseconds, `0` for none: the route's, and for gRPC what `grpc-timeout` grants within it, as
 * Istio sets Envoy up (`max_grpc_timeout`).
 */
export function timeoutOf(exchange: Exchange): number {
  const routeMs = exchange.decision?.timeoutMs ?? 0;
  if (!exchange.isGrpc) return routeMs;
  const text = exchange.headers.get("grpc-timeout");
  const grantedMs = text === undefined ? undefined : parseGrpcTimeoutMs(text);
  if (grantedMs === undefined) return routeMs;
  return routeMs > 0 ? Math.min(routeMs, grantedMs) : grantedMs;
}
