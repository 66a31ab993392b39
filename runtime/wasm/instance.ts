// The instances of a filter use. One serves all exchanges, or each exchange has its own. One that faults is put back to
// what it was when it was born where its engine can, which is cheap; else it is replaced in the background, and held back
// for a while when that keeps happening, so that a filter that fails on every request costs little more than its policy.
import type { Clock } from "../exchange/exchange.ts";
import type { Result } from "../exchange/failure.ts";
import type { LiveInstance } from "./live-instance.ts";

/** Faults in a row that are answered with a fresh instance at once. */
const FAULTS_AT_ONCE_MAX = 3;
const BACKOFF_MIN_MS = 10;
const BACKOFF_MAX_MS = 30_000;
/** How often an instance's memory is looked at, in calls; a power of two. */
const LOOK_EVERY = 1024;

export type Acquired = Result<LiveInstance, string>;

/** Makes an instance, configured and set up: milliseconds, and longer where its set-up waits for something. */
export type MakeInstance = () => Acquired | Promise<Acquired>;

/** Hands out instances. */
export interface Instances {
  /** One to call now. */
  acquire(): Acquired | Promise<Acquired>;
  /** It answered: what went wrong before is over. */
  succeeded(instance: LiveInstance): void;
  /** It must not be called again. */
  drop(instance: LiveInstance): void;
  /** It is whole, but has done enough: another takes its place. */
  replace(instance: LiveInstance): void;
  /** Nothing runs or waits in it. */
  idle(instance: LiveInstance): void;
  stop(): void;
}

/** When an instance has done enough. */
export interface RecycleLimits {
  readonly callsMax: number;
  readonly memoryMaxBytes: number;
}

/** How often it may be tried again. */
class Holdback {
  readonly #clock: Clock;
  faults = 0;
  #retryAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Why no instance is made now; `undefined` where nothing speaks against it. */
  get reason(): string | undefined {
    const waitMs = this.#retryAtMs - this.#clock.monotonic();
    return waitMs > 0 ? `faulted ${this.faults} times, next try in ${Math.ceil(waitMs)} ms` : undefined;
  }

  count(): void {
    this.faults++;
    if (this.faults < FAULTS_AT_ONCE_MAX) return;
    const doublings = Math.min(this.faults - FAULTS_AT_ONCE_MAX, 20);
    this.#retryAtMs = this.#clock.monotonic() + Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** doublings);
  }
}

/** One instance for all. */
export class InstanceSlot implements Instances {
  readonly #make: MakeInstance;
  readonly #limits: RecycleLimits;
  readonly #holdback: Holdback;
  #instance: LiveInstance | undefined;
  #starting: Promise<Acquired> | undefined = undefined;
  /** Keeping state takes an instance's memory once more: only filters that have faulted pay it. */
  #keepsState = false;
  /** Replaced, and not yet idle. */
  readonly #leaving = new Set<LiveInstance>();
  #isRecycling = false;
  #isStopped = false;

  constructor(make: MakeInstance, clock: Clock, limits: RecycleLimits, instance: LiveInstance) {
    this.#make = make;
    this.#limits = limits;
    this.#holdback = new Holdback(clock);
    this.#instance = instance;
  }

  acquire(): Acquired | Promise<Acquired> {
    const instance = this.#instance;
    if (instance === undefined) return this.#start();
    if ((instance.calls & (LOOK_EVERY - 1)) === 0) this.#look(instance);
    return { ok: true, value: instance };
  }

  succeeded(_instance: LiveInstance): void {
    this.#holdback.faults = 0;
  }

