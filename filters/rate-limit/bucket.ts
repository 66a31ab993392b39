// A token bucket as one number that many workers add to: the generic cell rate algorithm (ITU-T I.371) on a shared counter. The
// number is the time at which the bucket will be full again; a request moves it on by the time of one token, and is refused
// where that would lie further ahead than all tokens take. Pure.
import type { Shared } from "../../sdk/index.ts";

/** A bucket's measures. */
export interface Bucket {
  /** Counters begin anew after so long, and buckets are full then: once in a thousand of their own times, of very fast ones once in twenty. */
  readonly windowMs: number;
  /** The counter's unit of time. */
  readonly unitsPerMs: number;
  /** Units of one token, and of all of them. */
  readonly token: number;
  readonly all: number;
  readonly burst: number;
}

/** What a limit says of one request. */
export interface Standing {
  readonly isAllowed: boolean;
  /** How many more would be allowed now. */
  readonly remaining: number;
  /** Until all are there again; where it is refused, until one is. */
  readonly resetMs: number;
}

/** Counters hold 32 bits. */
const UNITS_MAX = 4_000_000_000;
const WINDOW_MAX_MS = 86_400_000;
/** A token of so many units is as good as exact. */
const TOKEN_UNITS = 1000;
/** A token of fewer units is off by more than a percent. */
const TOKEN_MIN = 50;
/** Workers that find a bucket idle at the same time see each other's mark and look again. */
const ATTEMPTS_MAX = 8;

/** The measures of `requests` per `per`, or why it cannot be counted. */
export function compileBucket(limit: {
  readonly requests: number;
  readonly per: number;
  readonly burst?: number | undefined;
}): Bucket | string {
  const burst = limit.burst ?? limit.requests;
  const tokenMs = limit.per / limit.requests;
  const allMs = tokenMs * burst;
  const exactMs = (UNITS_MAX * tokenMs) / TOKEN_UNITS - allMs;
  const windowMs = Math.round(Math.min(WINDOW_MAX_MS, Math.max(allMs * 20, Math.min(allMs * 1000, exactMs))));
  const unitsPerMs = Math.floor(UNITS_MAX / (windowMs + allMs));
  const token = Math.round(tokenMs * unitsPerMs);
  if (token < TOKEN_MIN) return `are too many and too fast to be counted with a burst of ${burst}; use fixed_window`;
  return { windowMs, unitsPerMs, token, all: token * burst, burst };
}

/** Takes a token of a key's bucket, where there is one. */
export function takeToken(shared: Shared, key: string, { windowMs, unitsPerMs, token, all }: Bucket): Standing {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const { value: fullAt, resetMs } = shared.incr(key, 0, { windowMs });
    const now = Math.floor((windowMs - resetMs) * unitsPerMs);
    const missing = Math.max(0, fullAt - now);
    if (missing + token > all)
      return { isAllowed: false, remaining: 0, resetMs: Math.ceil((missing + token - all) / unitsPerMs) };
    const moved = shared.incr(key, Math.max(now, fullAt) + token - fullAt, { windowMs, limit: now + all });
    if (moved.ok) {
      const left = missing + token;
      return {
        isAllowed: true,
        remaining: Math.floor((all - left) / token),
        resetMs: Math.ceil(left / unitsPerMs),
      };
    }
  }
  // So many others at once that this one never found the bucket as it had seen it.
  return { isAllowed: false, remaining: 0, resetMs: Math.ceil(token / unitsPerMs) };
}
