// What a filter use shares with itself in all workers: counters and values.
import type { Clock } from "../exchange/exchange.ts";
import { SharedCounters } from "./shared-counters.ts";
import { thisProcess, type LockOwner } from "./shared-lock.ts";
import type { SharedMemory } from "./shared-memory.ts";
import { SharedValues } from "./shared-values.ts";

/** One filter use's. */
export interface SharedScope {
  readonly counters: SharedCounters;
  readonly values: SharedValues;
}

export class SharedState {
  readonly #memory: SharedMemory;
  readonly #clock: Clock;
  readonly #owner: LockOwner;
  readonly #scopes = new Map<string, SharedScope>();

  constructor(memory: SharedMemory, clock: Clock, owner: LockOwner = thisProcess()) {
    this.#memory = memory;
    this.#clock = clock;
    this.#owner = owner;
  }

  /** What filters of that name share; the same after a new version of one. `undefined` where too many others share something. */
  scopeOf(use: string): SharedScope | undefined {
    const known = this.#scopes.get(use);
    if (known !== undefined) return known;
    const region = this.#memory.regionOf(use);
    if (region === undefined) return undefined;
    const scope = {
      counters: new SharedCounters(region, this.#clock, this.#owner),
      values: new SharedValues(region, this.#clock, this.#owner),
    };
    this.#scopes.set(use, scope);
    return scope;
  }

  /** Counts of this process that made room for others before their windows were over. */
  get displaced(): number {
    return this.#scopes.values().reduce((sum, { counters }) => sum + counters.displaced, 0);
  }
}
