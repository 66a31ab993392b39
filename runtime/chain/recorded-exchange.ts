// Exchanges as recordings hold them. Everything that may carry a credential is left out here, in the proxy, before anything
// is told.
import { ATTRIBUTES, METADATA_PREFIX } from "../../sdk/wit/world.ts";
import type { Recorded, RecordedBody } from "../contract/recording.ts";
import type { SeenVerdict } from "../contract/trial.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { requestReader } from "./attributes.ts";
import { REDACTED, type Redactor } from "./secrets.ts";

/** Attributes that stand by themselves: the others are the request's line and fields. */
const READERS = ATTRIBUTES.filter((name) => !name.startsWith(":")).map((name) => [name, requestReader(name)] as const);
const JSON_TYPE = /^(?:application|text)\/(?:[\w.+-]+\+)?json$/u;
const FORM_TYPE = "application/x-www-form-urlencoded";
/** Of an address: `https://user:password@host/`. */
const CREDENTIALS = /\/\/[^/?#@\s]+@/gu;
/** As many as a recording holds. */
const HEADERS_MAX = 1000;
const DEPTH_MAX = 100;

/** The request as it is now. */
export function recordRequest(exchange: Exchange, redactor: Redactor): Recorded["request"] {
  const { method, path, authority, headers } = exchange;
  return { method, path: redactPath(path, redactor), authority, headers: recordHeaders(headers, redactor) };
}

/** Fields in their order. */
export function recordHeaders(headers: HeaderMap, redactor: Redactor): [string, string][] {
  return [...headers].slice(0, HEADERS_MAX).map(([name, value]) => [name, recordField(name, value, redactor)]);
}

/** Of a field that is shown, its addresses are shown as the request's own: `referer` and `location` have queries too. */
function recordField(name: string, value: string, redactor: Redactor): string {
  const shown = redactor.field(name, value);
  return shown === value ? redactPath(value.replaceAll(CREDENTIALS, `//${REDACTED}@`), redactor) : shown;
}

/** What a filter may read of an exchange besides its head, which is recorded before: a filter may have copied from it. */
export function recordAttributes(exchange: Exchange, redactor: Redactor): Record<string, string> {
  const attributes: Record<string, string> = {};
  for (const [name, read] of READERS) {
    const value = read(exchange);
    if (value !== undefined) attributes[name] = value;
  }
  for (const [name, value] of exchange.metadata ?? []) {
    const shown = redactor.parameter(name, value);
    attributes[`${METADATA_PREFIX}${name}`] = shown === value ? redactor.written(name, value) : shown;
  }
  return attributes;
}

/** A verdict whose values are shown no more than those of the head. */
export function redactVerdict(verdict: SeenVerdict, redactor: Redactor): SeenVerdict {
  const edits = verdict.edits.map(({ kind, name, value }) => {
    return { kind, name, value: kind === "remove" ? "" : redactor.written(name, value) };
  });
  return { ...verdict, edits };
}

/** A body whose secrets are known by their names; any other only where `takesAll`. */
export function recordBody(
  bytes: Uint8Array,
  contentType: string,
  redactor: Redactor,
  takesAll: boolean,
): RecordedBody | undefined {
  if (bytes.length === 0) return undefined;
  const type = contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  if (JSON_TYPE.test(type)) return recordJson(bytes, redactor);
  if (type === FORM_TYPE) return { kind: "text", text: redactForm(new TextDecoder().decode(bytes), redactor) };
  if (!takesAll) return { kind: "left_out", reason: `nothing can be redacted by name in ${type || "an unknown type"}` };
  try {
    return { kind: "text", text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch {
    // Not text.
    return { kind: "base64", base64: Buffer.from(bytes).toString("base64") };
  }
}

/** The path with the values of its query's secrets left out. */
export function redactPath(path: string, redactor: Redactor): string {
  const question = path.indexOf("?");
  if (question < 0) return redactSegments(path, redactor);
  return redactSegments(path.slice(0, question), redactor) + "?" + redactForm(path.slice(question + 1), redactor);
}

/** Parameters of segments (RFC 3986 §3.3): `/cart;jsessionid=1`. */
function redactSegments(path: string, redactor: Redactor): string {
  return path.replaceAll(/;([^;=/]+)=([^;/]+)/gu, (parameter, name: string, value: string) =>
    redactor.parameter(decode(name), decode(value)) === REDACTED ? `;${name}=${REDACTED}` : parameter,
  );
}

/** Names and values stay as they were written, but for values that are left out. */
function redactForm(form: string, redactor: Redactor): string {
  return form
    .split("&")
    .map((pair) => {
      const [name = ""] = pair.split("=");
      if (pair.length === name.length) return pair;
      const value = pair.slice(name.length + 1);
      const shown = redactor.parameter(decode(name), decode(value));
      return shown === REDACTED ? `${name}=${REDACTED}` : pair;
    })
    .join("&");
}

function decode(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    // Not well formed: it is what it is.
    return name;
  }
}

function recordJson(bytes: Uint8Array, redactor: Redactor): RecordedBody {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return { kind: "text", text: JSON.stringify(redactJson(value, redactor, 0)) };
  } catch {
    // What cannot be read cannot be redacted.
    return { kind: "left_out", reason: "says that it is JSON, and is not" };
  }
}

function redactJson(value: unknown, redactor: Redactor, depth: number): unknown {
  if (depth > DEPTH_MAX) return REDACTED;
  if (Array.isArray(value)) return value.map((item) => redactJson(item, redactor, depth + 1));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      redactor.isSecret(name) ? hideJson(name, member, redactor) : redactJson(member, redactor, depth + 1),
    ]),
  );
}

function hideJson(name: string, member: unknown, redactor: Redactor): string {
  return redactor.parameter(name, typeof member === "string" ? member : JSON.stringify(member));
}
