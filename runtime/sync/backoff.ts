// How long to wait before the next attempt.
import type { Random } from "../exchange/exchange.ts";

/** Half fixed, half random, doubling from `minMs` up to `maxMs`: a thousand proxies that lost control do not come back at once. */
export function jitteredBackoffMs(failures: number, minMs: number, maxMs: number, random: Random): number {
  const spanMs = Math.min(maxMs, minMs * 2 ** Math.min(failures, 30));
  return spanMs / 2 + (spanMs / 2) * random();
}
