// What a body is, by what its message says of it, and what becomes of one that is read whole.
import { jsonSchema } from "../../sdk/index.ts";
import { applyEdits, type Edit } from "./edits.ts";
import { editForm } from "./form-edits.ts";
import { editJson } from "./json-edits.ts";
import { latin1Text } from "./latin1.ts";
import { hasPlaces, rulesFor, type Rules } from "./rules.ts";
import { redactingText } from "./text-redactor.ts";

/** How a body is searched: `unknown` is JSON where it reads as that, and else text; `other` is not looked at. */
export type BodyKind = "json" | "form" | "text" | "events" | "unknown" | "other";

const NO_EDITS: readonly Edit[] = [];
const TEXT =
  /^(?:text\/.+|application\/(?:.+\+)?xml|application\/(?:javascript|ecmascript|graphql|x-ndjson|ndjson|jsonl|yaml))$/u;

/** By its content type. */
export function kindOf(contentType: string | null): BodyKind {
  // Of two types a receiver may take either.
  if (contentType === null || contentType.trim() === "" || contentType.includes(",")) return "unknown";
  const type = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (/^(?:application|text)\/json$|\+json$/u.test(type)) return "json";
  if (type === "application/x-www-form-urlencoded") return "form";
  if (type === "text/event-stream") return "events";
  return TEXT.test(type) ? "text" : "other";
}

/** Whether the rules look for something in such a body. */
export function concerns(kind: BodyKind, rules: Rules): boolean {
  if (rules.patterns.length > 0) return kind !== "other";
  const isNamed = rules.names.size > 0;
  if (kind === "form") return isNamed;
  return (kind === "json" || kind === "unknown") && (isNamed || hasPlaces(rules));
}

/** A body without its secrets, and how many they were; `undefined` where it is not the JSON that it says. */
export interface Redacted {
  readonly bytes: Uint8Array;
  readonly count: number;
}

/** Hides what the rules name in a whole body; its bytes are the same where they name nothing. */
export function redactWhole(bytes: Uint8Array, kind: BodyKind, rules: Rules): Redacted | undefined {
  const text = latin1Text(bytes);
  const edits = kind === "form" ? editForm(text, rules) : editDocument(bytes, text, rules);
  if (edits !== undefined) return { bytes: edits.length === 0 ? bytes : applyEdits(bytes, edits), count: edits.length };
  return kind === "unknown" ? redactText(bytes, rules) : undefined;
}

const anyDocument = jsonSchema(true);
/** The proxy reads no longer ones. */
const CHECKED_MAX_BYTES = 1024 * 1024;

/** A document that nothing can be found in is read by the proxy, which is faster than a walk. */
function editDocument(bytes: Uint8Array, text: string, rules: Rules): readonly Edit[] | undefined {
  const narrowed = rulesFor(text, rules);
  const isClean = narrowed === undefined && bytes.length <= CHECKED_MAX_BYTES;
  // What it does not take may be JSON to others: with a byte order mark, or not quite UTF-8.
  if (isClean && anyDocument.check(bytes).length === 0) return NO_EDITS;
  return editJson(text, narrowed ?? rules);
}

/** The same by patterns alone. */
export function redactText(bytes: Uint8Array, { patterns }: Rules): Redacted {
  let count = 0;
  const text = redactingText(patterns, { isEvents: false, found: () => count++ });
  const first = text.chunk(bytes);
  const all = joinPieces([first, text.end()]);
  return { bytes: count === 0 ? bytes : all, count };
}

/** One after the other. */
export function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}
