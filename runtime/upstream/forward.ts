// The innermost stage: finds the cluster, checks that it has room, picks an endpoint and sends.
import type { LiveCluster } from "../cluster/cluster.ts";
import type { Answer, Clock, Exchange, Outcome, Service } from "../exchange/exchange.ts";
import { failure, type FailureKind } from "../exchange/failure.ts";
import { Attempt } from "./attempt.ts";
import type { Pool } from "./pool.ts";

/** A cluster with its connections. */
export interface Target {
  readonly cluster: LiveCluster;
  readonly pool: Pool;
}

/** For a cluster that is not listed: where the exchange goes all the same, or its outcome. */
export type FindTarget = (name: string, exchange: Exchange) => Target | Outcome;

/** Sends an exchange to the cluster that its route named. */
export function compileForward(targets: ReadonlyMap<string, Target>, findTarget: FindTarget, clock: Clock): Service {
  let lastName: string | undefined;
  let lastTarget: Target | undefined;
  return function forward(exchange: Exchange): Answer {
    const name = exchange.decision?.cluster ?? "";
    if (name !== lastName) {
      lastName = name;
      lastTarget = targets.get(name);
    }
    const target = lastTarget ?? findTarget(name, exchange);
    if ("ok" in target) return target;
    const { cluster, pool } = target;
    exchange.service = cluster.service;
    // The downstream may leave while a filter waits. Nobody would read the reply, and its body would never end.
    if (exchange.aborted) return deny("downstream_closed", "the downstream closed the connection before it was sent");
    if (cluster.activeRequests >= cluster.limits.maxRequests) {
      return deny("overloaded", `${cluster.activeRequests} requests are in flight to ${cluster.name}`);
    }
    const endpoint = cluster.pick();
    if (endpoint === undefined) return deny("no_healthy_endpoint", `${cluster.name} has no endpoint`);
    const attempt = new Attempt(exchange, cluster, pool, endpoint, clock);
    attempt.start();
    return attempt;
  };
}

function deny(kind: FailureKind, message: string): Outcome {
  return { ok: false, error: failure(kind, message) };
}
