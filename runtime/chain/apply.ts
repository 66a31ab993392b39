// What a filter decided about a message, applied to it: all of it or, where one part may not be, none.
import { FRAMING_FIELDS } from "../../sdk/wit/world.ts";
import type { BodyMode, Phase } from "../contract/bundle.ts";
import { bytesBody } from "../exchange/body.ts";
import { Exchange } from "../exchange/exchange.ts";
import { isFieldName, isFieldValue, type HeaderMap } from "../exchange/headers.ts";
import { localReply, type Reply } from "../exchange/reply.ts";
import { editFields, editReply, findBadEdit, statusOf, type Edits, type Writes } from "./edits.ts";
import { TransformedBody, type ChunkHandler } from "./transformed-body.ts";
import { discard, type Message } from "./whole-body.ts";

/** What it did to a message that goes on. */
export interface Changes {
  readonly edits: Edits;
  /** In the place of the body. */
  readonly replacement: Uint8Array | undefined;
  /** The body's pieces go through it. */
  readonly transform: ChunkHandler | undefined;
}

/** What a filter may do to the messages of one phase. */
export interface Permissions {
  readonly phase: Phase;
  readonly writes: Writes;
  readonly body: BodyMode;
}

/** A reply that a filter makes. */
export interface ReplyParts {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string | Uint8Array;
}

/** Applies changes to a request or, where there is one, the reply; or says why not, and nothing was applied. */
export function applyChanges(
  changes: Changes,
  { phase, writes, body }: Permissions,
  exchange: Exchange,
  reply: Reply | undefined,
): string | undefined {
  const { edits, replacement, transform } = changes;
  const reason = edits.length > 0 ? findBadEdit(edits, writes, phase) : undefined;
  if (reason !== undefined) return reason;
  if (replacement !== undefined && body === "none") return "replaced a body, and does not declare that it looks at any";
  if (transform !== undefined && body !== "stream") return "transforms a body, and does not declare to";
  const message = reply ?? exchange;
  applyEdits(edits, exchange, reply);
  if (replacement !== undefined) replaceBody(message, replacement);
  if (transform !== undefined) transformBody(message, exchange, transform);
  return undefined;
}

/** Applies edits that were found to be allowed. */
export function applyEdits(edits: Edits, exchange: Exchange, reply: Reply | undefined): void {
  if (edits.length === 0) return;
  if (reply === undefined) editFields(edits, exchange, exchange.headers);
  else editReply(edits, exchange, reply);
}

function replaceBody(message: Message, bytes: Uint8Array): void {
  if (message instanceof Exchange) {
    discard(message.body);
    message.expectsContinue = false;
  } else message.body.cancel();
  message.body = bytesBody(bytes);
  const { headers } = message;
  // A method without content says no length; one with says even that it is none (RFC 9110 §8.6).
  if (bytes.length > 0 || headers.has("content-length")) headers.set("content-length", String(bytes.length));
}

function transformBody(message: Message, exchange: Exchange, transform: ChunkHandler): void {
  const hasNone =
    message.body.lengthBytes === 0 || exchange.upgrade !== "" || (message !== exchange && exchange.method === "HEAD");
  if (hasNone) return transform.cancel();
  message.headers.delete("content-length");
  message.body = new TransformedBody(message.body, transform);
  return undefined;
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

/** Trailers that a filter edited, or why it may not. */
export function applyToTrailers(
  edits: Edits,
  { phase, writes }: Permissions,
  exchange: Exchange,
  trailers: HeaderMap,
): string | undefined {
  const reason = findBadEdit(edits, writes, phase);
  if (reason === undefined) editFields(edits, exchange, trailers);
  return reason;
}
