// What filters have to say in the access log, behind Istio's own fields: one JSON object, where there is anything.
import type { Charged } from "../exchange/filter-cost.ts";
import { LineBuffer } from "./line-buffer.ts";

const COMMA = 44;
const CLOSE = 125;

/** What the tail tells of. */
export interface Told extends Charged {
  /** By names without `metadata.`. */
  readonly metadata: ReadonlyMap<string, string> | undefined;
}

/** Writes ` {"filters":{NAME:{"us":…,"fuel":…}},"metadata":{…}}` in Latin-1, a space before it; nothing where there is neither. */
export function writeTail(line: LineBuffer, { filterCosts, metadata }: Told): void {
  const hasMetadata = metadata !== undefined && metadata.size > 0;
  if (filterCosts === undefined && !hasMetadata) return;
  // By hand: an object made for each exchange, and rendered, costs the request path microseconds.
  line.text(" {");
  if (filterCosts !== undefined) {
    line.text('"filters":{');
    for (let index = 0; index < filterCosts.length; index++) {
      const { filter = "", fuel = 0, tookMs = 0 } = filterCosts[index] ?? {};
      if (index > 0) line.byte(COMMA);
      line.text(quoteName(filter));
      line.text(':{"us":');
      line.number(Math.round(tookMs * 1000));
      line.text(',"fuel":');
      line.number(fuel);
      line.byte(CLOSE);
    }
    line.text(hasMetadata ? "}," : "}");
  }
  if (hasMetadata) line.text(`"metadata":${quote(Object.fromEntries(metadata))}`);
  line.byte(CLOSE);
}

let scratch = new LineBuffer(4096);

/** The tail by itself, as text. */
export function renderTail(told: Told): string {
  for (;;) {
    scratch.clear();
    writeTail(scratch, told);
    if (!scratch.isShort) return scratch.bytes.latin1Slice(0, scratch.at);
    scratch = new LineBuffer(scratch.bytes.length * 2);
  }
}

/** Names of filters as they were quoted: the same few stand in every line. */
const quotedNames = new Map<string, string>();
/** Beyond so many all are forgotten: most are of configurations that are gone. */
const NAMES_MAX = 256;

function quoteName(name: string): string {
  const known = quotedNames.get(name);
  if (known !== undefined) return known;
  if (quotedNames.size >= NAMES_MAX) quotedNames.clear();
  const quoted = quote(name);
  quotedNames.set(name, quoted);
  return quoted;
}

/** JSON in Latin-1. */
function quote(value: unknown): string {
  return JSON.stringify(value).replaceAll(BEYOND_LATIN1, escape);
}

const BEYOND_LATIN1 = /[\u0100-\u{10ffff}]/gu;

function escape(character: string): string {
  let escaped = "";
  for (let unit = 0; unit < character.length; unit++)
    escaped += `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`;
  return escaped;
}
