// What happens to requests that arrive: the routes and the filters of one direction.
import { z } from "zod";
import { durationMs } from "./duration.ts";
import { FilterUse } from "./filter.ts";
import { Http2Server } from "./http2.ts";
import { VirtualHost } from "./route.ts";

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
    /** No byte moved in either direction during an exchange; then 408 or 504 `SI`. Default 5 min. */
    streamIdleTimeoutMs: durationMs(300_000),
    /** Downstream connections open at once; one more is closed at once. Default `10_000`. */
    connectionsMax: z.int().min(1).max(1_000_000).default(10_000),
    /** HTTP/2 connections. */
    http2: Http2Server,
  })
  .prefault({});
export type ListenerLimits = z.infer<typeof ListenerLimits>;

/** One direction of a sidecar. */
export const Listener = z
  .strictObject({
    /** Inbound: empty sends everything to the application (cluster `inbound|PORT||`). Outbound: a host that is not here is 404 `NR`. */
    virtualHosts: z.array(VirtualHost).max(10_000).default([]),
    /** In any order; they run by stage, priority and name. */
    filters: z.array(FilterUse).max(100).default([]),
    limits: ListenerLimits,
  })
  .prefault({});
export type Listener = z.infer<typeof Listener>;
