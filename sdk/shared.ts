// What a filter shares with itself: the same counters and values in every worker of a proxy, and after a new version of it.
import { toBytes } from "./bytes.ts";
import type { Host } from "./host.ts";

/** How a counter counts. */
export interface CounterWindow {
  /** A count begins anew after so long, at whole multiples of it since the epoch; 1 to 86,400,000 (a day). */
  readonly windowMs: number;
  /** The most that is allowed in a window. Default: none. */
  readonly limit?: number;
}

/** What a counter says. */
export interface Increment {
  /** Whether the limit allowed it; where it did not, nothing was counted. */
  readonly ok: boolean;
  /** Counted in this window. */
  readonly value: number;
  /** What the limit leaves; `Infinity` without one. */
  readonly remaining: number;
  /** Until the window is over. */
  readonly resetMs: number;
}

/** A value and its version. */
export interface SharedEntry {
  readonly value: Uint8Array;
  /** Larger with each change, and never there twice. */
  readonly version: number;
}

/** How a value is kept. */
export interface Keeping {
  /** How long it stays, unless it is replaced before; 1 to 86,400,000 (a day). Default: an hour. */
  readonly ttlMs?: number;
}

/** Shared by all calls of a filter, in all workers. Keys have 1 to 1024 characters. All of these throw where a bound is passed. */
export interface Shared {
  /**
   * Counts `count` more for a key, where the limit allows it; `0` only looks. Windows of other lengths are other counters.
   * Some 16,000 keys count exactly; beyond that, those with the smallest counts begin again before their time.
   */
  incr(key: string, count: number, window: CounterWindow): Increment;
  /** The value of a key; `undefined` where it has none. */
  get(key: string): SharedEntry | undefined;
  /**
   * Replaces the value of a key, up to 4096 bytes, if its version is still the one that was read; `0` where it had no value.
   * The new version, or `undefined` where somebody was faster. Some 200 values are kept; throws where there are more.
   */
  cas(key: string, value: string | Uint8Array, version: number, keeping?: Keeping): number | undefined;
  /** Whether there was a value. */
  delete(key: string): boolean;
}

/** The largest count that a counter holds. */
const COUNT_MAX = 4_294_967_294;
const KEEP_MS = 3_600_000;
/** The version before the value. */
const VERSION_BYTES = 8;

/** The shared state behind a filter's host. */
export function createShared(host: () => Host): Shared {
  return {
    incr(key, count, { windowMs, limit = COUNT_MAX }) {
      const answer = host().text("shared-incr", `${count} ${windowMs} ${Math.min(limit, COUNT_MAX)}\n${key}`);
      const end = answer.indexOf(" ", 2);
      const value = Number(answer.slice(2, end));
      return {
        ok: answer.startsWith("1"),
        value,
        remaining: limit === COUNT_MAX ? Infinity : Math.max(0, limit - value),
        resetMs: Number(answer.slice(end + 1)),
      };
    },
    get(key) {
      const bytes = host().bytes("shared-get", key);
      if (bytes.length === 0) return undefined;
      const version = new DataView(bytes.buffer, bytes.byteOffset, VERSION_BYTES).getFloat64(0);
      return { value: bytes.slice(VERSION_BYTES), version };
    },
    cas(key, value, version, { ttlMs = KEEP_MS } = {}) {
      const next = Number(host().text("shared-cas", `${version} ${ttlMs}\n${key}`, toBytes(value)));
      return next === 0 ? undefined : next;
    },
    delete: (key) => host().text("shared-delete", key) === "1",
  };
}
