// Exchanges and their surroundings for tests: nothing of the network, a clock that stands still until it is moved.
import type { Body } from "../../runtime/exchange/body.ts";
import { EMPTY_BODY } from "../../runtime/exchange/body.ts";
import { Exchange, type Clock } from "../../runtime/exchange/exchange.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";

/** A request as tests write it; what is left out is plain. */
export interface RequestInit {
  readonly method?: string;
  readonly path?: string;
  readonly authority?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly sourceIp?: string;
  readonly routeName?: string;
  readonly requestId?: string;
  readonly body?: Body;
}

/** A clock that a test moves. */
export interface TestClock extends Clock {
  advance(ms: number): void;
}

/** A clock at its beginning. */
export function startClock(): TestClock {
  let atMs = 1_000_000;
  return {
    now: () => 1_700_000_000_000 + atMs,
    monotonic: () => atMs,
    advance: (ms) => {
      atMs += ms;
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
      tls: undefined,
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
