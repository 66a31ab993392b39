// An exchange again, for who decides about it beside the one that is answered: nothing that is done to it reaches the other.
import type { Body } from "../exchange/body.ts";
import { Exchange } from "../exchange/exchange.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { Reply } from "../exchange/reply.ts";

/** The request as it is now. */
export function copyExchange(exchange: Exchange, body: Body): Exchange {
  const { downstream, method, path, authority, protocol, headers, startedAtMs, startedMonoMs } = exchange;
  const clock = { now: () => startedAtMs, monotonic: () => startedMonoMs };
  const copy = new Exchange(downstream, method, path, authority, protocol, HeaderMap.from(headers), body, clock);
  copy.scheme = exchange.scheme;
  copy.upgrade = exchange.upgrade;
  copy.decision = exchange.decision;
  copy.originalPath = exchange.originalPath;
  copy.metadata = exchange.metadata === undefined ? undefined : new Map(exchange.metadata);
  copy.isGrpc = exchange.isGrpc;
  copy.isGrpcWeb = exchange.isGrpcWeb;
  copy.service = exchange.service;
  copy.upstreamHost = exchange.upstreamHost;
  copy.details = exchange.details;
  copy.requestId = exchange.requestId;
  return copy;
}

/** The reply as it is now. */
export function copyReply(reply: Reply, body: Body): Reply {
  const copy = new Reply(reply.status, reply.reason, HeaderMap.from(reply.headers), body);
  copy.details = reply.details;
  copy.flags = reply.flags;
  return copy;
}
