// What a filter reads of an exchange, by the names in its manifest: readers are looked up once, when a filter is built.
import { METADATA_PREFIX } from "../../sdk/wit/world.ts";
import { Exchange } from "../exchange/exchange.ts";
import { NOT_THERE, NO_ROOM, type HeaderMap } from "../exchange/headers.ts";

/** Reads one declared name; `undefined` where the exchange does not have it. */
export type Reader<Of> = (of: Of) => string | undefined;

/** Whose fields and status a head begins with. */
export interface Fields {
  readonly headers: HeaderMap;
  /** `undefined` for trailers. */
  readonly status?: number;
}

const LF = 10;
/** In `reads`: every field. */
export const EVERY_FIELD = "*";
/** In `reads`: every value that filters left for later ones. */
export const EVERY_METADATA = "metadata.*";

/** Reads a request's attribute or field. Fields go by lower-case name. */
export function requestReader(name: string): Reader<Exchange> {
  const attribute = attributeReader(name);
  return attribute ?? ((exchange) => exchange.headers.get(name));
}

/** Reads a reply's (or trailers') status or field; attributes belong to the request. */
export function replyReader(name: string): Reader<Fields> | undefined {
  if (name === ":status") return ({ status }) => (status === undefined ? undefined : String(status));
  if (attributeReader(name) !== undefined) return undefined;
  return (fields) => fields.headers.get(name);
}

/** Reads what the wildcards of `reads` cover of a request. A field of an attribute's name is no attribute, and not read. */
export function requestWildcard(reads: readonly string[]): (of: Exchange, name: string) => string | undefined {
  const readsFields = reads.includes(EVERY_FIELD);
  const readsMetadata = reads.includes(EVERY_METADATA);
  return (of, name) => {
    if (name.startsWith(METADATA_PREFIX))
      return readsMetadata ? of.metadata?.get(name.slice(METADATA_PREFIX.length)) : undefined;
    return readsFields && !isAttribute(name) ? of.headers.get(name) : undefined;
  };
}

/** The same of a reply or trailers, which have fields alone. */
export function replyWildcard(reads: readonly string[]): (of: Fields, name: string) => string | undefined {
  const readsFields = reads.includes(EVERY_FIELD);
  return (of, name) => (readsFields && !isAttribute(name) ? of.headers.get(name) : undefined);
}

/** Heads as the WIT's `begin` takes them: lines of the declared names that are there. */
export interface Head {
  readonly request: (exchange: Exchange) => string;
  /** The reply's (or trailers') lines, an empty line, the request's. */
  readonly response: (exchange: Exchange, fields: Fields) => string;
}

/** Renders heads of what is declared. */
export function compileHead(reads: readonly string[]): Head {
  const requestLines = reads.filter((name) => name !== ":status").map((name) => lineOf(name, requestReader(name)));
  const replyLines = reads.flatMap((name) => {
    const reader = replyReader(name);
    return reader === undefined ? [] : [lineOf(name, reader)];
  });
  return {
    request: (exchange) => renderLines(requestLines, exchange, ""),
    response: (exchange, fields) => renderLines(requestLines, exchange, `${renderLines(replyLines, fields, "")}\n`),
  };
}

/** What a declared name becomes in a head. */
type Line<Of> =
  /** A field of one value, which is found without a call between: most are. */
  | { readonly kind: "field"; readonly name: string; readonly prefix: string }
  | { readonly kind: "attribute"; readonly prefix: string; readonly read: Reader<Of> }
  /** Any number of lines. */
  | { readonly kind: "lines"; readonly render: (of: Of) => string };

function lineOf<Of extends { readonly headers: HeaderMap }>(name: string, read: Reader<Of>): Line<Of> {
  if (name === EVERY_FIELD) return { kind: "lines", render: (of) => renderFields(of.headers) };
  if (name === EVERY_METADATA)
    return { kind: "lines", render: (of) => (of instanceof Exchange ? renderMetadata(of) : "") };
  if (name === "set-cookie") return { kind: "lines", render: (of) => renderCookies(of.headers) };
  const prefix = `${name}: `;
  return name === ":status" || isAttribute(name)
    ? { kind: "attribute", prefix, read }
    : { kind: "field", name, prefix };
}

function renderLines<Of extends { readonly headers: HeaderMap }>(
  lines: readonly Line<Of>[],
  of: Of,
  before: string,
): string {
  let head = before;
  let end = 0;
  for (const line of lines) {
    if (line.kind === "field") {
      const written = writeLine(line, of.headers, end);
      if (written !== NO_ROOM) {
        end = written;
        continue;
      }
    }
    if (end > 0) head += scratch.latin1Slice(0, end);
    end = 0;
    if (line.kind === "lines") head += line.render(of);
    else {
      const value = line.kind === "field" ? of.headers.get(line.name) : line.read(of);
      if (value !== undefined) head = `${head}${line.prefix}${value}\n`;
    }
  }
  return end === 0 ? head : head + scratch.latin1Slice(0, end);
}

