// What a filter reads of a connection, by the names in its manifest: the lines of the WIT's head, natively too.
import { METADATA_PREFIX } from "../../sdk/wit/world.ts";
import { isFieldValue } from "../exchange/headers.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";

type Reader = (session: TcpSession) => string | undefined;

/** Renders the head of a connection, of what is declared and there. */
export function compileConnectionHead(reads: readonly string[]): (session: TcpSession) => string {
  const lines = reads.flatMap((name) => {
    const read = readerOf(name);
    return read === undefined ? [] : [{ prefix: `${name}: `, read }];
  });
  return function renderHead(session) {
    let head = "";
    for (const { prefix, read } of lines) {
      const value = read(session);
      // A name that a client chose could hold anything.
      if (value !== undefined && isFieldValue(value)) head += `${prefix}${value}\n`;
    }
    return head;
  };
}

function readerOf(name: string): Reader | undefined {
  if (!name.startsWith(METADATA_PREFIX)) return Object.hasOwn(ATTRIBUTES, name) ? ATTRIBUTES[name] : undefined;
  const key = name.slice(METADATA_PREFIX.length);
  return (session) => session.metadata?.get(key);
}

const ATTRIBUTES: Readonly<Record<string, Reader>> = {
  "source.ip": ({ downstream }) => downstream.remoteIp,
  "source.port": ({ downstream }) => portOf(downstream.remoteAddress),
  "source.principal": ({ downstream }) => known(downstream.tls?.principal),
  "destination.service": ({ service }) => (service === "unknown" ? undefined : service),
  "destination.ip": ({ downstream }) => downstream.originalDestination?.ip ?? ipOf(downstream.localAddress),
  "destination.port": ({ downstream }) => String(downstream.originalDestination?.port ?? downstream.localPort),
  "route.name": ({ routeName }) => known(routeName),
  "request.time": ({ startedAtMs }) => String(startedAtMs),
  "connection.requested_server_name": ({ serverName, downstream }) =>
    known(serverName) ?? known(downstream.tls?.serverName),
  "context.direction": ({ downstream }) => downstream.direction,
  "request.size": (session) => (session.endedMonoMs > 0 ? String(session.bytesReceived) : undefined),
  "response.size": (session) => (session.endedMonoMs > 0 ? String(session.bytesSent) : undefined),
  "response.duration": ({ endedMonoMs, startedMonoMs }) =>
    endedMonoMs > 0 ? (endedMonoMs - startedMonoMs).toFixed(3) : undefined,
  "response.flags": ({ endedMonoMs, flags }) => (endedMonoMs > 0 ? flags : undefined),
  "response.code_details": ({ details }) => known(details),
  "upstream.address": ({ upstreamHost }) => known(upstreamHost),
};

function known(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}

function portOf(address: string): string | undefined {
  return known(address.slice(address.lastIndexOf(":") + 1));
}

/** Of `127.0.0.1:80` or `[::1]:80`. */
function ipOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replaceAll(/[[\]]/gu, "");
}
