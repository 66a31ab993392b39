// What a filter wants changed, checked against what it declared and what a head may hold, then applied: all of it or none.
import { FRAMING_FIELDS, type Phase } from "../../sdk/wit/world.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { isFieldName, isFieldValue, type HeaderMap } from "../exchange/headers.ts";
import { localReply, type Reply } from "../exchange/reply.ts";

/** Three entries an edit: `set`, `add` or `remove`; the name in lower case; the value. */
export type Edits = readonly string[];

/** A reply that a filter makes. */
export interface ReplyParts {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

/** Names that a filter may write. */
export interface Writes {
  has(name: string): boolean;
}

/**
 * The names that a filter may write, or what is wrong with them; `*` is every field but those that frame a message. The
 * check at push is repeated: this is the side that would be hurt.
 */
export function compileWrites(writes: readonly string[]): Writes | string {
  const bad = writes.find(
    (name) => name !== ":status" && name !== "*" && !(isEditable(name) && name === name.toLowerCase()),
  );
  if (bad !== undefined) return `${JSON.stringify(bad)} cannot be written by a filter`;
  const names = new Set(writes);
  return names.has("*") ? { has: (name) => isEditable(name) || (name === ":status" && names.has(name)) } : names;
}

function isEditable(name: string): boolean {
  return isFieldName(name) && !FRAMING_FIELDS.has(name.toLowerCase());
}

/** Why these edits must not be applied; `undefined` where they may. */
export function findBadEdit(edits: Edits, writes: Writes, phase: Phase): string | undefined {
  for (let index = 0; index < edits.length; index += 3) {
    const kind = edits[index] ?? "";
    const name = edits[index + 1] ?? "";
    const value = edits[index + 2] ?? "";
    if (!writes.has(name)) return `${kind} ${JSON.stringify(name)} is not one of its writes`;
    if (name === ":status") {
      if (phase === "request" || kind !== "set" || statusOf(value) === undefined)
        return `cannot ${kind} :status to ${JSON.stringify(value)}`;
    } else if (kind === "set" || kind === "add") {
      if (!isFieldValue(value)) return `value of ${name} is not one that a header may have`;
    } else if (kind !== "remove") return `edit ${JSON.stringify(kind)} is not known`;
  }
  return undefined;
}

/** Applies checked edits to a request. */
export function editRequest(edits: Edits, exchange: Exchange): void {
  if (edits.length > 0) editHeaders(edits, exchange.headers);
}

/** Applies checked edits to a reply. */
export function editReply(edits: Edits, reply: Reply): void {
  for (let index = 0; index < edits.length; index += 3) {
    if (edits[index + 1] === ":status") {
      reply.status = statusOf(edits[index + 2] ?? "") ?? reply.status;
      // The reason phrase belonged to the status that was replaced.
      reply.reason = "";
    }
  }
  if (edits.length > 0) editHeaders(edits, reply.headers);
}

/** The reply of a filter, or why it cannot be one. */
export function buildReply(filter: string, { status, headers, body }: ReplyParts): Reply | string {
  if (statusOf(String(status)) === undefined) return `reply has status ${status}, must be 200 to 599`;
  for (const [name, value] of headers) {
    if (!isFieldName(name) || !isFieldValue(value))
      return `reply has a header ${JSON.stringify(name)} that cannot be sent`;
    // A length or coding of the filter's own would frame the reply (RFC 9112 §6.3).
    if (FRAMING_FIELDS.has(name.toLowerCase())) return `reply sets ${JSON.stringify(name)}, which the proxy sets`;
  }
  return localReply(status, body, filter, headers);
}

/** A status that a filter may give: `200` to `599`. */
export function statusOf(text: string): number | undefined {
  return /^[2-5]\d\d$/u.test(text) ? Number(text) : undefined;
}

function editHeaders(edits: Edits, headers: HeaderMap): void {
  for (let index = 0; index < edits.length; index += 3) {
    const name = edits[index + 1] ?? "";
    if (name === ":status") continue;
    const value = edits[index + 2] ?? "";
    if (edits[index] === "set") headers.set(name, value);
    else if (edits[index] === "add") headers.append(name, value);
    else headers.delete(name);
  }
}
