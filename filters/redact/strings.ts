// What a JSON string says, and which of its bytes say which character of that.
import { latin1Bytes } from "./latin1.ts";
import type { StringToken } from "./json-tokens.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Units of a string that is UTF-8: escapes, and characters of several bytes. */
const UTF8_UNIT = /\\u....|\\.|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}|[^]/g;
const BYTE_UNIT = /\\u....|\\.|[^]/g;

/** What a token of a text of bytes says. Bytes that are not UTF-8 read as Latin-1. */
export function decodeString(source: string, { start, end, isPlain }: StringToken): string {
  const raw = source.slice(start + 1, end - 1);
  return isPlain ? raw : String(JSON.parse(`"${decodeUtf8(raw) ?? raw}"`));
}

/** Where, in the source, characters of what a token says begin; their numbers are in order. */
export function placesOf(source: string, token: StringToken, indexes: readonly number[]): readonly number[] {
  const from = token.start + 1;
  if (token.isPlain) return indexes.map((index) => from + index);
  const raw = source.slice(from, token.end - 1);
  const units = decodeUtf8(raw) === undefined ? BYTE_UNIT : UTF8_UNIT;
  return offsetsIn(raw, units, indexes).map((offset) => from + offset);
}

function decodeUtf8(raw: string): string | undefined {
  try {
    return strict.decode(latin1Bytes(raw));
  } catch {
    // Not UTF-8.
    return undefined;
  }
}

/** One walk for all of them: a string may hold thousands of secrets. */
function offsetsIn(raw: string, units: RegExp, indexes: readonly number[]): readonly number[] {
  const offsets: number[] = [];
  let characters = 0;
  for (const { 0: unit, index: at } of raw.matchAll(units)) {
    while ((indexes[offsets.length] ?? Number.POSITIVE_INFINITY) <= characters) offsets.push(at);
    if (offsets.length === indexes.length) return offsets;
    // Four bytes are two of a text's characters.
    characters += unit.length === 4 && unit.charCodeAt(0) >= 0xf0 ? 2 : 1;
  }
  while (offsets.length < indexes.length) offsets.push(raw.length);
  return offsets;
}
