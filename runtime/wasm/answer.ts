// What a guest answers, read by the grammar in filter.wit. A guest is not trusted: what does not follow it is a failure.
import { statusOf, type Edits, type ReplyParts } from "../chain/edits.ts";

/** A guest's answer. Its edits are not checked yet. */
export type Answer =
  | { readonly kind: "proceed"; readonly edits: Edits }
  | { readonly kind: "reply"; readonly reply: ReplyParts }
  | { readonly kind: "pending" }
  | { readonly kind: "failed"; readonly message: string };

const MESSAGE_MAX_LENGTH = 1000;
const NO_EDITS: Answer = { kind: "proceed", edits: [] };

/** Reads an answer; one that is not by the grammar reads as `failed`. */
export function parseAnswer(text: string): Answer {
  if (text === "proceed\n") return NO_EDITS;
  if (text.startsWith("proceed\n")) {
    const edits: string[] = [];
    return readLines(text, 8, edits) === text.length ? { kind: "proceed", edits } : malformed(text);
  }
  if (text.startsWith("reply ")) return parseReply(text);
  if (text === "pending\n") return { kind: "pending" };
  if (text.startsWith("failed ")) return { kind: "failed", message: text.slice(7, 7 + MESSAGE_MAX_LENGTH) };
  return malformed(text);
}

function parseReply(text: string): Answer {
  const lineEnd = text.indexOf("\n");
  const status = statusOf(text.slice(6, lineEnd));
  const edits: string[] = [];
  const end = readLines(text, lineEnd + 1, edits);
  const hasBody = end < text.length;
  if (status === undefined || (hasBody && text[end] !== "\n")) return malformed(text);
  const headers: [string, string][] = [];
  for (let index = 0; index < edits.length; index += 3) {
    if (edits[index] !== "add") return malformed(text);
    headers.push([edits[index + 1] ?? "", edits[index + 2] ?? ""]);
  }
  return { kind: "reply", reply: { status, headers, body: text.slice(end + 1) } };
}

/** Reads edit lines from `start` into `edits`; returns where the first line begins that is none. */
function readLines(text: string, start: number, edits: string[]): number {
  let position = start;
  while (position < text.length) {
    const space = text.indexOf(" ", position);
    const end = text.indexOf("\n", position);
    if (space < 0 || end < space) return position;
    const kind = text.slice(position, space);
    if (kind === "remove") edits.push(kind, text.slice(space + 1, end), "");
    else if (kind === "set" || kind === "add") {
      // A pseudo-header's name begins with a colon, so the search begins behind it.
      const colon = text.indexOf(": ", space + 2);
      if (colon < 0 || colon > end) return position;
      edits.push(kind, text.slice(space + 1, colon), text.slice(colon + 2, end));
    } else return position;
    position = end + 1;
  }
  return position;
}

function malformed(text: string): Answer {
  return { kind: "failed", message: `answered ${JSON.stringify(text.slice(0, 100))}, which is not an answer` };
}
