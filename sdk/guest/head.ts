// A head as it crossed: one string, searched where a handler asks. Nothing is taken apart that nobody reads, since a
// search costs the interpreter one call of the engine's and a parser one for each line.
import { addEdit, field } from "vespid:engine";
import { EditableHeaders, type Lookup } from "../headers.ts";
import { RequestMessage, ResponseMessage } from "../message.ts";
import type { CallPort } from "../port.ts";

const NO_EDITS: readonly string[] = [];

/** Reads lines `name: value`. */
const HEAD_LOOKUP: Lookup<string> = {
  get: (lines, name) => {
    const value = field(lines, name, NO_EDITS);
    if (value !== undefined) return value ?? undefined;
    const values = HEAD_LOOKUP.getAll(lines, name);
    return values.length === 0 ? undefined : values.join(", ");
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

/** Fields of a head. */
class HeadHeaders extends EditableHeaders<string> {
  /** As the lookup would answer, without the calls to it: what most handlers do most. */
  override get(name: string): string | null {
    const value = field(this.of, name, this.edits);
    return value === undefined ? super.get(name) : value;
  }

  override set(name: string, value: string): void {
    if (!addEdit(this.edits, "set", name, value)) super.set(name, value);
  }
}

// What is the same in each, or rarely there, costs a call nothing in a prototype.
const HEADERS = Object.assign(HeadHeaders.prototype, { lookup: HEAD_LOOKUP });
const REQUEST = Object.assign(RequestMessage.prototype, { touchedBody: undefined });
const RESPONSE = ResponseMessage.prototype;

/** The request of a head. */
export function requestOf(head: string, port: CallPort): RequestMessage<string> {
  // Literals: an interpreter makes them in half the steps of a constructor's call.
  const headers = { __proto__: HEADERS, of: head, edits: [] };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the prototype and the fields
  return { __proto__: REQUEST, headers, port } as unknown as RequestMessage<string>;
}

/** The reply's lines (or trailers), an empty line, the request's lines; either may have none. */
export function replyOf(head: string, port: CallPort): ResponseMessage<string> {
  const end = head.startsWith("\n") ? 0 : head.indexOf("\n\n") + 1;
  const request = requestOf(head.slice(end + 1), port);
  const headers = { __proto__: HEADERS, of: head.slice(0, end), edits: [] };
  const reply = { __proto__: RESPONSE, headers, port, request };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has the prototype and the fields
  return reply as unknown as ResponseMessage<string>;
}
