// One connection of a pool, from the wish for it to its end, and what the pools of one cluster share.
import type { LiveEndpoint } from "../cluster/cluster.ts";
import type { Transport } from "../codec/socket-writer.ts";
import type { UpstreamClient } from "../codec/upstream-client.ts";
import type { Protocol } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import type { SocketOwner } from "./connect.ts";

/** A request that wants a connection. Exactly one of the two is called, at once or later. */
export interface Claimant {
  /** The endpoint that was picked for it; a waiting request may be given another's connection. */
  endpoint: LiveEndpoint;
  /** How the request came. */
  readonly protocol: Protocol;
  granted(connection: PooledConnection): void;
  denied(failure: Failure): void;
}

/** The connections of one protocol to one cluster. */
export interface SubPool {
  readonly waitingRequests: number;
  /** Asks for a connection to the claimant's endpoint. `isFresh` asks for one that was never used. */
  claim(claimant: Claimant, isFresh: boolean): void;
  /** The claimant no longer wants one. */
  forget(claimant: Claimant): void;
  /** A request on the connection is over. */
  released(connection: PooledConnection, isReusable: boolean): void;
  opened(connection: PooledConnection): void;
  refused(connection: PooledConnection, cause: Failure): void;
  /** Its socket is gone. */
  gone(connection: PooledConnection): void;
  /** There may be room for another connection. */
  roomChanged(): void;
  /** It opened and speaks the other protocol: who waits for it. */
  orphan(connection: PooledConnection): readonly Claimant[];
  sweep(nowMs: number, idleTimeoutMs: number): void;
  drain(): void;
  /** Closes a connection that nothing uses; false where there is none. */
  closeOneIdle(): boolean;
}

/** What the pools of one cluster share: its bounds, and how a connection is opened. */
export interface Lot {
  readonly name: string;
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequestsPerConnection: number;
  readonly waitingRequests: number;
  /** Whether one more connection may be opened; closes an idle one where that makes room. */
  hasRoom(): boolean;
  /** Opens a connection for a pool; counts it. */
  open(endpoint: LiveEndpoint, pool: SubPool): PooledConnection;
  opened(connection: PooledConnection, transport: Transport, localAddress: string, alpn: string | undefined): void;
  /** The socket is gone or never came: counts it out. */
  closed(): void;
}

/** The failure of a request that finds every connection and every waiting place taken. */
export function overflow(lot: Lot): Failure {
  return failure(
    "overloaded",
    `${lot.waitingRequests} requests wait for ${lot.maxConnections} connections of ${lot.name}`,
  );
}

/** One connection. */
export class PooledConnection implements SocketOwner {
  readonly endpoint: LiveEndpoint;
  /** Monotonic, set by the sweep; 0 while in use or just released. */
  idleSinceMs = 0;
  client: UpstreamClient = UNOPENED;
  pool: SubPool;
  readonly #lot: Lot;

  constructor(lot: Lot, endpoint: LiveEndpoint, pool: SubPool) {
    this.#lot = lot;
    this.endpoint = endpoint;
    this.pool = pool;
  }

  /** A request on it is over. */
  release(isReusable: boolean): void {
    this.pool.released(this, isReusable);
  }

  /** For the client: it may take more requests, or no more. */
  roomChanged(): void {
    this.pool.roomChanged();
  }

  opened(transport: Transport, localAddress: string, alpn?: string): void {
    this.#lot.opened(this, transport, localAddress, alpn);
  }

  refused(kind: "connect_timeout" | "connect_failed", reason: string): void {
    this.#lot.closed();
    this.pool.refused(this, failure(kind, `${this.endpoint.host}: ${reason}`, "always"));
  }

  data(chunk: Buffer): void {
    this.client.data(chunk);
  }

  drained(): void {
    this.client.drained();
  }

  ended(): void {
    this.client.ended();
  }

  closed(isReset: boolean): void {
    // Out of the pool before the exchange hears of it: a retry must not be given this connection.
    this.#lot.closed();
    this.pool.gone(this);
    this.client.closed(isReset);
  }
}

/** Stands in until the socket opens; nothing is ever sent on it. */
const UNOPENED: UpstreamClient = {
  requests: 0,
  localAddress: "",
  isOpen: false,
  room: 0,
  isIdle: true,
  mayRefuse: false,
  send: () => {
    throw new Error("sent on a connection that is not open");
  },
  retire: () => undefined,
  close: () => undefined,
  data: () => undefined,
  drained: () => undefined,
  ended: () => undefined,
  closed: () => undefined,
  sweep: () => undefined,
};
