// What a filter wants changed, checked against what it declared and what a head may hold, then applied: all of it or none.
import { FRAMING_FIELDS, METADATA_PREFIX, type Phase } from "../../sdk/wit/world.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { isFieldName, isFieldValue, type HeaderMap } from "../exchange/headers.ts";
import type { Reply } from "../exchange/reply.ts";
import { EVERY_METADATA } from "./attributes.ts";

/** Three entries an edit: `set`, `add` or `remove`; the name in lower case; the value. */
export type Edits = readonly string[];

/** Names that a filter may write. */
export interface Writes {
  has(name: string): boolean;
}

/**
 * The names that a filter may write, or what is wrong with them; `*` is every field but those that frame a message,
 * `metadata.*` every value for later filters. The check at push is repeated: this is the side that would be hurt.
 */
export function compileWrites(writes: readonly string[]): Writes | string {
  const bad = writes.find((name) => name !== ":status" && name !== "*" && !isWritable(name));
  if (bad !== undefined) return `${JSON.stringify(bad)} cannot be written by a filter`;
  const names = new Set(writes);
  const [everyField, everyMetadata] = [names.has("*"), names.has(EVERY_METADATA)];
  if (!everyField && !everyMetadata) return names;
  return {
    has: (name) => names.has(name) || ((isMetadata(name) ? everyMetadata : everyField) && isEditable(name)),
  };
}

function isWritable(name: string): boolean {
  return isEditable(name) && name === name.toLowerCase();
}

function isEditable(name: string): boolean {
  return isFieldName(name) && !FRAMING_FIELDS.has(name.toLowerCase());
}

/** Whether a name is that of a value for later filters; a field of such a name cannot be written. */
function isMetadata(name: string): boolean {
  return name.startsWith(METADATA_PREFIX);
}

/** Why these edits must not be applied; `undefined` where they may. */
export function findBadEdit(edits: Edits, writes: Writes, phase: Phase): string | undefined {
  for (let index = 0; index < edits.length; index += 3) {
    const kind = edits[index] ?? "";
    const name = edits[index + 1] ?? "";
    const value = edits[index + 2] ?? "";
    if (!writes.has(name)) return `${kind} ${JSON.stringify(name)} is not one of its writes`;
    if (name === "*" || name === EVERY_METADATA) return `${kind} ${JSON.stringify(name)} names no field`;
    if (name === ":status") {
      if (phase !== "response" || kind !== "set" || statusOf(value) === undefined)
        return `cannot ${kind} :status to ${JSON.stringify(value)}`;
    } else if (kind === "set" || kind === "add") {
      if (!isFieldValue(value)) return `value of ${name} is not one that a header may have`;
    } else if (kind !== "remove") return `edit ${JSON.stringify(kind)} is not known`;
  }
  return undefined;
}

/** Applies checked edits to a request, or to trailers of an exchange. */
export function editFields(edits: Edits, exchange: Exchange, headers: HeaderMap): void {
  for (let index = 0; index < edits.length; index += 3) {
    const name = edits[index + 1] ?? "";
    if (name === ":status") continue;
    const value = edits[index + 2] ?? "";
    const kind = edits[index] ?? "";
    if (isMetadata(name)) editMetadata(exchange, kind, name.slice(METADATA_PREFIX.length), value);
    else if (kind === "set") headers.replace(name, value);
    else if (kind === "add") headers.append(name, value);
    else headers.delete(name);
  }
}

function editMetadata(exchange: Exchange, kind: string, name: string, value: string): void {
  if (kind === "remove") exchange.metadata?.delete(name);
  else (exchange.metadata ??= new Map()).set(name, value);
}

/** Applies checked edits to a reply. */
export function editReply(edits: Edits, exchange: Exchange, reply: Reply): void {
  for (let index = 0; index < edits.length; index += 3) {
    if (edits[index + 1] === ":status") {
      reply.status = statusOf(edits[index + 2] ?? "") ?? reply.status;
      // The reason phrase belonged to the status that was replaced.
      reply.reason = "";
    }
  }
  editFields(edits, exchange, reply.headers);
}

/** A status that a filter may give: `200` to `599`. */
export function statusOf(text: string): number | undefined {
  return /^[2-5]\d\d$/u.test(text) ? Number(text) : undefined;
}
