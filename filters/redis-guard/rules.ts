// Which commands may go on. Pure.
import type { RespCommand } from "../../sdk/index.ts";
import type { Config } from "./config.ts";

/** Decides on a command; `isTransaction` where it would be queued behind MULTI. */
export type Allows = (command: RespCommand, isTransaction: boolean) => boolean;

/**
 * Never: what follows them is a replica's stream and not the protocol, so that nothing behind it could be told apart.
 */
const STREAMS: ReadonlySet<string> = new Set(["SYNC", "PSYNC"]);

/** Compiles the lists of a configuration. */
export function compileRules({ deny, allow }: Config): Allows {
  const denied = compileList(deny);
  const allowed = allow === undefined ? undefined : compileList(allow);
  return function allows(command, isTransaction) {
    const { name, args } = command;
    if (STREAMS.has(name) || denied(command)) return false;
    // Queued, it would turn replies off when the transaction is carried out: nobody could tell which ones are due.
    if (isTransaction && name === "CLIENT" && args[0]?.toUpperCase() === "REPLY") return false;
    return allowed === undefined || allowed(command);
  };
}

/** Whether a command is in a list, by itself or by its part. */
function compileList(rules: readonly string[]): (command: RespCommand) => boolean {
  const all = new Set(rules.map((rule) => rule.toUpperCase()));
  // Most commands have no part that a rule names: what follows them is a key, and not looked at.
  const divided = new Set(
    [...all].filter((rule) => rule.includes("|")).map((rule) => rule.slice(0, rule.indexOf("|"))),
  );
  return ({ name, args: [first = ""] }) =>
    all.has(name) || (divided.has(name) && all.has(`${name}|${first.toUpperCase()}`));
}

/** The label of a command's first key. */
export function compilePrefixes({ keyPrefixes }: Config): (key: string) => string {
  const known = new Set(keyPrefixes);
  return function prefixOf(key) {
    const colon = key.indexOf(":");
    const prefix = colon < 0 ? key : key.slice(0, colon);
    return known.has(prefix) ? prefix : "other";
  };
}
