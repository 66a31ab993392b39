// Connections that are passed on without being read, and how a port is told what it speaks.
import { z } from "zod";
import { durationMs } from "./duration.ts";
import { ServerTlsMode } from "./tls.ts";

/** Istio's names; `auto` tells HTTP/1, HTTP/2 and TLS apart by the first bytes, and takes everything else for TCP. */
export const PortProtocol = z.enum([
  "auto",
  "http",
  "http2",
  "grpc",
  "grpc-web",
  "https",
  "tls",
  "tcp",
  "mongo",
  "mysql",
  "redis",
]);
export type PortProtocol = z.infer<typeof PortProtocol>;

/** One port: the one that the client called, where connections are redirected, else the one that the proxy listens on. */
export const Port = z.strictObject({
  port: z.int().min(1).max(65_535),
  /** Protocols in which the server speaks first (`mysql`, or one of your own under `tcp`) have to be declared. */
  protocol: PortProtocol.default("auto"),
  /** Instead of the listener's (`portLevelMtls`). */
  tlsMode: ServerTlsMode.optional(),
});
export type Port = z.infer<typeof Port>;

const Cidr = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], {
  error: (issue) => `${JSON.stringify(issue.input)} is not an address or a network such as "10.1.0.0/16"`,
});
const SniHost = z
  .string()
  .regex(/^(?:\*|(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)$/u, {
    error: (issue) => `${JSON.stringify(issue.input)} is not a host, "*.host" or "*"`,
  })
  .max(255);

/** Which connections a route takes; all that is given must hold. */
export const TcpMatch = z.strictObject({
  port: z.int().min(1).max(65_535).optional(),
  /** Networks of which the client called an address. */
  destinationSubnets: z.array(Cidr).max(1000).default([]),
  /** TLS for these names, which passes as it came. Of several routes the longest name wins. */
  sniHosts: z.array(SniHost).max(1000).default([]),
});

/** Connections that match go to one of its clusters. */
export const TcpRoute = z.strictObject({
  /** As access logs say it. */
  name: z.string().max(255).default(""),
  match: TcpMatch.prefault({}),
  destinations: z
    .array(z.strictObject({ cluster: z.string().min(1), weight: z.int().min(0).max(1_000_000).default(1) }))
    .min(1)
    .max(100),
  /** No byte moved in either direction: closed. Default 1 h, as Istio; `0` is never. */
  idleTimeoutMs: durationMs(3_600_000),
  /** Endpoints tried before the connection is given up. Default `1`, as Envoy. */
  maxConnectAttempts: z.int().min(1).max(10).default(1),
});
export type TcpRoute = z.infer<typeof TcpRoute>;

/** Where connections go that nothing routes: to the address that the client called, or nowhere. */
export const OutboundPolicy = z.enum(["ALLOW_ANY", "REGISTRY_ONLY"]);

/** Whether a PROXY protocol header (version 1 or 2) comes first. Only where every client is a proxy of yours: anybody can write one. */
export const ProxyProtocolIn = z.enum(["OFF", "OPTIONAL", "REQUIRED"]);
