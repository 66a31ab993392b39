// What a filter reads of an exchange, by the names in its manifest: readers are looked up once, when a filter is built.
import type { Exchange } from "../exchange/exchange.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import type { Reply } from "../exchange/reply.ts";

/** Reads one declared name; `undefined` where the exchange does not have it. */
export type Reader<Of> = (of: Of) => string | undefined;

/** Reads a request's attribute or field. Fields go by lower-case name. */
export function requestReader(name: string): Reader<Exchange> {
  return REQUEST_ATTRIBUTES[name] ?? ((exchange) => exchange.headers.get(name));
}

/** Reads a reply's status or field; attributes belong to the request. */
export function replyReader(name: string): Reader<Reply> | undefined {
  if (name === ":status") return (reply) => String(reply.status);
  if (Object.hasOwn(REQUEST_ATTRIBUTES, name)) return undefined;
  return (reply) => reply.headers.get(name);
}

/** Renders the lines of the declared names that are there: a head as the WIT's `begin` takes it. */
export function compileHead(reads: readonly string[]): {
  readonly request: (exchange: Exchange) => string;
  readonly response: (exchange: Exchange, reply: Reply) => string;
} {
  const requestLines = reads
    .filter((name) => name !== ":status")
    .map((name) => line(name, requestReader(name), headersOf));
  const replyLines = reads.flatMap((name) => {
    const reader = replyReader(name);
    return reader === undefined ? [] : [line(name, reader, headersOf)];
  });
  const request = (exchange: Exchange): string => {
    let head = "";
    for (const render of requestLines) head += render(exchange);
    return head;
  };
  return {
    request,
    response: (exchange, reply) => {
      let head = "";
      for (const render of replyLines) head += render(reply);
      return `${head}\n${request(exchange)}`;
    },
  };
}

function line<Of>(name: string, read: Reader<Of>, headers: (of: Of) => HeaderMap): (of: Of) => string {
  const prefix = `${name}: `;
  if (name === "set-cookie") {
    // RFC 6265 §3: cookies hold commas, so these fields are never joined.
    return (of) =>
      headers(of)
        .getAll(name)
        .map((value) => `${prefix}${value}\n`)
        .join("");
  }
  return (of) => {
    const value = read(of);
    return value === undefined ? "" : `${prefix}${value}\n`;
  };
}

function headersOf(of: Exchange | Reply): HeaderMap {
  return of.headers;
}

const REQUEST_ATTRIBUTES: Readonly<Record<string, Reader<Exchange>>> = {
  ":method": (exchange) => exchange.method,
  ":path": (exchange) => exchange.path,
  ":authority": (exchange) => exchange.authority,
  "source.ip": (exchange) => exchange.downstream.remoteIp,
  // Known once listeners speak mutual TLS.
  "source.principal": () => undefined,
  "destination.service": (exchange) => known(exchange.service, "unknown"),
  "destination.port": (exchange) => String(exchange.downstream.localPort),
  "route.name": (exchange) => known(exchange.decision?.routeName ?? "", ""),
  "request.id": (exchange) => known(exchange.requestId, ""),
  "context.direction": (exchange) => exchange.downstream.direction,
};

function known(value: string, unknown: string): string | undefined {
  return value === unknown ? undefined : value;
}
