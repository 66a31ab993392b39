// Connections of HTTP/1.1 to one cluster, kept open between requests, each for one request at a time. The most recently
// used goes first, so that spare ones fall idle and close; a request waits for one only at `maxConnections`.
import type { LiveEndpoint } from "../cluster/cluster.ts";
import type { Claimant, Lot, PooledConnection, SubPool } from "./pooled-connection.ts";
import { overflow } from "./pooled-connection.ts";

/** One request for each connection. */
export class Http1Pool implements SubPool {
  readonly #lot: Lot;
  readonly #idle = new Map<LiveEndpoint, PooledConnection[]>();
  readonly #waiting: Claimant[] = [];
  /** Who waits for each connection that is opening. */
  readonly #opening = new Map<PooledConnection, Claimant>();
  #isDraining = false;

  constructor(lot: Lot) {
    this.#lot = lot;
  }

  get waitingRequests(): number {
    return this.#waiting.length;
  }

  claim(claimant: Claimant, isFresh: boolean): void {
    const idle = isFresh ? undefined : this.#idle.get(claimant.endpoint)?.pop();
    if (idle !== undefined) return claimant.granted(idle);
    if (this.#lot.hasRoom()) return this.#open(claimant);
    if (this.#waiting.length >= this.#lot.maxPendingRequests) return claimant.denied(overflow(this.#lot));
    this.#waiting.push(claimant);
    return undefined;
  }

  forget(claimant: Claimant): void {
    const index = this.#waiting.indexOf(claimant);
    if (index >= 0) this.#waiting.splice(index, 1);
  }

  released(connection: PooledConnection, isReusable: boolean): void {
    const { maxRequestsPerConnection } = this.#lot;
    const isWornOut = maxRequestsPerConnection > 0 && connection.client.requests >= maxRequestsPerConnection;
    if (!isReusable || isWornOut || this.#isDraining) return connection.client.close();
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      waiting.endpoint = connection.endpoint;
      return waiting.granted(connection);
    }
    connection.idleSinceMs = 0;
    const idle = this.#idle.get(connection.endpoint);
    if (idle === undefined) this.#idle.set(connection.endpoint, [connection]);
    else idle.push(connection);
    return undefined;
  }

  opened(connection: PooledConnection): void {
    const claimant = this.#opening.get(connection);
    this.#opening.delete(connection);
    if (claimant === undefined) this.released(connection, true);
    else claimant.granted(connection);
  }

  refused(connection: PooledConnection, cause: Parameters<Claimant["denied"]>[0]): void {
    const claimant = this.#opening.get(connection);
    this.#opening.delete(connection);
    this.gone(connection);
    claimant?.denied(cause);
  }

  gone(connection: PooledConnection): void {
    const idle = this.#idle.get(connection.endpoint);
    const index = idle?.lastIndexOf(connection) ?? -1;
    if (index >= 0) idle?.splice(index, 1);
    this.roomChanged();
  }

  roomChanged(): void {
    if (this.#waiting.length === 0 || !this.#lot.hasRoom()) return;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) this.#open(waiting);
  }

  /** Takes the claimant of a connection that turned out to speak HTTP/2. */
  orphan(connection: PooledConnection): readonly Claimant[] {
    const claimant = this.#opening.get(connection);
    this.#opening.delete(connection);
    return claimant === undefined ? [] : [claimant];
  }

  sweep(nowMs: number, idleTimeoutMs: number): void {
    const boundMs = idleTimeoutMs === 0 ? Infinity : idleTimeoutMs;
    for (const idle of this.#idle.values()) {
      for (const connection of idle.slice()) {
        const saidMs = connection.client.idleMaxMs ?? 0;
        if (connection.idleSinceMs === 0) connection.idleSinceMs = nowMs;
        else if (nowMs - connection.idleSinceMs >= Math.min(boundMs, saidMs === 0 ? Infinity : saidMs))
          connection.client.close();
      }
    }
  }

  drain(): void {
    this.#isDraining = true;
    for (const idle of this.#idle.values()) for (const connection of idle.slice()) connection.client.close();
  }

  closeOneIdle(): boolean {
    for (const idle of this.#idle.values()) {
      const oldest = idle.shift();
      if (oldest === undefined) continue;
      oldest.client.close();
      return true;
    }
    return false;
  }

  #open(claimant: Claimant): void {
    this.#opening.set(this.#lot.open(claimant.endpoint, this), claimant);
  }
}
