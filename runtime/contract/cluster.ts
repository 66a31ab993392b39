// Where a request may go: what a snapshot says about clusters and their endpoints.
import { z } from "zod";
import { durationMs } from "./duration.ts";
import { Http2Client } from "./http2.ts";
import { ClientTls } from "./tls.ts";

/** One address that serves a cluster. */
export const Endpoint = z.strictObject({
  /** IP address or host name. */
  address: z.string().min(1),
  port: z.int().min(1).max(65_535),
  /** Share of round robin and of least request. Default `1`. */
  weight: z.int().min(1).max(128).default(1),
  labels: z.record(z.string(), z.string()).default({}),
});
export type Endpoint = z.infer<typeof Endpoint>;

/** Bounds on what one proxy may have open towards a cluster. Names and defaults are Envoy's circuit breaker (defaults as Istio sets them: no bound that a sidecar reaches). */
export const ClusterLimits = z
  .strictObject({
    /** Connections open at once; at the bound a request waits for one. Default `1024`. */
    maxConnections: z.int().min(1).max(65_535).default(1024),
    /** Requests waiting for a connection; one more is answered 503 `UO`. Default `1024`. */
    maxPendingRequests: z.int().min(0).max(1_000_000).default(1024),
    /** Requests in flight, waiting included; one more is answered 503 `UO`. Default 2^32 − 1. */
    maxRequests: z.int().min(1).max(4_294_967_295).default(4_294_967_295),
    /** Requests served by one connection before it is closed; `0`, the default, is no bound. */
    maxRequestsPerConnection: z.int().min(0).max(4_294_967_295).default(0),
  })
  .prefault({});
export type ClusterLimits = z.infer<typeof ClusterLimits>;

/** A set of endpoints that answer alike, and how they are used. */
export const Cluster = z.strictObject({
  /** Envoy's naming: `outbound|9080|v1|reviews.default`, `inbound|8080||`. */
  name: z.string().min(1),
  /** The service it belongs to, as metrics name it (`destination_service`): `reviews.default`. */
  service: z.string().default("unknown"),
  endpoints: z.array(Endpoint).max(10_000),
  balance: z.enum(["round_robin", "least_request", "random"]).default("least_request"),
  /** From the attempt's start to an open connection; then 503 `UF`. Default 10 s, as Istio. */
  connectTimeoutMs: durationMs(10_000),
  /** A pooled connection unused for this long is closed; `0` is never. Default 1 h, as Envoy. */
  idleTimeoutMs: durationMs(3_600_000),
  limits: ClusterLimits,
  /**
   * What is spoken to the endpoints: `http1` (the default), `http2` (prior knowledge where there is no TLS), `downstream`
   * (as the request came), or `auto` (over TLS what ALPN chooses, HTTP/1.1 where there is none). `tcp` takes CONNECT alone:
   * the tunnel ends here, and its bytes go to the endpoint as they are (Envoy's `connect_config`).
   */
  protocol: z.enum(["http1", "http2", "downstream", "auto", "tcp"]).default("http1"),
  /** HTTP/2 connections. */
  http2: Http2Client,
  /** TLS to its endpoints. */
  tls: ClientTls.prefault({}),
  /** Each TCP connection begins with a PROXY protocol header that names the downstream. HTTP connections are shared, and have none. */
  proxyProtocol: z.strictObject({ version: z.enum(["V1", "V2"]).default("V1") }).optional(),
});
export type Cluster = z.infer<typeof Cluster>;
