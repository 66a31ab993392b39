// A message's body without its secrets: read whole where it has a form, piece by piece where it is text, or refused.
import { reply, type BodyTransform, type FilterHeaders, type StreamedBody, type Verdict } from "../../sdk/index.ts";
import { concerns, joinPieces, kindOf, redactText, redactWhole, type BodyKind } from "./bodies.ts";
import type { Config } from "./config.ts";
import type { Rules } from "./rules.ts";
import { redactingText, type TextRedactor } from "./text-redactor.ts";

/** Why a body cannot be searched. */
export type Why = "coded" | "part" | "too_large" | "not_json";

/** One message. */
export interface Subject {
  readonly of: "request" | "reply";
  readonly headers: FilterHeaders<string, string>;
  readonly body: StreamedBody;
  readonly rules: Rules;
  readonly config: Config;
  /** Counts what was hidden. */
  readonly count: (times: number) => void;
  readonly unreadable: (why: Why) => void;
}

/** They are of the bytes that were sent (RFC 9110 §8.8.3 and §14.3, RFC 9530 §2). */
export const SPOILED = ["accept-ranges", "content-digest", "content-md5", "digest", "etag", "repr-digest"] as const;
/** What a request is answered. */
const REFUSALS: Readonly<Record<Why, number>> = { coded: 415, part: 400, too_large: 413, not_json: 400 };
/** What whoever waits for a reply is answered that cannot be read. */
const BAD_GATEWAY = 502;

/** Hides what the rules name, in the form that the message says its body has. */
export function redactBody(subject: Subject): Verdict | undefined | Promise<Verdict | undefined> {
  const { headers, body, rules, config } = subject;
  const kind = kindOf(headers.get("content-type"));
  if (!concerns(kind, rules)) return undefined;
  const coding = headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (coding !== "identity") return giveUp(subject, "coded");
  if (headers.has("content-range")) return giveUp(subject, "part");
  if (kind === "text" || kind === "events") {
    dropSpoiled(headers);
    body.transform(textOf(subject, kind === "events"));
    return undefined;
  }
  const length = headers.get("content-length");
  if (length !== null && Number(length) > config.maxBytes) return giveUp(subject, "too_large");
  if (config.unreadable === "refuse") return redactNow(subject, kind);
  dropSpoiled(headers);
  body.transform(redactingAtEnd(subject, kind));
  return undefined;
}

/** Reads the body before its head goes on, so that it may be refused. */
async function redactNow(subject: Subject, kind: BodyKind): Promise<Verdict | undefined> {
  const { body, config, headers, rules, count } = subject;
  const bytes = await body.bytes();
  if (bytes.length === 0) return undefined;
  if (bytes.length > config.maxBytes) return giveUp(subject, "too_large");
  const redacted = redactWhole(bytes, kind, rules);
  if (redacted === undefined) return giveUp(subject, "not_json");
  if (redacted.count === 0) return undefined;
  count(redacted.count);
  dropSpoiled(headers);
  body.replace(redacted.bytes);
  return undefined;
}

/** Keeps the body until its end; one that turns out to be too long, or no JSON, goes on as text. */
function redactingAtEnd(subject: Subject, kind: BodyKind): BodyTransform {
  const { config, rules } = subject;
  let pieces: Uint8Array[] = [];
  let heldBytes = 0;
  let text: TextRedactor | undefined;
  return {
    chunk(bytes) {
      if (text !== undefined) return text.chunk(bytes);
      pieces.push(bytes);
      heldBytes += bytes.length;
      if (heldBytes <= config.maxBytes) return "";
      subject.unreadable("too_large");
      text = textOf(subject, false);
      const first = text.chunk(joinPieces(pieces));
      pieces = [];
      return first;
    },
    end() {
      if (text !== undefined) return text.end();
      if (heldBytes === 0) return "";
      const bytes = joinPieces(pieces);
      const whole = redactWhole(bytes, kind, rules);
      if (whole === undefined) subject.unreadable("not_json");
      const redacted = whole ?? redactText(bytes, rules);
      if (redacted.count > 0) subject.count(redacted.count);
      return redacted.bytes;
    },
  };
}

function textOf({ rules, count }: Subject, isEvents: boolean): TextRedactor {
  return redactingText(rules.patterns, { isEvents, found: () => count(1) });
}

/** A body that cannot be searched: refused, or let pass as it is. */
function giveUp({ of, config, unreadable }: Subject, why: Why): Verdict | undefined {
  unreadable(why);
  if (config.unreadable === "pass") return undefined;
  if (of === "reply") return reply({ status: BAD_GATEWAY, body: "Bad Gateway" });
  const status = REFUSALS[why];
  // What would have been accepted (RFC 9110 §15.5.16).
  if (why === "coded")
    return reply({ status, headers: { "accept-encoding": "identity" }, body: "Unsupported Media Type" });
  return reply({ status, body: status === 413 ? "Payload Too Large" : "Bad Request" });
}

function dropSpoiled(headers: Subject["headers"]): void {
  for (const name of SPOILED) if (headers.has(name)) headers.delete(name);
}
