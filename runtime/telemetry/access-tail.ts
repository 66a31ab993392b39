// What filters have to say in the access log, behind Istio's own fields: one JSON object, where there is anything.
import type { Charged } from "../exchange/filter-cost.ts";

/** What the tail tells of. */
export interface Told extends Charged {
  /** By names without `metadata.`. */
  readonly metadata: ReadonlyMap<string, string> | undefined;
}

/** ` {"filters":{NAME:{"us":…,"fuel":…}},"metadata":{…}}` in Latin-1, a space before it; empty where there is neither. */
export function renderTail({ filterCosts, metadata }: Told): string {
  if (filterCosts === undefined && (metadata === undefined || metadata.size === 0)) return "";
  const filters = filterCosts?.map(({ filter, fuel, tookMs }) => [filter, { us: Math.round(tookMs * 1000), fuel }]);
  const told = {
    ...(filters && { filters: Object.fromEntries(filters) }),
    ...(metadata !== undefined && metadata.size > 0 && { metadata: Object.fromEntries(metadata) }),
  };
  return ` ${JSON.stringify(told).replaceAll(BEYOND_LATIN1, escape)}`;
}

const BEYOND_LATIN1 = /[\u0100-\u{10ffff}]/gu;

function escape(character: string): string {
  let escaped = "";
  for (let unit = 0; unit < character.length; unit++)
    escaped += `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`;
  return escaped;
}