  drop(instance: LiveInstance): void {
    if (this.#leaving.delete(instance) || this.#instance !== instance) return instance.stop("has faulted");
    if (instance.revive()) return undefined;
    this.#instance = undefined;
    this.#keepsState = true;
    this.#holdback.count();
    // It may be on the stack.
    setImmediate(() => {
      instance.stop("has faulted");
      if (this.#instance === undefined && !this.#isStopped) void this.#start();
    });
    return undefined;
  }

  replace(instance: LiveInstance): void {
    if (this.#instance !== instance) return;
    this.#instance = undefined;
    this.#holdback.count();
    if (instance.isIdle) instance.stop("was replaced");
    else this.#leaving.add(instance);
    setImmediate(() => {
      if (this.#instance === undefined && !this.#isStopped) void this.#start();
    });
  }

  idle(instance: LiveInstance): void {
    if (this.#leaving.size > 0 && this.#leaving.delete(instance)) instance.stop("was replaced");
  }

  stop(): void {
    this.#isStopped = true;
    this.#instance?.stop("was stopped");
    this.#instance = undefined;
    for (const leaving of this.#leaving) leaving.stop("was stopped");
    this.#leaving.clear();
  }

  #start(): Acquired | Promise<Acquired> {
    if (this.#isStopped) return { ok: false, error: "was stopped" };
    if (this.#starting !== undefined) return this.#starting;
    const { reason } = this.#holdback;
    if (reason !== undefined) return { ok: false, error: reason };
    const made = this.#make();
    if (!(made instanceof Promise)) return this.#take(made);
    this.#starting = made.then((acquired) => {
      this.#starting = undefined;
      return this.#take(acquired);
    });
    return this.#starting;
  }

  #take(made: Acquired): Acquired {
    if (!made.ok) {
      this.#holdback.count();
      return made;
    }
    if (this.#isStopped) {
      made.value.stop("was stopped");
      return { ok: false, error: "was stopped" };
    }
    if (this.#keepsState && made.value.isRevivable) made.value.keep();
    const before = this.#instance;
    this.#instance = made.value;
    if (before === undefined) return made;
    if (before.isIdle) before.stop("was replaced");
    else this.#leaving.add(before);
    return made;
  }

  /** One that has done enough is replaced while it serves on; its last calls end in it. */
  #look(instance: LiveInstance): void {
    const isWorn =
      instance.calls >= this.#limits.callsMax || instance.memoryBytes >= this.#limits.memoryMaxBytes * 0.75;
    if (!isWorn || this.#isRecycling) return;
    this.#isRecycling = true;
    setImmediate(() => {
      void Promise.resolve(this.#isStopped || this.#instance !== instance ? undefined : this.#make()).then((made) => {
        this.#isRecycling = false;
        return made === undefined ? undefined : this.#take(made);
      });
    });
  }
}

/** Instances of a use that are put back for the next exchange; each takes its memory twice. Others end with theirs. */
const RENEWED_MAX = 8;
/** Exchanges that one instance may serve: what is not its memory (a handle of the system's that it let lie) ends then. */
const RENEWALS_MAX = 1000;
/** Where so many in a row could not be put back, since exchanges grow their memory, most are kept in vain: … */
const REFUSALS_MAX = 8;
/** … one of so many is tried then. */
const TRIED_OF = 16;

/**
 * An instance for each exchange's call: nothing that one leaves is there for another. One that has answered is put back to
 * what it was when it was born, where its engine can, which costs less than another.
 */
export class FreshInstances implements Instances {
  readonly #make: MakeInstance;
  readonly #holdback: Holdback;
  /** With how often each may be put back. */
  readonly #live = new Map<LiveInstance, number>();
  readonly #waiting: { readonly instance: LiveInstance; readonly renewals: number }[] = [];
  /** Live or waiting, of those that may be put back. */
  #renewable = 0;
  /** How many in a row could not be. */
  #refusals = 0;
  #made = 0;
  #isStopped = false;

  constructor(make: MakeInstance, clock: Clock) {
    this.#make = make;
    this.#holdback = new Holdback(clock);
  }

  acquire(): Acquired | Promise<Acquired> {
    const renewed = this.#waiting.pop();
    if (renewed !== undefined) {
      this.#live.set(renewed.instance, renewed.renewals);
      return { ok: true, value: renewed.instance };
    }
    if (this.#isStopped) return { ok: false, error: "was stopped" };
    const { reason } = this.#holdback;
    if (reason !== undefined) return { ok: false, error: reason };
    const made = this.#make();
    return made instanceof Promise ? made.then((acquired) => this.#take(acquired)) : this.#take(made);
  }

  succeeded(_instance: LiveInstance): void {
    this.#holdback.faults = 0;
  }

  drop(instance: LiveInstance): void {
    if (this.#leave(instance) === undefined) return;
    this.#holdback.count();
    queueMicrotask(() => instance.stop("has faulted"));
  }

  /** It ends with its call. */
  replace(instance: LiveInstance): void {
    if (this.#leave(instance) !== undefined) this.#live.set(instance, 0);
  }

  idle(instance: LiveInstance): void {
    const renewals = this.#leave(instance);
    if (renewals === undefined) return;
    // It is still on the stack.
    queueMicrotask(() => this.#renew(instance, renewals));
  }

  stop(): void {
    this.#isStopped = true;
    for (const instance of this.#live.keys()) instance.stop("was stopped");
    for (const { instance } of this.#waiting) instance.stop("was stopped");
    this.#live.clear();
    this.#waiting.length = 0;
  }

  /** How often it may be put back; `undefined` where it has left already. */
  #leave(instance: LiveInstance): number | undefined {
    const renewals = this.#live.get(instance);
    this.#live.delete(instance);
    if (renewals !== undefined && renewals > 0) this.#renewable--;
    return renewals;
  }

  #renew(instance: LiveInstance, renewals: number): void {
    if (renewals > 0 && !this.#isStopped && this.#waiting.length < RENEWED_MAX) {
      if (instance.renew()) {
        this.#refusals = 0;
        if (renewals > 1) this.#renewable++;
        this.#waiting.push({ instance, renewals: renewals - 1 });
        return;
      }
      this.#refusals++;
    }
    instance.stop("has answered");
  }

  #take(made: Acquired): Acquired {
    if (!made.ok) {
      this.#holdback.count();
      return made;
    }
    const isRenewable = this.#isWorthKeeping() && made.value.keep();
    if (isRenewable) this.#renewable++;
    this.#live.set(made.value, isRenewable ? RENEWALS_MAX : 0);
    return made;
  }

  #isWorthKeeping(): boolean {
    if (this.#renewable >= RENEWED_MAX) return false;
    return this.#refusals < REFUSALS_MAX || this.#made++ % TRIED_OF === 0;
  }
}
