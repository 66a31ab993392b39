// Names and values as queries, forms and cookies have them.
import type { Pair } from "./styles.ts";

/** Percent-coding with `+` for a space, as forms and queries have it; `undefined` where it is not UTF-8. */
export function decodeForm(raw: string): string | undefined {
  return decodePercent(raw.replaceAll("+", " "));
}

/** Percent-coding; `undefined` where it is not UTF-8. */
export function decodePercent(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw);
  } catch {
    // A percent sign without two digits, or bytes that are not UTF-8.
    return undefined;
  }
}

/** Names and values of one message: more are not looked at, and whoever sends them means no good. */
export const PAIRS_MAX = 1000;

/** How many pairs a text has, without taking it apart further. */
export function countPairs(text: string, separator: "&" | ";"): number {
  return text.split(separator).length;
}

/** Of a query or a form. A name that cannot be decoded is what was sent. */
export function parsePairs(text: string): readonly Pair[] {
  if (text === "") return [];
  return text.split("&").flatMap((pair) => {
    if (pair === "") return [];
    const equals = pair.indexOf("=");
    const name = equals < 0 ? pair : pair.slice(0, equals);
    return [{ name: decodeForm(name) ?? name, raw: equals < 0 ? "" : pair.slice(equals + 1) }];
  });
}

/** Of a `Cookie` field (RFC 6265 §4.2). */
export function parseCookies(field: string): readonly Pair[] {
  return field.split(";").flatMap((pair) => {
    const equals = pair.indexOf("=");
    if (equals < 0) return [];
    const value = pair.slice(equals + 1).trim();
    const isQuoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
    return [{ name: pair.slice(0, equals).trim(), raw: isQuoted ? value.slice(1, -1) : value }];
  });
}
