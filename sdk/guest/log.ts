// The proxy's log, as a filter writes to it.
import host from "vespid:filter/host@1.0.0";
import type { LogLevel } from "../wit/world.ts";

/** One function for each level. */
export const log: Readonly<Record<LogLevel, (message: string) => void>> = {
  debug: (message) => host.log("debug", String(message)),
  info: (message) => host.log("info", String(message)),
  warn: (message) => host.log("warn", String(message)),
  error: (message) => host.log("error", String(message)),
};
