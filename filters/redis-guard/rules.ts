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
  const denied = new Set(deny.map((rule) => rule.toUpperCase()));
  const allowed = allow === undefined ? undefined : new Set(allow.map((rule) => rule.toUpperCase()));
  return function allows({ name, args: [first = ""] }, isTransaction) {
    const part = `${name}|${first.toUpperCase()}`;
    if (STREAMS.has(name) || denied.has(name) || denied.has(part)) return false;
    // Queued, it would turn replies off when the transaction is carried out: nobody could tell which ones are due.
    if (isTransaction && part === "CLIENT|REPLY") return false;
    return allowed === undefined || allowed.has(name) || allowed.has(part);
  };
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
