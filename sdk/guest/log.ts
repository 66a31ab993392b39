// The proxy's log, as a filter writes to it.
import host from "vespid:filter/host@2.0.0";
import type { Logs } from "../context.ts";
import type { LogLevel } from "../wit/world.ts";

/** One function for each level. */
export const log: Logs = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };

function at(level: LogLevel): Logs[LogLevel] {
  return (message, fields) => host.log(level, message, fields === undefined ? "" : JSON.stringify(fields));
}
