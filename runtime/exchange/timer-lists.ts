// Timers that are mostly called off before they are due. One of the system's serves all of the same length, for the first of
// them: to set and clear one costs a native object and two calls into the runtime each time.
import type { Schedule } from "./exchange.ts";

/** Lists without a timer whose system timer runs on, so that the next one needs none; it ends within … */
const IDLE_MAX = 16;
/** … this time, and others get its place. A filter chooses for how long it sleeps. */
const IDLE_MAX_MS = 60_000;

/** Timers of the process, kept in lists. */
export function systemTimers(): Schedule {
  return new TimerLists(() => performance.now(), setTimer).schedule;
}

/** Timers by their length. */
export class TimerLists {
  readonly #monotonic: () => number;
  readonly #system: Schedule;
  readonly #lists = new Map<number, TimerList>();
  #idle = 0;

  /** `monotonic` is the clock of the `system`'s timers, in milliseconds; one that is a little early does no harm. */
  constructor(monotonic: () => number, system: Schedule) {
    this.#monotonic = monotonic;
    this.#system = system;
  }

  /** What a timer throws is the system's, and keeps no other from running. */
  readonly schedule: Schedule = (run, afterMs) => {
    const timer = new Timer(this.#monotonic() + afterMs, run);
    const list = this.#lists.get(afterMs) ?? this.#open(afterMs);
    if (list.isIdle) {
      list.isIdle = false;
      this.#idle--;
    }
    list.ends.append(timer);
    return () => {
      timer.remove();
      if (list.ends.isAlone) this.#rest(list);
    };
  };

  #open(afterMs: number): TimerList {
    const list: TimerList = { afterMs, ends: new Timer(0, nothing), isIdle: false, stop: undefined };
    this.#lists.set(afterMs, list);
    this.#arm(list, afterMs);
    return list;
  }

  #arm(list: TimerList, inMs: number): void {
    list.stop = this.#system(() => this.#fire(list), Math.ceil(inMs));
  }

  /** The last of a list was called off; the same may be asked for again. */
  #rest(list: TimerList): void {
    if (list.isIdle || list.stop === undefined) return;
    if (this.#idle < IDLE_MAX && list.afterMs <= IDLE_MAX_MS) {
      list.isIdle = true;
      this.#idle++;
      return;
    }
    list.stop();
    list.stop = undefined;
    this.#lists.delete(list.afterMs);
  }

  #fire(list: TimerList): void {
    const nowMs = this.#monotonic();
    list.stop = undefined;
    try {
      for (;;) {
        const { next } = list.ends;
        if (next === list.ends || next.atMs > nowMs) break;
        next.remove();
        next.run();
      }
    } finally {
      const { next } = list.ends;
      if (next !== list.ends) this.#arm(list, Math.max(0, next.atMs - this.#monotonic()));
      else {
        this.#lists.delete(list.afterMs);
        if (list.isIdle) this.#idle--;
      }
    }
  }
}

/** Those of one length, the first that is due first. */
interface TimerList {
  readonly afterMs: number;
  /** Before the first and behind the last. */
  readonly ends: Timer;
  /** It has none, and its system timer runs on. */
  isIdle: boolean;
  /** Calls off its system timer; `undefined` while it fires, and once the list is gone. */
  stop: (() => void) | undefined;
}

class Timer {
  readonly atMs: number;
  readonly run: () => void;
  next: Timer = this;
  #previous: Timer = this;

  constructor(atMs: number, run: () => void) {
    this.atMs = atMs;
    this.run = run;
  }

  get isAlone(): boolean {
    return this.next === this;
  }

  /** Puts another before this one: behind the last, where this is a list's ends. */
  append(timer: Timer): void {
    timer.#previous = this.#previous;
    timer.next = this;
    this.#previous.next = timer;
    this.#previous = timer;
  }

  /** Takes it out of its list; does nothing where it is in none. */
  remove(): void {
    this.#previous.next = this.next;
    this.next.#previous = this.#previous;
    this.next = this;
    this.#previous = this;
  }
}

function setTimer(run: () => void, afterMs: number): () => void {
  const timer = setTimeout(run, afterMs);
  return () => clearTimeout(timer);
}

function nothing(): void {
  // The ends of a list are never due.
}
