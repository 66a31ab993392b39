// A head as it crossed: one string, searched where a handler asks. Nothing is taken apart that nobody reads, since a
// search costs the interpreter one native call and a parser one for each line.
import { EditableHeaders, type Lookup } from "../headers.ts";
import { RequestMessage, ResponseMessage } from "../message.ts";
import type { CallPort } from "../port.ts";

/** Reads lines `name: value`. The text begins with LF, so that every name follows one. */
const HEAD_LOOKUP: Lookup<string> = {
  get: (lines, name) => {
    if (name === "set-cookie") {
      const values = HEAD_LOOKUP.getAll(lines, name);
      return values.length === 0 ? undefined : values.join(", ");
    }
    const at = lines.indexOf(needleOf(name));
    if (at < 0) return undefined;
    const start = at + name.length + 3;
    return lines.slice(start, lines.indexOf("\n", start));
  },
  getAll: (lines, name) => {
    const prefix = `${name}: `;
    return lines
      .split("\n")
      .filter((line) => line.startsWith(prefix))
      .map((line) => line.slice(prefix.length));
  },
  names: (lines) => lines.split("\n").flatMap((line) => (line === "" ? [] : [line.slice(0, line.indexOf(": ", 1))])),
};

function needleOf(name: string): string {
  return `\n${name}: `;
}

/** What a line of each declared name begins with, but for `set-cookie`, of which there may be several. */
const needles: Record<string, string | undefined> = Object.create(null);

/** The names that handlers will ask for. */
export function expectReads(reads: readonly string[]): void {
  for (const name of reads) if (name !== "set-cookie") needles[name] = needleOf(name);
}

/** Fields of a head. */
class HeadHeaders extends EditableHeaders<string> {
  /** As the lookup would answer, without the calls to it: what most handlers do most. */
  override get(name: string): string | null {
    const needle = needles[name];
    if (needle === undefined || this.edits.length > 0) return super.get(name);
    const { of } = this;
    const at = of.indexOf(needle);
    if (at < 0) return null;
    const start = at + needle.length;
    return of.slice(start, of.indexOf("\n", start));
  }
}

// What is the same in each, or rarely there, costs a call nothing in a prototype.
const HEADERS = Object.assign(HeadHeaders.prototype, { lookup: HEAD_LOOKUP });
const REQUEST = Object.assign(RequestMessage.prototype, { touchedBody: undefined });
const RESPONSE = ResponseMessage.prototype;

// Literals: an interpreter makes them in half the steps of a constructor's call. And sums, since it makes a method call
// of a template.
/* oxlint-disable typescript/no-unsafe-type-assertion, prefer-template -- they have the prototypes and the fields */

/** The request of a head. */
export function requestOf(head: string, port: CallPort): RequestMessage<string> {
  return requestAt("\n" + head, port);
}

/** The reply's lines (or trailers), an empty line, the request's lines; either may have none. */
export function replyOf(head: string, port: CallPort): ResponseMessage<string> {
  const end = head.startsWith("\n") ? 0 : head.indexOf("\n\n") + 1;
  const request = requestAt(head.slice(end), port);
  const headers = { __proto__: HEADERS, of: "\n" + head.slice(0, end), edits: [] };
  const reply = { __proto__: RESPONSE, headers, port, request };
  return reply as unknown as ResponseMessage<string>;
}

function requestAt(lines: string, port: CallPort): RequestMessage<string> {
  const headers = { __proto__: HEADERS, of: lines, edits: [] };
  return { __proto__: REQUEST, headers, port } as unknown as RequestMessage<string>;
}
