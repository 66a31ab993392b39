// What authors expect to find in the global scope and a bare JavaScript engine does not have. Imported before the
// filter's own code, which may use any of it while it is loaded.
import host from "vespid:filter/host@2.0.0";
import { installHost } from "../host.ts";
import { createRandom, SEED_BYTES } from "../random.ts";
import { inspect } from "./inspect.ts";
import { log } from "./log.ts";

const NOTHING = new Uint8Array();

/** Puts the guest's globals in place; once, when the component is built. */
export function installGlobals(): void {
  installHost({
    text: (name, request, payload = NOTHING) => host.text(name, request, payload),
    bytes: (name, request, payload = NOTHING) => host.bytes(name, request, payload),
  });
  Math.random = createGuestRandom(Math.random);
  Object.assign(globalThis, {
    console: {
      debug: writes("debug"),
      log: writes("info"),
      info: writes("info"),
      warn: writes("warn"),
      error: writes("error"),
      trace: writes("debug"),
      assert: (condition: unknown, ...values: readonly unknown[]) => {
        if (!condition) log.error(["assertion failed", ...values].map((value) => inspect(value)).join(" "));
      },
    },
  });
}

/** Seeded by the proxy when a handler asks first; while the filter is built there is only the engine's own. */
function createGuestRandom(engines: () => number): () => number {
  let random: (() => number) | undefined;
  return () => {
    if (random !== undefined) return random();
    try {
      random = createRandom(host.bytes("random", String(SEED_BYTES), NOTHING));
    } catch {
      // No proxy runs it yet.
      return engines();
    }
    return random();
  };
}

function writes(level: keyof typeof log): (...values: readonly unknown[]) => void {
  return (...values) => log[level](values.map((value) => inspect(value)).join(" "));
}
