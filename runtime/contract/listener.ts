// What happens to requests that arrive: the routes and the filters of one direction.
import { z } from "zod";
import { durationMs } from "./duration.ts";
import { FilterUse } from "./filter.ts";
import { Http2Server } from "./http2.ts";
import { AuthorityRewrite, VirtualHost } from "./route.ts";
import { Rule } from "./rule.ts";
import { OutboundPolicy, Port, ProxyProtocolIn, TcpRoute } from "./tcp.ts";
import { ServerTls } from "./tls.ts";

/** Bounds on one downstream connection. Defaults are Envoy's where it has one. */
export const ListenerLimits = z
  .strictObject({
    /** Request line and header fields together; beyond it 431. Default 60 KiB. */
    headMaxBytes: z
      .int()
      .min(1024)
      .max(1024 * 1024)
      .default(60 * 1024),
    /** Header fields of one head; beyond it 431. Default `100`. */
    headersMax: z.int().min(1).max(10_000).default(100),
    /** Body of one request; beyond it 413. `0`, the default, is no bound. */
    bodyMaxBytes: z.int().min(0).default(0),
    /** A connection without a request is closed after this long; `0` is never. Default 1 h. */
    idleTimeoutMs: durationMs(3_600_000),
    /** From a request's first byte to the end of its head; then 408. Default 60 s. */
    headTimeoutMs: durationMs(60_000),
    /** From a request's first byte to the last of its body; then 408. `0`, the default as Envoy's, is no bound. */
    requestTimeoutMs: durationMs(0),
    /** No byte moved in either direction during an exchange or a tunnel; then 408 or 504 `SI`. Default 5 min. */
    streamIdleTimeoutMs: durationMs(300_000),
    /** Downstream connections open at once; one more is closed at once. Default `10_000`. */
    connectionsMax: z.int().min(1).max(1_000_000).default(10_000),
    /** HTTP/2 connections. */
    http2: Http2Server,
  })
  .prefault({});
export type ListenerLimits = z.infer<typeof ListenerLimits>;

/**
 * How paths are spelled before routes and policies see them and upstreams get them; names and results are Istio's.
 * `BASE` resolves `.` and `..`, decodes escapes that need none, escapes what needs it and turns `\` into `/`;
 * `MERGE_SLASHES` then makes one of several slashes; `DECODE_AND_MERGE_SLASHES` first decodes `%2F` and `%5C`. Beside
 * `NONE`, each refuses `%00` with 400.
 */
export const PathNormalization = z.enum(["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]);
export type PathNormalization = z.infer<typeof PathNormalization>;

const Upgrades = z
  .array(
    z
      .string()
      .regex(/^[a-z0-9!#$%&'*+\-.^_`|~/]+$/u, {
        error: (issue) => `${JSON.stringify(issue.input)} is not a protocol in lower case such as "websocket"`,
      })
      .refine((name) => name !== "h2c", {
        error:
          "an upgrade to h2c would carry requests past every route and filter; HTTP/2 is spoken from the first byte",
      }),
  )
  .max(100);

/** How a listener reads HTTP. */
const Http = z.strictObject({
  /** Istio's `pathNormalization`. Default `BASE`. */
  pathNormalization: PathNormalization.default("BASE"),
  /**
   * What becomes of `Expect: 100-continue`. `answer`, the default as Envoy's: the proxy says 100 once somebody reads the
   * body, and the upstream sees no `Expect`. `upstream`: it is passed on, the body is held until the upstream says 100,
   * and that 100 is passed on. `refuse`: 417. Any other expectation is 417.
   */
  expectContinue: z.enum(["answer", "upstream", "refuse"]).default("answer"),
  /**
   * Protocols that a connection may be upgraded to, in lower case; `connect` allows CONNECT. An upgrade to another is
   * not heard (RFC 9110 §7.8) and its request goes on as any; a CONNECT that is not allowed is 404. Default `websocket`,
   * as Istio; outbound also `connect`, by which a client whose `HTTP_PROXY` is the sidecar asks for https.
   */
  upgrades: Upgrades.default(["websocket"]),
  /** `Host` for HTTP/1.0 requests that have none; empty, the default, answers them 400. Envoy's `default_host_for_http_10`. */
  hostForHttp10: z.union([z.literal(""), AuthorityRewrite]).default(""),
});
export const ListenerHttp = Http.prefault({});
export type ListenerHttp = z.infer<typeof ListenerHttp>;

/** One direction of a sidecar. */
const Sidecar = z.strictObject({
  /** Inbound: empty sends everything to the application (cluster `inbound|PORT||`). Outbound: a host that is not here is 404 `NR`. */
  virtualHosts: z.array(VirtualHost).max(10_000).default([]),
  /** In any order; they run by stage, priority and name. */
  filters: z.array(FilterUse).max(100).default([]),
  /** What is asked of adapters before a request goes on, between filters of authz and ratelimit, and told of it at its end. */
  rules: z.array(Rule).max(1000).default([]),
  limits: ListenerLimits,
  http: ListenerHttp,
  /** What ports speak; one that is not here is `auto`. */
  ports: z.array(Port).max(65_535).default([]),
  /** TLS from downstream. Default none: it passes as TCP. */
  tls: ServerTls.prefault({}),
  /** Connections that are not HTTP. Inbound, what none takes goes to the application. */
  tcpRoutes: z.array(TcpRoute).max(10_000).default([]),
  /** Outbound connections that no route takes, where the client's own destination is known. Default `ALLOW_ANY`, as Istio. */
  outboundPolicy: OutboundPolicy.default("ALLOW_ANY"),
  /** A client that says nothing for this long is taken for one of TCP whose server speaks first. `0`, the default as in Istio, is never. */
  protocolDetectionTimeoutMs: durationMs(0),
  /** Default `OFF`. */
  proxyProtocol: ProxyProtocolIn.default("OFF"),
});
export const Listener = Sidecar.prefault({});
/** The other one, whose clients may mean the sidecar by `HTTP_PROXY`. */
export const OutboundListener = Sidecar.extend({
  http: Http.extend({ upgrades: Upgrades.default(["websocket", "connect"]) }).prefault({}),
}).prefault({});
export type Listener = z.infer<typeof Listener>;
