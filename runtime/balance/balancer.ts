// Which endpoint takes a request. Pure: the randomness and the loads come from the caller.
import type { Random } from "../exchange/exchange.ts";

/** What a balancer knows of an endpoint. */
export interface Candidate {
  /** Share, 1 or more. */
  readonly weight: number;
  /** Requests in flight to it from this proxy. */
  readonly activeRequests: number;
}

/** Picks one of the candidates it was built for; `undefined` when there are none. */
export type Balancer<T extends Candidate> = () => T | undefined;

export type BalancePolicy = "round_robin" | "least_request" | "random";

/** Builds a balancer over a fixed list; a new list needs a new balancer. */
export function compileBalancer<T extends Candidate>(
  policy: BalancePolicy,
  candidates: readonly T[],
  random: Random,
): Balancer<T> {
  switch (policy) {
    case "round_robin":
      return roundRobin(candidates, random);
    case "least_request":
      return leastRequest(candidates, random);
    case "random":
      return weightedRandom(candidates, random);
  }
}

/** In turn, from a random start so that many proxies do not begin at one endpoint. Unequal weights: smooth weighted round robin. */
function roundRobin<T extends Candidate>(candidates: readonly T[], random: Random): Balancer<T> {
  if (!isEven(candidates)) return smoothRoundRobin(candidates);
  let next = Math.floor(random() * candidates.length);
  return function pickInTurn() {
    const picked = candidates[next];
    next = next + 1 >= candidates.length ? 0 : next + 1;
    return picked;
  };
}

/** Each turn every endpoint gains its weight and the richest pays the sum: a weight of 5, 1, 1 gives a a b a c a a. */
function smoothRoundRobin<T extends Candidate>(candidates: readonly T[]): Balancer<T> {
  const credit = new Float64Array(candidates.length);
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  return function pickByCredit() {
    let best = 0;
    for (let index = 0; index < candidates.length; index++) {
      credit[index] = (credit[index] ?? 0) + (candidates[index]?.weight ?? 0);
      if ((credit[index] ?? 0) > (credit[best] ?? 0)) best = index;
    }
    credit[best] = (credit[best] ?? 0) - total;
    return candidates[best];
  };
}

/**
 * The less loaded of two random endpoints (Mitzenmacher, "The Power of Two Choices"). With unequal weights the two are
 * drawn by weight, and load is requests in flight for each unit of weight.
 */
function leastRequest<T extends Candidate>(candidates: readonly T[], random: Random): Balancer<T> {
  const draw = weightedRandom(candidates, random);
  return function pickLessLoaded() {
    const first = draw();
    const second = draw();
    if (first === undefined || second === undefined) return first;
    return first.activeRequests / first.weight <= second.activeRequests / second.weight ? first : second;
  };
}

function weightedRandom<T extends Candidate>(candidates: readonly T[], random: Random): Balancer<T> {
  if (candidates.length < 2) return () => candidates[0];
  if (isEven(candidates)) return () => candidates[Math.floor(random() * candidates.length)];
  const index = compileWeights(candidates.map(({ weight }) => weight));
  return () => candidates[index(random())];
}

function isEven(candidates: readonly Candidate[]): boolean {
  return candidates.every(({ weight }) => weight === candidates[0]?.weight);
}

/** Maps a number in [0, 1) to an index, each by its share of the weights. Weight 0 is never drawn; -1 when all are 0. */
export function compileWeights(weights: readonly number[]): (at: number) => number {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return () => -1;
  let sum = 0;
  const bounds = weights.map((weight) => (sum += weight) / total);
  return function draw(at) {
    for (let index = 0; index < bounds.length; index++) if (at < (bounds[index] ?? 1)) return index;
    return bounds.length - 1;
  };
}
