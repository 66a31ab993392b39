// What expressions work with. A span and an instant are milliseconds; addresses and names are text in one spelling, so that
// equal ones are equal text.
import { canonicalAddress } from "./address.ts";

/** Strings by strings. */
export interface StringMap {
  get(key: string): string | undefined;
  /** Every entry, for reports of the whole. */
  entries(): Iterable<readonly [string, string]>;
}

export type Value = string | number | boolean | StringMap;

export const EMPTY_MAP: StringMap = { get: () => undefined, entries: () => [] };

/** A map of these entries; names as they are. */
export function mapOf(entries: Readonly<Record<string, string>>): StringMap {
  return {
    get: (key) => (Object.hasOwn(entries, key) ? entries[key] : undefined),
    entries: () => Object.entries(entries),
  };
}

/** Conversions from text; `undefined` where the text is none. */
export const CONVERSIONS: Readonly<Record<string, (text: string) => Value | undefined>> = {
  ip: canonicalAddress,
  timestamp: readInstant,
  dnsName: readDnsName,
  email: readEmail,
  uri: readUri,
};

/** RFC 3339, as Mixer's `timestamp` takes it. */
function readInstant(text: string): number | undefined {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/u.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Names compare without regard to case, and a root dot says nothing (RFC 4343, RFC 1034 §3.1). */
function readDnsName(text: string): string | undefined {
  const name = text.replace(/\.$/u, "").toLowerCase();
  const isName =
    name.length <= 253 &&
    /^(?:\*|[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/u.test(name);
  return isName ? name : undefined;
}

/** The part before the sign is the receiver's own; the host is a name. */
function readEmail(text: string): string | undefined {
  const sign = text.lastIndexOf("@");
  const host = readDnsName(text.slice(sign + 1));
  return sign <= 0 || host === undefined || /[\s@]/u.test(text.slice(0, sign))
    ? undefined
    : `${text.slice(0, sign)}@${host}`;
}

function readUri(text: string): string | undefined {
  return URL.canParse(text) ? new URL(text).href : undefined;
}