/** Lines of fields that follow each other, as bytes: of their values and names, each would be a string, and their sum one more. */
const scratch = Buffer.allocUnsafeSlow(16 * 1024);

/** Where the line ends; where it began, if there is no such field. */
function writeLine({ name, prefix }: { name: string; prefix: string }, headers: HeaderMap, start: number): number {
  const end = headers.writeValue(name, scratch, start + prefix.length);
  if (end === NOT_THERE) return start;
  if (end === NO_ROOM) return NO_ROOM;
  for (let index = 0; index < prefix.length; index++) scratch[start + index] = prefix.charCodeAt(index);
  scratch[end] = LF;
  return end + 1;
}

/** RFC 6265 §3: cookies hold commas, so these fields are never joined. */
function renderCookies(headers: HeaderMap): string {
  return headers
    .getAll("set-cookie")
    .map((value) => `set-cookie: ${value}\n`)
    .join("");
}

function renderFields(headers: HeaderMap): string {
  const joined = new Map<string, string>();
  for (const [field, value] of headers) {
    const name = field.toLowerCase();
    // A client may send a field of an attribute's name: it must not pass for the attribute.
    if (name === "set-cookie" || isAttribute(name)) continue;
    const before = joined.get(name);
    joined.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  let lines = renderCookies(headers);
  for (const [name, value] of joined) lines += `${name}: ${value}\n`;
  return lines;
}

function renderMetadata({ metadata = new Map() }: Exchange): string {
  let lines = "";
  for (const [name, value] of metadata) lines += `${METADATA_PREFIX}${name}: ${value}\n`;
  return lines;
}

function isAttribute(name: string): boolean {
  return name.startsWith(METADATA_PREFIX) || Object.hasOwn(ATTRIBUTES, name);
}

function attributeReader(name: string): Reader<Exchange> | undefined {
  if (!name.startsWith(METADATA_PREFIX)) return Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name] : undefined;
  const key = name.slice(METADATA_PREFIX.length);
  return (exchange) => exchange.metadata?.get(key);
}

const ATTRIBUTES: Readonly<Record<string, Reader<Exchange>>> = {
  ":method": (exchange) => exchange.method,
  ":path": (exchange) => exchange.path,
  ":authority": (exchange) => exchange.authority,
  "source.ip": (exchange) => exchange.downstream.remoteIp,
  "source.port": ({ downstream: { remoteAddress, remoteIp } }) =>
    known(remoteAddress.slice(remoteAddress.lastIndexOf(":") + 1), remoteIp),
  "source.principal": (exchange) => known(exchange.downstream.tls?.principal ?? "", ""),
  "destination.service": (exchange) => known(exchange.service, "unknown"),
  "destination.ip": ({ downstream: { originalDestination, localAddress } }) =>
    originalDestination?.ip ?? ipOf(localAddress),
  "destination.port": (exchange) => String(exchange.downstream.localPort),
  "route.name": (exchange) => known(exchange.decision?.routeName ?? "", ""),
  "request.id": (exchange) => known(exchange.requestId, ""),
  "request.scheme": (exchange) => exchange.scheme,
  "request.protocol": (exchange) => exchange.protocol,
  "request.time": (exchange) => String(exchange.startedAtMs),
  "connection.requested_server_name": (exchange) => known(exchange.downstream.tls?.serverName ?? "", ""),
  "context.direction": (exchange) => exchange.downstream.direction,
  "request.size": (exchange) => (exchange.endedMonoMs > 0 ? String(exchange.bytesReceived) : undefined),
  "response.size": (exchange) => (exchange.endedMonoMs > 0 ? String(exchange.bytesSent) : undefined),
  "response.duration": ({ endedMonoMs, startedMonoMs }) =>
    endedMonoMs > 0 ? (endedMonoMs - startedMonoMs).toFixed(3) : undefined,
  "response.flags": (exchange) => (exchange.endedMonoMs > 0 ? exchange.flags : undefined),
  "response.code_details": (exchange) => known(exchange.details, ""),
  "upstream.address": (exchange) => known(exchange.upstreamHost, ""),
};

/** Of `127.0.0.1:80` or `[::1]:80`. */
function ipOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replaceAll(/[[\]]/gu, "");
}

function known(value: string, unknown: string): string | undefined {
  return value === unknown ? undefined : value;
}
