// What authors expect to find in the global scope and a bare JavaScript engine does not have. Imported before the
// filter's own code, which may use any of it while it is loaded.
import { log } from "./log.ts";
import { addJob, GuestPromise } from "./promise.ts";

/** Puts the guest's globals in place; once, when the component is built. */
export function installGlobals(): void {
  Object.assign(globalThis, {
    Promise: GuestPromise,
    queueMicrotask: addJob,
    console: {
      debug: writes("debug"),
      log: writes("info"),
      info: writes("info"),
      warn: writes("warn"),
      error: writes("error"),
    },
  });
}

function writes(level: keyof typeof log): (...values: readonly unknown[]) => void {
  return (...values) => log[level](values.map(render).join(" "));
}

function render(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Error) return value.stack === undefined ? String(value) : `${String(value)}\n${value.stack}`;
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}
