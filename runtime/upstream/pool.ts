// Connections to one cluster, kept open between requests. A request waits for one only where the cluster's bounds say so,
// in a queue that has a bound itself. Which protocol a request goes out with is decided here.
import type { LiveCluster, LiveEndpoint } from "../cluster/cluster.ts";
import { Http1Client } from "../codec/http1-client.ts";
import { Http2Client, newPeerMemory } from "../codec/http2-client.ts";
import type { Transport } from "../codec/socket-writer.ts";
import type { TlsClient } from "./client-tls.ts";
import { connect } from "./connect.ts";
import { Http1Pool } from "./http1-pool.ts";
import { Http2Pool } from "./http2-pool.ts";
import { PooledConnection, type Claimant, type Lot, type SubPool } from "./pooled-connection.ts";

/** The connections of one cluster from this process. */
export class Pool implements Lot {
  /** Open or opening. */
  openConnections = 0;
  readonly #cluster: LiveCluster;
  readonly #tls: TlsClient | undefined;
  readonly #http1: Http1Pool;
  readonly #http2: Http2Pool;
  readonly #memory = newPeerMemory();
  /** What the endpoints chose by ALPN, where the cluster leaves it to them. */
  #chosen: "http1" | "http2" = "http2";

  constructor(cluster: LiveCluster, tls?: TlsClient) {
    this.#cluster = cluster;
    this.#tls = tls;
    this.#http1 = new Http1Pool(this);
    this.#http2 = new Http2Pool(this);
  }

  get name(): string {
    return this.#cluster.name;
  }
  get maxConnections(): number {
    return this.#cluster.limits.maxConnections;
  }
  get maxPendingRequests(): number {
    return this.#cluster.limits.maxPendingRequests;
  }
  get maxRequestsPerConnection(): number {
    return this.#cluster.limits.maxRequestsPerConnection;
  }
  get waitingRequests(): number {
    return this.#http1.waitingRequests + this.#http2.waitingRequests;
  }

  /** Asks for a connection to the claimant's endpoint. `isFresh` asks for one that was never used. */
  claim(claimant: Claimant, isFresh: boolean): void {
    this.#poolFor(claimant).claim(claimant, isFresh);
  }

  /** The claimant no longer wants one. */
  forget(claimant: Claimant): void {
    this.#http1.forget(claimant);
    this.#http2.forget(claimant);
  }

  /** Called a few times a second: closes what was idle for too long. `nowMs` is monotonic. */
  sweep(nowMs: number): void {
    this.#http1.sweep(nowMs, this.#cluster.idleTimeoutMs);
    this.#http2.sweep(nowMs, this.#cluster.idleTimeoutMs);
  }

  /** No generation uses it any more: idle connections close now, the others after their requests. */
  drain(): void {
    this.#http1.drain();
    this.#http2.drain();
  }

  hasRoom(): boolean {
    const { maxConnections } = this;
    if (this.openConnections < maxConnections) return true;
    return (this.#http1.closeOneIdle() || this.#http2.closeOneIdle()) && this.openConnections < maxConnections;
  }

  open(endpoint: LiveEndpoint, pool: SubPool): PooledConnection {
    this.openConnections++;
    const connection = new PooledConnection(this, endpoint, pool);
    const { protocol, connectTimeoutMs, sourceAddress } = this.#cluster;
    const offers = protocol === "auto" || protocol === "tcp" ? protocol : pool === this.#http2 ? "http2" : "http1";
    connect(endpoint.address, endpoint.port, connectTimeoutMs, connection, { tls: this.#tls, offers, sourceAddress });
    return connection;
  }

  opened(connection: PooledConnection, transport: Transport, localAddress: string, alpn: string | undefined): void {
    const isHttp2 = this.#cluster.protocol === "auto" ? (alpn ?? "").endsWith("h2") : connection.pool === this.#http2;
    const pool = isHttp2 ? this.#http2 : this.#http1;
    connection.client = isHttp2
      ? new Http2Client(transport, localAddress, this.#cluster.http2, this.#memory, connection)
      : new Http1Client(transport, localAddress, this.#cluster.protocol === "tcp");
    const others = connection.pool === pool ? [] : connection.pool.orphan(connection);
    this.#chosen = isHttp2 ? "http2" : "http1";
    connection.pool = pool;
    pool.opened(connection);
    for (const claimant of others) pool.claim(claimant, false);
  }

  closed(): void {
    this.openConnections--;
  }

  #poolFor(claimant: Claimant): SubPool {
    switch (this.#cluster.protocol) {
      case "http1":
      case "tcp":
        return this.#http1;
      case "http2":
        return this.#http2;
      case "downstream":
        return claimant.protocol === "HTTP/2" ? this.#http2 : this.#http1;
      case "auto":
        return this.#chosen === "http2" ? this.#http2 : this.#http1;
    }
  }
}
