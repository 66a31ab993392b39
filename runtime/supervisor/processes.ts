// Processes of workers: those that are started, and those that a version of the program before this one started.
import { reap } from "./libc.ts";
import type { Ending, WorkerProcess } from "./member.ts";

/** How our own program is started again. */
export interface Launch {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Starts a worker; descriptor 3 and those after it are `fds`, in that order. Throws where the system cannot. */
export function startProcess(launch: Launch, fds: readonly number[]): WorkerProcess {
  const child = Bun.spawn([launch.program, ...launch.args], {
    stdio: ["ignore", "inherit", "inherit", ...fds],
    env: { ...launch.environment },
  });
  return {
    pid: child.pid,
    ended: child.exited.then(() => ({
      exitCode: child.exitCode,
      signal: child.signalCode === null ? null : String(child.signalCode),
    })),
    kill: (signal) => child.kill(signal),
  };
}

/** Takes over processes that this one started before it became another program: they are its children still. */
export class AdoptedProcesses {
  readonly #waiting = new Map<number, (ending: Ending) => void>();

  adopt(pid: number): WorkerProcess {
    const { promise, resolve } = Promise.withResolvers<Ending>();
    this.#waiting.set(pid, resolve);
    return { pid, ended: promise, kill: (signal) => this.#kill(pid, signal) };
  }

  /** Called a few times a second: finds those that ended. */
  tick(): void {
    for (const [pid, resolve] of this.#waiting) {
      const ending = reap(pid);
      if (ending === undefined) continue;
      this.#waiting.delete(pid);
      resolve(ending);
    }
  }

  #kill(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
    // Until it is reaped here, the number is nobody else's.
    if (this.#waiting.has(pid)) process.kill(pid, signal);
  }
}
