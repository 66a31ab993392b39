// What filters have to say in the access log, behind Istio's own fields: one JSON object, where there is anything.
import type { Charged } from "../exchange/filter-cost.ts";

/** What the tail tells of. */
export interface Told extends Charged {
  /** By names without `metadata.`. */
  readonly metadata: ReadonlyMap<string, string> | undefined;
}

/** ` {"filters":{NAME:{"us":…,"fuel":…}},"metadata":{…}}` in Latin-1, a space before it; empty where there is neither. */
export function renderTail({ filterCosts, metadata }: Told): string {
  const hasMetadata = metadata !== undefined && metadata.size > 0;
  if (filterCosts === undefined && !hasMetadata) return "";
  // By hand: an object made for each exchange, and rendered, costs the request path microseconds.
  let tail = " {";
  if (filterCosts !== undefined) {
    tail += '"filters":{';
    for (let index = 0; index < filterCosts.length; index++) {
      const { filter = "", fuel = 0, tookMs = 0 } = filterCosts[index] ?? {};
      tail += `${index === 0 ? "" : ","}${quote(filter)}:{"us":${Math.round(tookMs * 1000)},"fuel":${fuel}}`;
    }
    tail += hasMetadata ? "}," : "}";
  }
  if (hasMetadata) tail += `"metadata":${quote(Object.fromEntries(metadata))}`;
  return `${tail}}`;
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
