// Connections to one cluster, kept open between requests. The most recently used goes first, so that spare ones fall idle
// and close; a request waits for one only at `maxConnections`, in a queue bounded by `maxPendingRequests`.
import type { LiveCluster, LiveEndpoint } from "../cluster/cluster.ts";
import { Http1Client } from "../codec/http1-client.ts";
import type { Transport } from "../codec/socket-writer.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { connect, type SocketOwner } from "./connect.ts";

/** A request that wants a connection. Exactly one of the two is called, at once or later. */
export interface Claimant {
  /** The endpoint that was picked for it; a waiting request may be given another's connection. */
  endpoint: LiveEndpoint;
  granted(connection: PooledConnection): void;
  denied(failure: Failure): void;
}

/** The connections of one cluster from this process. */
export class Pool {
  /** Open or opening. */
  openConnections = 0;
  readonly #cluster: LiveCluster;
  readonly #idle = new Map<LiveEndpoint, PooledConnection[]>();
  readonly #waiting: Claimant[] = [];
  #isDraining = false;

  constructor(cluster: LiveCluster) {
    this.#cluster = cluster;
  }

  get waitingRequests(): number {
    return this.#waiting.length;
  }

  /** Asks for a connection to the claimant's endpoint. `isFresh` asks for one that was never used. */
  claim(claimant: Claimant, isFresh: boolean): void {
    const idle = isFresh ? undefined : this.#idle.get(claimant.endpoint)?.pop();
    if (idle !== undefined) {
      claimant.granted(idle);
      return;
    }
    const { maxConnections, maxPendingRequests } = this.#cluster.limits;
    if (this.openConnections < maxConnections || this.#closeOneIdle()) {
      this.#open(claimant);
      return;
    }
    if (this.#waiting.length < maxPendingRequests) this.#waiting.push(claimant);
    else
      claimant.denied(
        failure(
          "overloaded",
          `${this.#waiting.length} requests wait for ${maxConnections} connections of ${this.#cluster.name}`,
        ),
      );
  }

  /** The claimant no longer wants one. */
  forget(claimant: Claimant): void {
    const index = this.#waiting.indexOf(claimant);
    if (index >= 0) this.#waiting.splice(index, 1);
  }

  /** A request on it is over. */
  release(connection: PooledConnection, isReusable: boolean): void {
    const { maxRequestsPerConnection } = this.#cluster.limits;
    const isWornOut = maxRequestsPerConnection > 0 && connection.client.requests >= maxRequestsPerConnection;
    if (!isReusable || isWornOut || this.#isDraining) {
      connection.client.close();
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.endpoint = connection.endpoint;
      waiting.granted(connection);
      return;
    }
    connection.idleSinceMs = 0;
    const idle = this.#idle.get(connection.endpoint);
    if (idle === undefined) this.#idle.set(connection.endpoint, [connection]);
    else idle.push(connection);
  }

  /** For a connection: its socket is gone or never came. */
  gone(connection: PooledConnection): void {
    this.openConnections--;
    const idle = this.#idle.get(connection.endpoint);
    const index = idle?.lastIndexOf(connection) ?? -1;
    if (index >= 0) idle?.splice(index, 1);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) this.#open(waiting);
  }

  /** Called about once a second: closes what was idle for too long. `nowMs` is monotonic. */
  sweep(nowMs: number): void {
    if (this.#cluster.idleTimeoutMs === 0) return;
    for (const idle of this.#idle.values()) {
      for (const connection of idle.slice()) {
        if (connection.idleSinceMs === 0) connection.idleSinceMs = nowMs;
        else if (nowMs - connection.idleSinceMs >= this.#cluster.idleTimeoutMs) connection.client.close();
      }
    }
  }

  /** No generation uses it any more: idle connections close now, the others after their request. */
  drain(): void {
    this.#isDraining = true;
    for (const idle of this.#idle.values()) for (const connection of idle.slice()) connection.client.close();
  }

  #open(claimant: Claimant): void {
    this.openConnections++;
    const { address, port } = claimant.endpoint;
    connect(address, port, this.#cluster.connectTimeoutMs, new PooledConnection(this, claimant));
  }

  #closeOneIdle(): boolean {
    for (const idle of this.#idle.values()) {
      const oldest = idle.shift();
      if (oldest === undefined) continue;
      oldest.client.close();
      return this.openConnections < this.#cluster.limits.maxConnections;
    }
    return false;
  }
}

/** One connection of a pool, from the wish for it to its end. */
export class PooledConnection implements SocketOwner {
  readonly endpoint: LiveEndpoint;
  /** Monotonic, set by the sweep; 0 while in use or just released. */
  idleSinceMs = 0;
  client: Http1Client = UNOPENED;
  readonly #pool: Pool;
  #claimant: Claimant | undefined;

  constructor(pool: Pool, claimant: Claimant) {
    this.#pool = pool;
    this.#claimant = claimant;
    this.endpoint = claimant.endpoint;
  }

  opened(transport: Transport, localAddress: string): void {
    this.client = new Http1Client(transport, localAddress);
    const claimant = this.#claimant;
    this.#claimant = undefined;
    claimant?.granted(this);
  }

  refused(kind: "connect_timeout" | "connect_failed", reason: string): void {
    const claimant = this.#claimant;
    this.#claimant = undefined;
    this.#pool.gone(this);
    claimant?.denied(failure(kind, `${this.endpoint.host}: ${reason}`, "always"));
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

  closed(): void {
    // Out of the pool before the exchange hears of it: a retry must not be given this connection.
    this.#pool.gone(this);
    this.client.closed();
  }
}

/** Stands in until the socket opens; nothing is ever sent on it. */
const UNOPENED = new Http1Client(
  {
    write: () => -1,
    pause: () => undefined,
    resume: () => undefined,
    shutdown: () => undefined,
    end: () => undefined,
    terminate: () => undefined,
  },
  "",
);
