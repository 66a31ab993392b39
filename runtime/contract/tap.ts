// Looking at a filter at work: what control asks proxies to watch, and what they tell of it. Nothing is watched where nobody
// asks, and what leaves a proxy was redacted there.
import { z } from "zod";
import { Phase } from "./bundle.ts";
import { Recorded } from "./recording.ts";

/** Taps at once, over all of control. */
export const TAPS_MAX = 32;

const Level = z.enum(["debug", "info", "warn", "error"]);

/** One person's look at one filter. */
export const Tap = z.strictObject({
  id: z.string().min(1).max(64),
  /** Name of the use: `default/stamp`. */
  filter: z.string().min(1).max(512),
  /** `tail`: what it logs and decides. `record`: the exchanges that it sees. */
  kind: z.enum(["tail", "record"]),
  /** Share of the exchanges, chosen by request id: proxies that the same request passes choose alike. Default all. */
  sample: z.number().min(0).max(1).default(1),
  /** Only of exchanges that were answered so: `5xx`, `404`. */
  status: z
    .string()
    .regex(/^[1-5](?:xx|\d\d)$/u, { error: "must be a status such as 404 or 5xx" })
    .optional(),
  /** Least severe line that is shown. Default `debug`. */
  level: Level.default("debug"),
  /** Names of fields, parameters and members whose values are left out, beyond those that carry credentials. */
  redact: z.array(z.string().min(1).max(128)).max(100).default([]),
  /** A longer body is left out. Default 16 KiB. */
  bodyMaxBytes: z
    .int()
    .min(0)
    .max(256 * 1024)
    .default(16 * 1024),
  /** `known`: bodies of JSON and of forms, in which values can be left out by name. Default `known`. */
  bodies: z.enum(["none", "known", "all"]).default("known"),
});
export type Tap = z.infer<typeof Tap>;

/** A line that the filter logged. */
const LogEvent = z.strictObject({
  kind: z.literal("log"),
  atMs: z.number(),
  level: Level,
  message: z.string().max(8192),
  fields: z.record(z.string(), z.unknown()),
  /** Where the line was written before the call first waited. */
  requestId: z.string().max(256).optional(),
});
/** A call of one of its handlers. */
const CallEvent = z.strictObject({
  kind: z.literal("call"),
  atMs: z.number(),
  requestId: z.string().max(256),
  phase: Phase,
  version: z.enum(["live", "candidate"]),
  method: z.string().max(64),
  /** Without its query. */
  path: z.string().max(1024),
  verdict: z.enum(["proceed", "reply", "failed", "cancelled"]),
  /** Of the filter's own reply. */
  replyStatus: z.int().optional(),
  /** Why it failed, with the lines of the author's files. */
  reason: z.string().max(8192).optional(),
  /** Milliseconds. */
  tookMs: z.number(),
  fuel: z.number(),
  /** What the exchange was answered. */
  status: z.int(),
});
const ExchangeEvent = z.strictObject({ kind: z.literal("exchange"), exchange: Recorded });
export const TapEvent = z.discriminatedUnion("kind", [LogEvent, CallEvent, ExchangeEvent]);
export type TapEvent = z.infer<typeof TapEvent>;
export type CallEvent = z.infer<typeof CallEvent>;
