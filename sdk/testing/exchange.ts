// Exchanges and their surroundings for tests: nothing of the network, a clock that stands still until it is moved.
import type { Body } from "../../runtime/exchange/body.ts";
import { EMPTY_BODY } from "../../runtime/exchange/body.ts";
import { Exchange, type Clock, type Schedule, type TlsPeer } from "../../runtime/exchange/exchange.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";

/** A request as tests write it; what is left out is plain. */
export interface RequestInit {
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly sourceIp?: string;
  /** The client's identity, as mutual TLS tells it: `cluster.local/ns/default/sa/web`. Default: plaintext. */
  readonly sourcePrincipal?: string;
  readonly routeName?: string;
  readonly requestId?: string;
  readonly body?: Body;
}

/** A clock that a test moves; timers are due when it says so. */
export interface TestClock extends Clock {
  /** Moves on, and runs what falls due on the way, in order. */
  advance(ms: number): void;
  readonly schedule: Schedule;
  /** Timers that wait. */
  readonly scheduled: number;
  /** Until the next of them is due; `undefined` where none waits. */
  readonly nextInMs: number | undefined;
}

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

/** A clock at its beginning, which is `nowMs` since the epoch. */
export function startClock(nowMs = 1_700_001_000_000): TestClock {
  const startAtMs = 1_000_000;
  let atMs = startAtMs;
  const timers = new Set<Timer>();
  return {
    now: () => nowMs - startAtMs + atMs,
    monotonic: () => atMs,
    advance: (ms) => {
      const endMs = atMs + ms;
      for (;;) {
        const [next] = [...timers].filter((timer) => timer.atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs);
        if (next === undefined) break;
        timers.delete(next);
        atMs = Math.max(atMs, next.atMs);
        next.run();
      }
      atMs = endMs;
    },
    schedule: (run, afterMs) => {
      const timer = { atMs: atMs + afterMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    get scheduled() {
      return timers.size;
    },
    get nextInMs() {
      return timers.size === 0 ? undefined : Math.max(0, Math.min(...[...timers].map((timer) => timer.atMs)) - atMs);
    },
  };
}

/** An exchange whose request came in just now. */
export function makeExchange(init: RequestInit = {}, clock: Clock = startClock()): Exchange {
  const remoteIp = init.sourceIp ?? "10.0.0.7";
  const exchange = new Exchange(
    {
      direction: "inbound",
      remoteIp,
      remoteAddress: `${remoteIp}:40000`,
      localAddress: "10.0.0.8:8080",
      localPort: 8080,
      originalDestination: undefined,
      tls: init.sourcePrincipal === undefined ? undefined : peerOf(init.sourcePrincipal),
    },
    init.method ?? "GET",
    init.path ?? "/",
    init.authority ?? "reviews",
    "HTTP/1.1",
    HeaderMap.from(Object.entries(init.headers ?? {})),
    init.body ?? EMPTY_BODY,
    clock,
  );
  exchange.requestId = init.requestId ?? "";
  if (init.routeName !== undefined) {
    exchange.decision = {
      routeName: init.routeName,
      cluster: "",
      timeoutMs: 0,
      prepare: undefined,
      editReply: undefined,
    };
  }
  return exchange;
}

function peerOf(principal: string): TlsPeer {
  return { serverName: "", version: "TLSv1.3", alpn: "", principal, certificate: Buffer.alloc(0), forwarded: "" };
}
