// What filters do every so often. One that is still at it is not begun again.
import type { Schedule } from "../exchange/exchange.ts";

/** A timer of a filter. */
export interface FilterTimer {
  readonly name: string;
  readonly everyMs: number;
}

/** Runs each of `timers` when it is due, until what is returned is called. */
export function startTimers(
  timers: readonly FilterTimer[],
  run: (name: string) => Promise<void>,
  schedule: Schedule,
): () => void {
  let isStopped = false;
  const stops = new Map<string, () => void>();
  const arm = ({ name, everyMs }: FilterTimer): void => {
    if (isStopped) return;
    stops.set(
      name,
      schedule(() => void run(name).finally(() => arm({ name, everyMs })), everyMs),
    );
  };
  timers.forEach(arm);
  return () => {
    isStopped = true;
    for (const stop of stops.values()) stop();
  };
}
