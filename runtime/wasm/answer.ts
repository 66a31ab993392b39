// What a guest answers, read by the grammar in filter.wit. A guest is not trusted: what does not follow it is a failure.
import type { Watched } from "../../sdk/handled-connection.ts";
import { statusOf, type Edits } from "../chain/edits.ts";
import type { FilterMeter } from "../chain/meter.ts";

/** A guest's answer. Its edits are not checked yet. */
export type Answer =
  | ({ readonly kind: "proceed"; readonly edits: Edits } & Options)
  | ({
      readonly kind: "reply";
      readonly status: number;
      readonly headers: readonly (readonly [string, string])[];
      readonly body: string;
    } & Options)
  | ({ readonly kind: "pass"; readonly edits: Edits } & Options)
  | { readonly kind: "more" }
  /** It ends its connection. */
  | { readonly kind: "close"; readonly isReset: boolean; readonly reason: string; readonly edits: Edits }
  | { readonly kind: "pending"; readonly starts: Start | undefined }
  | { readonly kind: "failed"; readonly message: string };

/** An operation that the answer starts. */
export interface Start {
  /** The guest's own number. */
  readonly operation: number;
  readonly kind: string;
  readonly request: string;
}

/** What an answer says besides. */
export interface Options {
  /** What the call emitted is the body. */
  readonly hasBody: boolean;
  /** The body's pieces go through the call. */
  readonly isStream: boolean;
  /** For how long the same head would be answered alike; `0` is not said. */
  readonly cacheMs: number;
  /** Of an adapter: for how many uses of that, where it says so. */
  readonly uses: number | undefined;
  /** Of a quota: how much may be had, where it says so. */
  readonly granted: number | undefined;
  /** What it reads of its connection. */
  readonly watched: readonly Watched[];
  /** The upstream that its connection goes to. */
  readonly route: string | undefined;
}

const MESSAGE_MAX_LENGTH = 4000;
const MEASUREMENTS_MAX = 256;
/** What an answer says besides its body: no head is longer. Writing it costs a guest nothing, reading it costs the proxy. */
const LINES_MAX = 1000;
const LINES_MAX_LENGTH = 65_536;
const NO_OPTIONS: Options = {
  hasBody: false,
  isStream: false,
  cacheMs: 0,
  uses: undefined,
  granted: undefined,
  watched: [],
  route: undefined,
};
const NO_EDITS: Answer = { kind: "proceed", edits: [], ...NO_OPTIONS };
const PASS: Answer = { kind: "pass", edits: [], ...NO_OPTIONS };
const MORE: Answer = { kind: "more" };
const PENDING: Answer = { kind: "pending", starts: undefined };
/** Of operations whose numbers are the guest's. */
const OWN_NUMBER_MIN = 2 ** 31;
const OWN_NUMBER_MAX = 2 ** 32 - 1;
const METRIC = "metric ";
const SPACE = 0x20;
const METRIC_START = METRIC.charCodeAt(0);
const EDIT_KINDS = ["set", "add", "remove"] as const;

/** Reads an answer; one that is not by the grammar reads as `failed`. Measurements go to the meter. */
export function parseAnswer(text: string, meter: FilterMeter): Answer {
  if (text.charCodeAt(0) !== METRIC_START || !text.startsWith(METRIC)) return parseVerdict(text);
  let position = 0;
  for (let count = 0; text.startsWith(METRIC, position); count++) {
    const end = text.indexOf("\n", position);
    if (end < 0) return malformed(text);
    if (count < MEASUREMENTS_MAX) measure(text.slice(position + METRIC.length, end), meter);
    position = end + 1;
  }
  return parseVerdict(text.slice(position));
}

function parseVerdict(text: string): Answer {
  if (text === "proceed\n") return NO_EDITS;
  if (text === "pending\n") return PENDING;
  if (text.startsWith("proceed\n")) return parseChanges("proceed", text);
  if (text.startsWith("pending ")) return parseStart(text);
  if (text === "pass\n") return PASS;
  if (text.startsWith("pass\n")) return parseChanges("pass", text);
  if (text === "more\n") return MORE;
  if (text.startsWith("reply ")) return parseReply(text);
  const ending = /^(close|reset)(?: ([^\n]*))?\n/u.exec(text);
  if (ending !== null) return parseEnding(text, ending);
  if (text.startsWith("failed ")) return { kind: "failed", message: text.slice(7, 7 + MESSAGE_MAX_LENGTH) };
  return malformed(text);
}

function parseStart(text: string): Answer {
  const numberEnd = text.indexOf(" ", 8);
  const lineEnd = text.indexOf("\n");
  const operation = Number(text.slice(8, numberEnd));
  const isOwn = operation >= OWN_NUMBER_MIN && operation <= OWN_NUMBER_MAX && Number.isInteger(operation);
  if (numberEnd < 0 || lineEnd < numberEnd || !isOwn) return malformed(text);
  const kind = text.slice(numberEnd + 1, lineEnd);
  return { kind: "pending", starts: { operation, kind, request: text.slice(lineEnd + 1) } };
}

