// `application/x-www-form-urlencoded` (WHATWG URL §5), as URLSearchParams reads and writes it.
import { TextDecoder } from "./text.ts";

/** Names and values, in order. */
export function parseForm(text: string): [string, string][] {
  const pairs: [string, string][] = [];
  for (const part of text.split("&")) {
    if (part === "") continue;
    const at = part.indexOf("=");
    pairs.push(at < 0 ? [decode(part), ""] : [decode(part.slice(0, at)), decode(part.slice(at + 1))]);
  }
  return pairs;
}

/** The text of names and values. */
export function renderForm(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
}

function decode(text: string): string {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    // A percent sign that codes nothing stays, and bytes that are not UTF-8 are replaced.
    return decodeLoosely(spaced);
  }
}

function decodeLoosely(text: string): string {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return text.replaceAll(/(?:%[0-9A-Fa-f]{2})+/gu, (run) =>
    decoder.decode(Uint8Array.fromHex(run.replaceAll("%", ""))),
  );
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll(/%20|[!'()~]/gu, (found) =>
    found === "%20" ? "+" : `%${found.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
