// Waiting for a condition instead of for time.

const POLL_MS = 10;
const WITHIN_MS = 10_000;

/** The first value of `probe` that is not `undefined`; throws, naming `what`, when there is none within the time. */
export async function until<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  withinMs: number = WITHIN_MS,
): Promise<T> {
  const deadlineAtMs = performance.now() + withinMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > deadlineAtMs) throw new Error(`waited ${withinMs} ms for ${what}`);
    await Bun.sleep(POLL_MS);
  }
}