/** `kind` is the first line. What is read for each request is written out: to spread an object is a call into the engine. */
function parseChanges(kind: "proceed" | "pass", text: string): Answer {
  const { edits, options, end } = readLines(text, kind.length + 1);
  if (end < text.length) return malformed(text);
  const { hasBody, isStream, cacheMs, uses, granted, watched, route } = options;
  return { kind, edits, hasBody, isStream, cacheMs, uses, granted, watched, route };
}

function parseReply(text: string): Answer {
  const lineEnd = text.indexOf("\n");
  const status = statusOf(text.slice(6, lineEnd));
  const { edits, options, end } = readLines(text, lineEnd + 1);
  const hasText = end < text.length;
  if (status === undefined || options.isStream || (hasText && (text[end] !== "\n" || options.hasBody)))
    return malformed(text);
  const headers: [string, string][] = [];
  for (let index = 0; index < edits.length; index += 3) {
    if (edits[index] !== "add") return malformed(text);
    headers.push([edits[index + 1] ?? "", edits[index + 2] ?? ""]);
  }
  return { kind: "reply", status, headers, body: text.slice(end + 1), ...options };
}

function parseEnding(text: string, [line, kind, reason = ""]: RegExpExecArray): Answer {
  const { edits, end } = readLines(text, line.length);
  return end === text.length ? { kind: "close", isReset: kind === "reset", reason, edits } : malformed(text);
}

interface Lines {
  readonly edits: Edits;
  readonly options: Options;
  /** Where the first line begins that is none of them. */
  readonly end: number;
}

/** Reads the lines of edits and options from `start` on. */
function readLines(text: string, start: number): Lines {
  const edits: string[] = [];
  let options = NO_OPTIONS;
  let position = start;
  for (let count = 0; position < text.length; count++) {
    if (count === LINES_MAX || position - start > LINES_MAX_LENGTH) break;
    const end = text.indexOf("\n", position);
    const kind = editKindAt(text, position);
    const space = kind === undefined ? text.indexOf(" ", position) : position + kind.length;
    if (space < 0 || end < space) break;
    if (kind === "remove") edits.push(kind, text.slice(space + 1, end), "");
    else if (kind !== undefined) {
      // A pseudo-header's name begins with a colon, so the search begins behind it.
      const colon = text.indexOf(": ", space + 2);
      if (colon < 0 || colon > end) break;
      edits.push(kind, text.slice(space + 1, colon), text.slice(colon + 2, end));
    } else {
      const read = readOption(text.slice(position, space), text.slice(space + 1, end), options);
      if (read === undefined) break;
      options = read;
    }
    position = end + 1;
  }
  return { edits, options, end: position };
}

/** The edit that a line begins with, told by its first letter before it is compared. */
function editKindAt(text: string, position: number): (typeof EDIT_KINDS)[number] | undefined {
  for (const kind of EDIT_KINDS) {
    if (text.charCodeAt(position) !== kind.charCodeAt(0)) continue;
    return text.startsWith(kind, position) && text.charCodeAt(position + kind.length) === SPACE ? kind : undefined;
  }
  return undefined;
}

function readOption(kind: string, value: string, options: Options): Options | undefined {
  if (kind === "body" && value === "emitted") return { ...options, hasBody: true };
  if (kind === "body" && value === "stream") return { ...options, isStream: true };
  if (kind === "read" && isWatched(value)) return { ...options, watched: [...options.watched, value] };
  if (kind === "route") return { ...options, route: value };
  if (kind === "cache" && /^\d{1,9}$/u.test(value)) return { ...options, cacheMs: Number(value) };
  if (kind === "uses" && /^\d{1,9}$/u.test(value)) return { ...options, uses: Number(value) };
  if (kind === "granted" && /^\d{1,16}$/u.test(value)) return { ...options, granted: Number(value) };
  return undefined;
}

function isWatched(value: string): value is Watched {
  return value === "first" || value === "downstream" || value === "upstream" || value === "end";
}

/** One measurement: `["name", number, "label value", …]`. What is none counts for nothing. */
function measure(json: string, meter: FilterMeter): void {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    // A guest may write anything.
    return;
  }
  if (!Array.isArray(parsed)) return;
  const [name, value, ...labels]: readonly unknown[] = parsed;
  if (typeof name !== "string" || typeof value !== "number") return;
  meter.record(
    name,
    value,
    // A list in a list would be written out, and its depth may be any.
    labels.map((label) => (typeof label === "string" || typeof label === "number" ? String(label) : "")),
  );
}

function malformed(text: string): Answer {
  return { kind: "failed", message: `answered ${JSON.stringify(text.slice(0, 100))}, which is not an answer` };
}
