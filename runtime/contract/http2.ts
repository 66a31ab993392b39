// How HTTP/2 connections are held: windows, stream counts and the bounds on what a peer may make the proxy do. Names are
// Envoy's `Http2ProtocolOptions`, in camel case.
import { z } from "zod";
import { durationMs } from "./duration.ts";

/** The fields that both sides of the proxy have. */
const CONNECTION = {
  /**
   * What a peer may send on one stream before somebody has taken it; the most that one stalled stream holds in memory.
   * Default 256 KiB (Envoy has 16 MiB, which one slow reader fills). An upstream is given 64 KiB, and this once a reader
   * has taken half of them, unless there are many streams.
   */
  initialStreamWindowBytes: z.int().min(65_535).max(2_147_483_647).default(262_144),
  /** The same over all streams of a connection. Default 1 MiB. */
  initialConnectionWindowBytes: z.int().min(65_535).max(2_147_483_647).default(1_048_576),
  /** Payload of one frame that is taken. Default 16 KiB, which is also the least. */
  maxFrameBytes: z.int().min(16_384).max(16_777_215).default(16_384),
  /** Bytes of the table that the peer may compress heads with; `0` is none. Default 4096. */
  hpackTableBytes: z.int().min(0).max(65_536).default(4096),
  /** A peer that was silent for this long is sent a PING; `0`, the default, is never. */
  connectionKeepaliveIntervalMs: durationMs(0),
  /** A PING that is not answered within this closes the connection. Default 10 s. */
  connectionKeepaliveTimeoutMs: durationMs(10_000),
  /** Frames that wait for a peer that does not read; at the bound the connection is closed. Default `10000`. */
  maxOutboundFrames: z.int().min(1).default(10_000),
  /** Those of them that only answer the peer's own: acknowledgements and resets. Default `1000`. */
  maxOutboundControlFrames: z.int().min(1).default(1000),
  /** Empty DATA, HEADERS and CONTINUATION frames in a row that end nothing. Default `1`. */
  maxConsecutiveInboundFramesWithEmptyPayload: z.int().min(0).default(1),
  /** PRIORITY frames for each stream that was opened. Default `100`. */
  maxInboundPriorityFramesPerStream: z.int().min(0).default(100),
  /** WINDOW_UPDATE frames for each DATA frame that was sent. Default `10`. */
  maxInboundWindowUpdateFramesPerDataFrameSent: z.int().min(1).default(10),
  /** PING and SETTINGS frames within one sweep (a quarter of a second). Default `1000`. */
  maxInboundControlFrames: z.int().min(1).default(1000),
} as const;

/** A listener's side. */
export const Http2Server = z
  .strictObject({
    ...CONNECTION,
    /** Streams open at once on one connection; one more is refused. Default `1024`, as Envoy. */
    maxConcurrentStreams: z.int().min(1).max(2_147_483_647).default(1024),
    /**
     * Bytes of replies that wait for the client, over all streams of a connection; the stream that goes beyond it is reset,
     * since a window on each of a thousand streams costs a client nothing. Default 64 MiB:
     * 64 KiB for each of 1024 streams.
     */
    maxHeldReplyBytes: z.int().min(65_535).default(67_108_864),
    /**
     * Rapid reset (CVE-2023-44487): once a connection had so many streams and at least half of them ended prematurely, it
     * is closed. Default `500`.
     */
    prematureResetTotalStreamCount: z.int().min(1).default(500),
    /** A stream that its client resets sooner than this, or that breaks the protocol, ended prematurely. Default 1 s. */
    prematureResetMinStreamLifetimeMs: durationMs(1000),
  })
  .prefault({});
export type Http2Server = z.infer<typeof Http2Server>;

/** A cluster's side. */
export const Http2Client = z
  .strictObject({
    ...CONNECTION,
    /** Streams that are opened at once on one connection; the peer's own bound holds too. Default 2^31 − 1, as Istio. */
    maxConcurrentStreams: z.int().min(1).max(2_147_483_647).default(2_147_483_647),
  })
  .prefault({});
export type Http2Client = z.infer<typeof Http2Client>;

/** What both have. */
export type Http2Options = Omit<Http2Client, "maxConcurrentStreams">;
