// What stages tell while they work; only `data-path.ts` knows who listens.
import type { Direction, Exchange } from "./exchange.ts";
import type { Failure } from "./failure.ts";
import type { TcpSession } from "./tcp-session.ts";

/** One run of one filter. */
export interface FilterRun {
  readonly filter: string;
  readonly phase: "request" | "response";
  readonly outcome: "proceed" | "reply" | "failed";
  /** Why it failed, whatever its failure policy makes of it. */
  readonly failure: Failure | undefined;
  /** Fuel that the call used; `0` for native filters. */
  readonly fuel: number;
  /** Milliseconds, fractions included. */
  readonly tookMs: number;
}

/** Why a connection was closed before anything was served on it. */
export type ConnectionFault =
  | "plaintext"
  | "proxy_protocol"
  | "tls_error"
  | "tls_no_certificate"
  | "tls_san"
  | "tls_timeout";

/** Takes what stages tell. Never throws, never waits. */
export interface Observer {
  /** After the last byte of the reply was handed to the connection, or the exchange was given up. */
  exchangeEnded(exchange: Exchange): void;
  connectionOpened(direction: Direction): void;
  connectionClosed(direction: Direction): void;
  /** It was closed before anything was served on it. */
  connectionRefused(direction: Direction, fault: ConnectionFault): void;
  /** A handshake from downstream succeeded. */
  tlsSecured(direction: Direction): void;
  tcpOpened(session: TcpSession): void;
  tcpEnded(session: TcpSession): void;
  filterRan(run: FilterRun): void;
}
