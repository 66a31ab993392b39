// What stages tell while they work; only `data-path.ts` knows who listens.
import type { Phase } from "../contract/bundle.ts";
import type { Direction, Exchange } from "./exchange.ts";
import type { Failure } from "./failure.ts";
import type { TcpSession } from "./tcp-session.ts";

/** One run of one filter. */
export interface FilterRun {
  readonly filter: string;
  /** `chunk`: bytes of a connection. `stray`: a promise of a native filter's that nobody awaits. */
  readonly phase: Phase | "chunk" | "stray";
  /** `close`: it ended its connection. `cancelled`: the downstream left, or its body could not be read, before the filter had decided. */
  readonly outcome: "proceed" | "reply" | "close" | "failed" | "cancelled";
  /** Why it failed or was cancelled, whatever its failure policy makes of it. */
  readonly failure: Failure | undefined;
  /** The decision was one that the filter kept; `undefined` where it keeps none. */
  readonly kept?: boolean | undefined;
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
  /** A filter that keeps failing is not asked for so many milliseconds; `0` where it serves again. */
  circuitChanged(filter: string, openForMs: number): void;
}
