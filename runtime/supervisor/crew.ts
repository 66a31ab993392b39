// The workers of one version of the program: one a slot, replaced when it ends. How soon is a matter of how long it lasted.
import type { Random } from "../exchange/exchange.ts";
import { jitteredBackoffMs } from "../sync/backoff.ts";
import type { Ending, Member } from "./member.ts";

/** A worker that lasted this long did not fail by starting: the next one starts at once. */
const LASTED_MS = 10_000;
/** The wait before the second start in a row; doubles with each. */
const RESTART_MIN_MS = 100;
/** The longest wait. A worker that cannot start costs a start every ten seconds, and its rows are looked after. */
export const RESTART_MAX_MS = 10_000;

export interface CrewOptions {
  readonly id: number;
  readonly slots: number;
  /** Rows of sockets that its workers inherited. */
  readonly rowCount: number;
  /** Starts the worker of a slot. Throws where the system cannot. */
  readonly start: (slot: number) => Member;
  readonly random: Random;
}

interface Slot {
  member: Member | undefined;
  /** Ends in a row that came soon after the start. */
  failures: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class Crew {
  readonly id: number;
  readonly slots: number;
  readonly rowCount: number;
  /** All served at once: from then on each may accept as soon as it can. */
  wasComplete = false;
  /** Starts beyond the first of each slot. */
  restarts = 0;
  readonly #slots: readonly Slot[];
  readonly #options: CrewOptions;
  #isOpen = true;

  constructor(options: CrewOptions) {
    this.id = options.id;
    this.slots = options.slots;
    this.rowCount = options.rowCount;
    this.#options = options;
    this.#slots = Array.from({ length: options.slots }, () => ({ member: undefined, failures: 0, timer: undefined }));
  }

  get members(): readonly Member[] {
    return this.#slots.flatMap(({ member }) => (member === undefined ? [] : [member]));
  }

  get isComplete(): boolean {
    return this.#slots.every(({ member }) => member?.state === "serving");
  }

  /** The most ends in a row of any slot. */
  get failures(): number {
    return Math.max(0, ...this.#slots.map(({ failures }) => failures));
  }

  /** Starts every slot that has no worker. */
  start(): void {
    for (const slot of this.#slots.keys()) this.#start(slot);
  }

  /** Puts a worker that runs already into its slot. */
  adopt(member: Member): void {
    const slot = this.#slots[member.slot];
    if (slot !== undefined) slot.member = member;
  }

  /** Another takes its slot now; it is not of this crew any more. */
  release(member: Member): void {
    const slot = this.#slots[member.slot];
    if (slot?.member !== member) return;
    slot.member = undefined;
    this.#start(member.slot);
  }

  /** One ended: the next one starts, and is waited for as long as this says, milliseconds. `undefined`: it is not replaced. */
  ended(member: Member, nowMs: number): number | undefined {
    const slot = this.#slots[member.slot];
    if (slot?.member !== member) return undefined;
    slot.member = undefined;
    if (!this.#isOpen) return undefined;
    slot.failures = nowMs - member.startedAtMs >= LASTED_MS ? 0 : slot.failures + 1;
    const waitMs =
      slot.failures === 0
        ? 0
        : jitteredBackoffMs(slot.failures - 1, RESTART_MIN_MS, RESTART_MAX_MS, this.#options.random);
    slot.timer = setTimeout(() => this.#start(member.slot), waitMs);
    return waitMs;
  }

  /** Replaces no more. */
  close(): void {
    this.#isOpen = false;
    for (const { timer } of this.#slots) clearTimeout(timer);
  }

  #start(index: number): void {
    const slot = this.#slots[index];
    if (slot === undefined || slot.member !== undefined || !this.#isOpen) return;
    if (this.wasComplete || slot.failures > 0) this.restarts++;
    slot.member = this.#options.start(index);
  }
}

/** `ended with 1`, `was ended by SIGKILL`. */
export function renderEnding({ exitCode, signal }: Ending): string {
  return signal === null ? `ended with ${exitCode ?? "an unknown status"}` : `was ended by ${signal}`;
}
