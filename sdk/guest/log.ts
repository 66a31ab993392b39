// The proxy's log, as a filter writes to it.
import host from "vespid:filter/host@2.0.0";
import type { LogLevel } from "../wit/world.ts";

/** One function for each level. */
export const log: Readonly<Record<LogLevel, (message: string) => void>> = {
  debug: (message) => host.log("debug", message, ""),
  info: (message) => host.log("info", message, ""),
  warn: (message) => host.log("warn", message, ""),
  error: (message) => host.log("error", message, ""),
};
