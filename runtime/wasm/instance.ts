// The one instance of a filter use: dropped when it faults, replaced at once, and held back for a while when it keeps
// faulting, so that a filter that fails on every request costs little more than its failure policy.
import type { Clock } from "../exchange/exchange.ts";
import type { Result } from "../exchange/failure.ts";
import type { GuestInstance } from "./engine.ts";

/** Faults in a row that are answered with a fresh instance at once. */
const FAULTS_AT_ONCE_MAX = 3;
const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 30_000;

/** Makes a configured instance; milliseconds. */
export type MakeInstance = () => Result<GuestInstance, string>;

/** Holds an instance, or the reason why there is none now. */
export class InstanceSlot {
  readonly #make: MakeInstance;
  readonly #clock: Clock;
  #instance: GuestInstance | undefined;
  #faults = 0;
  #retryAtMs = 0;
  #isStopped = false;

  constructor(make: MakeInstance, clock: Clock, instance: GuestInstance) {
    this.#make = make;
    this.#clock = clock;
    this.#instance = instance;
  }

  /** The instance, made now where the last one was dropped and nothing speaks against another. */
  acquire(): Result<GuestInstance, string> {
    if (this.#instance !== undefined) return { ok: true, value: this.#instance };
    if (this.#isStopped) return { ok: false, error: "was stopped" };
    const waitMs = this.#retryAtMs - this.#clock.monotonic();
    if (waitMs > 0) return { ok: false, error: `faulted ${this.#faults} times, next try in ${Math.ceil(waitMs)} ms` };
    const made = this.#make();
    if (made.ok) this.#instance = made.value;
    else this.#countFault();
    return made;
  }

  /** The instance answered: what went wrong before is over. */
  succeeded(): void {
    this.#faults = 0;
  }

  /** Drops the instance, and replaces it when the event loop has a turn to spare. */
  drop(): void {
    this.#instance = undefined;
    this.#countFault();
    setImmediate(() => {
      if (this.#instance === undefined && !this.#isStopped) this.acquire();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#instance = undefined;
  }

  #countFault(): void {
    this.#faults++;
    if (this.#faults < FAULTS_AT_ONCE_MAX) return;
    const doublings = Math.min(this.#faults - FAULTS_AT_ONCE_MAX, 20);
    this.#retryAtMs = this.#clock.monotonic() + Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** doublings);
  }
}
