// What an exchange knows of the vocabulary's attributes. Readers are looked up once, when rules are compiled.
import type { Exchange } from "../exchange/exchange.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { canonicalAddress } from "./address.ts";
import type { Read } from "./compile.ts";
import { mapOf, type StringMap, type Value } from "./value.ts";

/** Whom this proxy stands before. */
export interface OwnWorkload {
  readonly service: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Finds the reader of an attribute; for one that is not in the vocabulary, a reader of nothing. */
export function compileAttributes(own: OwnWorkload): (name: string) => Read<Exchange> {
  const readers: Readonly<Record<string, Read<Exchange>>> = {
    ...peersOf(own),
    ...REQUEST,
    ...REPLY,
  };
  return (name) => (Object.hasOwn(readers, name) ? readers[name] : undefined) ?? (() => undefined);
}

/** Who calls whom: at the caller's sidecar the workload is the source, at the service's the destination. */
function peersOf({ service, namespace, labels }: OwnWorkload): Readonly<Record<string, Read<Exchange>>> {
  const ownLabels = mapOf(labels);
  const ownHost = `${service}.${namespace}.svc.cluster.local`;
  const sourceNamespace: Read<Exchange> = (exchange) =>
    isInbound(exchange) ? NAMESPACE_OF.exec(principalOf(exchange) ?? "")?.[1] : namespace;
  const host = (exchange: Exchange): string | undefined => (isInbound(exchange) ? ownHost : calledHost(exchange));
  return {
    "source.namespace": sourceNamespace,
    "source.workload.namespace": sourceNamespace,
    "source.workload.name": atSource(service),
    "source.labels": atSource(ownLabels),
    "destination.labels": atDestination(ownLabels),
    "destination.workload.name": atDestination(service),
    "destination.workload.namespace": atDestination(namespace),
    "destination.namespace": (exchange) => (isInbound(exchange) ? namespace : SERVICE.exec(host(exchange) ?? "")?.[2]),
    "destination.service.host": host,
    "destination.service.name": (exchange) => SERVICE.exec(host(exchange) ?? "")?.[1],
    "destination.service.namespace": (exchange) => SERVICE.exec(host(exchange) ?? "")?.[2],
  };
}

/** Known at the caller's sidecar alone. */
function atSource(value: Value): Read<Exchange> {
  return (exchange) => (isInbound(exchange) ? undefined : value);
}

/** Known at the service's sidecar alone. */
function atDestination(value: Value): Read<Exchange> {
  return (exchange) => (isInbound(exchange) ? value : undefined);
}

const NAMESPACE_OF = /\/ns\/([^/]+)/u;
const ACCOUNT_OF = /\/sa\/([^/]+)/u;
/** The name of a service of the mesh; any other has no namespace. */
const SERVICE = /^([^.]+)(?:\.([^.]+)\.svc\.cluster\.local)?/u;

const REQUEST: Readonly<Record<string, Read<Exchange>>> = {
  "source.ip": ({ downstream }) => canonicalAddress(downstream.remoteIp),
  "source.port": ({ downstream }) => portIn(downstream.remoteAddress),
  "source.principal": principalOf,
  "source.user": principalOf,
  "source.serviceAccount": (exchange) => ACCOUNT_OF.exec(principalOf(exchange) ?? "")?.[1],
  "destination.ip": destinationIp,
  "destination.port": ({ downstream }) => downstream.originalDestination?.port ?? downstream.localPort,
  "request.headers": (exchange) => fieldsOf(exchange.headers),
  "request.query_params": (exchange) => queryOf(pathOf(exchange)),
  "request.id": (exchange) => present(exchange.requestId),
  "request.path": pathOf,
  "request.url_path": (exchange) => {
    const path = pathOf(exchange);
    const query = path.indexOf("?");
    return query < 0 ? path : path.slice(0, query);
  },
  "request.host": (exchange) => present(exchange.authority),
  "request.method": (exchange) => exchange.method,
  "request.referer": (exchange) => exchange.headers.get("referer"),
  "request.useragent": (exchange) => exchange.headers.get("user-agent"),
  "request.scheme": (exchange) => exchange.scheme,
  "request.protocol": (exchange) => exchange.protocol,
  "request.time": (exchange) => exchange.startedAtMs,
  "context.time": (exchange) => instantOf(exchange, exchange.endedMonoMs) ?? exchange.startedAtMs,
  "connection.mtls": ({ downstream }) => downstream.tls?.certificate !== undefined,
  "connection.requested_server_name": ({ downstream }) => present(downstream.tls?.serverName ?? ""),
  "context.protocol": (exchange) => (exchange.isGrpc ? "grpc" : "http"),
  "context.reporter.kind": ({ downstream }) => downstream.direction,
  "route.name": (exchange) => present(exchange.decision?.routeName ?? ""),
  metadata: ({ metadata }) => metadata && { get: (key) => metadata.get(key), entries: () => metadata.entries() },
};

/** What is known once the exchange has ended. */
const REPLY: Readonly<Record<string, Read<Exchange>>> = {
  "request.size": (exchange) => exchange.bytesReceived,
  "response.size": (exchange) => exchange.bytesSent,
  "response.code": (exchange) => exchange.status,
  "response.headers": ({ reply }) => reply && fieldsOf(reply.headers),
  "response.duration": ({ endedMonoMs, startedMonoMs }) => (endedMonoMs > 0 ? endedMonoMs - startedMonoMs : undefined),
  "response.time": (exchange) => instantOf(exchange, exchange.repliedMonoMs),
  "response.grpc_status": (exchange) => grpcField(exchange, "grpc-status"),
  "response.grpc_message": (exchange) => grpcField(exchange, "grpc-message"),
  "context.proxy_error_code": ({ flags }) => (flags === "-" ? undefined : flags),
  "check.error_code": ({ checked }) => checked?.errorCode,
  "check.error_message": ({ checked }) => present(checked?.errorMessage ?? ""),
  "check.cache_hit": ({ checked }) => checked?.isCached,
  "upstream.address": (exchange) => present(exchange.upstreamHost),
};

function isInbound({ downstream }: Exchange): boolean {
  return downstream.direction === "inbound";
}

function principalOf({ downstream }: Exchange): string | undefined {
  return present(downstream.tls?.principal ?? "");
}

/** As the client sent it, whatever a route made of it. */
function pathOf({ originalPath, path }: Exchange): string {
  return originalPath === "" ? path : originalPath;
}

/** The service that the route leads to: before the request is sent it stands in the cluster's name alone. */
function calledHost({ service, decision }: Exchange): string | undefined {
  if (service !== "unknown") return service;
  const [direction, , , host] = decision?.cluster.split("|") ?? [];
  return direction === "outbound" ? present(host ?? "") : undefined;
}

function destinationIp({ downstream, upstreamHost }: Exchange): string | undefined {
  const { originalDestination, localAddress, direction } = downstream;
  if (originalDestination !== undefined) return canonicalAddress(originalDestination.ip);
  return canonicalAddress(hostIn(direction === "inbound" ? localAddress : upstreamHost));
}

/** `10.0.0.1:80` and `[::1]:80`. */
function hostIn(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replaceAll(/[[\]]/gu, "");
}

function portIn(address: string): number | undefined {
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  return Number.isInteger(port) && port > 0 ? port : undefined;
}

function instantOf({ startedAtMs, startedMonoMs }: Exchange, monoMs: number): number | undefined {
  return monoMs > 0 ? startedAtMs + (monoMs - startedMonoMs) : undefined;
}

function grpcField(exchange: Exchange, name: string): string | undefined {
  if (!exchange.isGrpc) return undefined;
  return exchange.replyTrailers?.get(name) ?? exchange.reply?.headers.get(name);
}

/** Names of fields have no case. */
function fieldsOf(headers: HeaderMap): StringMap {
  return {
    get: (name) => headers.get(name.toLowerCase()),
    entries: () => [...headers].map(([name, value]) => [name.toLowerCase(), value] as const),
  };
}

function queryOf(path: string): StringMap | undefined {
  const query = path.indexOf("?");
  if (query < 0) return undefined;
  const parameters = new URLSearchParams(path.slice(query + 1));
  return { get: (key) => parameters.get(key) ?? undefined, entries: () => parameters.entries() };
}

function present(text: string): string | undefined {
  return text === "" ? undefined : text;
}
