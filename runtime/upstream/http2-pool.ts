// Connections of HTTP/2 to one cluster. One for each endpoint carries as many requests as the upstream takes at once;
// another is opened only when it is full or on its way out, since fewer connections mean fewer system calls.
import type { LiveEndpoint } from "../cluster/cluster.ts";
import { overflow, type Claimant, type Lot, type PooledConnection, type SubPool } from "./pooled-connection.ts";

/** Requests that a connection is counted on to take before it has said how many it does. */
const EXPECTED_ROOM = 100;

/** The connections to one endpoint, and who waits for them. */
interface Lane {
  readonly endpoint: LiveEndpoint;
  readonly connections: PooledConnection[];
  readonly waiting: Claimant[];
  readonly opening: Set<PooledConnection>;
}

/** Many requests on each connection. */
export class Http2Pool implements SubPool {
  readonly #lot: Lot;
  readonly #lanes = new Map<LiveEndpoint, Lane>();
  /** The one that was asked for last, as it mostly is again. */
  #lastLane: Lane | undefined = undefined;
  #isDraining = false;

  constructor(lot: Lot) {
    this.#lot = lot;
  }

  get waitingRequests(): number {
    let waiting = 0;
    for (const lane of this.#lanes.values()) waiting += lane.waiting.length;
    return waiting;
  }

  /** A connection that carries others' requests is as good as a fresh one: one that died is not here any more. */
  claim(claimant: Claimant): void {
    const lane = this.#lane(claimant.endpoint);
    const connection = lane.waiting.length === 0 ? withRoom(lane) : undefined;
    if (connection !== undefined) return this.#grant(claimant, connection);
    if (this.#lot.waitingRequests >= Math.max(1, this.#lot.maxPendingRequests))
      return claimant.denied(overflow(this.#lot));
    lane.waiting.push(claimant);
    return this.#openFor(lane);
  }

  forget(claimant: Claimant): void {
    const waiting = this.#lanes.get(claimant.endpoint)?.waiting;
    const index = waiting?.indexOf(claimant) ?? -1;
    if (index >= 0) waiting?.splice(index, 1);
  }

  released(connection: PooledConnection): void {
    connection.idleSinceMs = 0;
    const lane = this.#lane(connection.endpoint);
    if (lane.waiting.length > 0) this.#serve(lane);
  }

  opened(connection: PooledConnection): void {
    const lane = this.#lane(connection.endpoint);
    lane.opening.delete(connection);
    lane.connections.push(connection);
    this.#serve(lane);
    if (this.#isDraining) connection.client.retire();
  }

  refused(connection: PooledConnection, cause: Parameters<Claimant["denied"]>[0]): void {
    const lane = this.#lane(connection.endpoint);
    lane.opening.delete(connection);
    // Whoever waits is told, unless another is on its way. Those that are there are full or on their way out, perhaps for
    // hours, and to try again for as long would be a loop as fast as connections are refused.
    const denied = lane.opening.size === 0 ? lane.waiting.splice(0) : [];
    for (const claimant of denied) claimant.denied(cause);
    this.roomChanged();
  }

  gone(connection: PooledConnection): void {
    const lane = this.#lane(connection.endpoint);
    const index = lane.connections.indexOf(connection);
    if (index >= 0) lane.connections.splice(index, 1);
    this.roomChanged();
  }

  /** A connection takes more, or takes no more, or there is room for another. */
  roomChanged(): void {
    for (const lane of this.#lanes.values()) if (lane.waiting.length > 0) this.#serve(lane);
  }

  orphan(connection: PooledConnection): readonly Claimant[] {
    const lane = this.#lane(connection.endpoint);
    lane.opening.delete(connection);
    return lane.waiting.splice(0);
  }

  sweep(nowMs: number, idleTimeoutMs: number): void {
    for (const lane of this.#lanes.values()) {
      for (const connection of lane.connections.slice()) {
        const { client } = connection;
        client.sweep(nowMs);
        if (!client.isOpen || !client.isIdle || idleTimeoutMs === 0) connection.idleSinceMs = 0;
        else if (connection.idleSinceMs === 0) connection.idleSinceMs = nowMs;
        else if (nowMs - connection.idleSinceMs >= idleTimeoutMs) client.close();
      }
    }
  }

  drain(): void {
    this.#isDraining = true;
    for (const lane of this.#lanes.values()) for (const { client } of lane.connections.slice()) client.retire();
  }

  closeOneIdle(): boolean {
    for (const { connections } of this.#lanes.values()) {
      const idle = connections.find(({ client }) => client.isOpen && client.isIdle);
      if (idle === undefined) continue;
      idle.client.close();
      return true;
    }
    return false;
  }

  #lane(endpoint: LiveEndpoint): Lane {
    const last = this.#lastLane;
    if (last !== undefined && last.endpoint === endpoint) return last;
    let lane = this.#lanes.get(endpoint);
    if (lane === undefined) {
      lane = { endpoint, connections: [], waiting: [], opening: new Set() };
      this.#lanes.set(endpoint, lane);
    }
    this.#lastLane = lane;
    return lane;
  }

  #grant(claimant: Claimant, connection: PooledConnection): void {
    connection.idleSinceMs = 0;
    claimant.granted(connection);
    const { maxRequestsPerConnection } = this.#lot;
    if (maxRequestsPerConnection > 0 && connection.client.requests >= maxRequestsPerConnection)
      connection.client.retire();
  }

  #serve(lane: Lane): void {
    while (lane.waiting.length > 0) {
      const connection = withRoom(lane);
      if (connection === undefined) return this.#openFor(lane);
      const claimant = lane.waiting.shift();
      if (claimant !== undefined) this.#grant(claimant, connection);
    }
    return undefined;
  }

  /** Opens a connection where those that are opening will not take all who wait. */
  #openFor(lane: Lane): void {
    if (lane.waiting.length <= lane.opening.size * EXPECTED_ROOM || !this.#lot.hasRoom()) return;
    lane.opening.add(this.#lot.open(lane.endpoint, this));
  }
}

/** The first that takes another request: the others fall idle and close. */
function withRoom(lane: Lane): PooledConnection | undefined {
  for (const connection of lane.connections) if (connection.client.room > 0) return connection;
  return undefined;
}
