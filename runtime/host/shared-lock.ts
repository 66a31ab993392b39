// Locks between processes, a word of shared memory each: it holds the process that has it. One that dies while it holds a lock
// leaves it to the next, who puts right what it left half done.

/** Who locks. */
export interface LockOwner {
  readonly pid: number;
  /** Whether a process is there still. */
  readonly isAlive: (pid: number) => boolean;
}

/** `inherited`: its holder died, and what the lock protects may be half written. `busy`: somebody held it all the time. */
export type Locking = "locked" | "inherited" | "busy";

/** A holder needs a microsecond; longer only where the system gave its processor to another. */
const SPINS = 2000;
const PAUSE_MS = 1;
const PAUSES_MAX = 20;

/** Takes a lock, waiting for it up to some 20 ms. */
export function lock(words: Int32Array, index: number, owner: LockOwner): Locking {
  for (let pauses = 0; pauses <= PAUSES_MAX; pauses++) {
    let holder = 0;
    for (let spin = 0; spin < SPINS; spin++) {
      holder = Atomics.compareExchange(words, index, 0, owner.pid);
      if (holder === 0) return "locked";
    }
    // Ours and still held: a process before this one had the same number.
    const isLeft = holder === owner.pid || !owner.isAlive(holder);
    if (isLeft && Atomics.compareExchange(words, index, holder, owner.pid) === holder) return "inherited";
    Bun.sleepSync(PAUSE_MS);
  }
  return "busy";
}

/** Gives it back. */
export function unlock(words: Int32Array, index: number): void {
  Atomics.store(words, index, 0);
}

/** This process. */
export function thisProcess(): LockOwner {
  return { pid: process.pid, isAlive };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // ESRCH: gone. EPERM: there, and somebody else's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
