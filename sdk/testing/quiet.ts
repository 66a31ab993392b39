// Waiting until nothing happens any more. Client, proxy and upstreams of a test share one event loop: when it was looked at
// several times and nothing had come, what was sent has arrived. Looks are counted and not time, as machines may be busy.

const LOOKS = 8;
const LOOK_EVERY_MS = 3;
const LOOKS_MAX = 1000;

/** Resolves when `events` has stayed the same for some turns, and nobody `isBusy`. */
export async function quiet(events: () => number, isBusy: () => boolean = () => false): Promise<void> {
  let seen = events();
  for (let looks = 0, all = 0; looks < LOOKS && all < LOOKS_MAX; all++) {
    await Bun.sleep(LOOK_EVERY_MS);
    const now = events();
    looks = now === seen && !isBusy() ? looks + 1 : 0;
    seen = now;
  }
}
