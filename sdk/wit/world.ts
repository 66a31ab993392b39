// The names of filter.wit that code needs, and the attributes that a head may hold. Imports nothing.

/** The world that every filter implements. */
export const WORLD = "vespid:filter/filter@2.0.0";
export const HOST_INTERFACE = "vespid:filter/host@2.0.0";
export const HANDLER_INTERFACE = "vespid:filter/handler@2.0.0";
/** Custom section of the component that holds the manifest as JSON. */
export const MANIFEST_SECTION = "vespid:manifest";

/** What a call is about, in the order of the WIT's enum. */
export const PHASES = [
  "request",
  "response",
  "request-trailers",
  "response-trailers",
  "log",
  "setup",
  "timer",
  "connection",
  "check",
  "quota",
  "report",
] as const;
export type Phase = (typeof PHASES)[number];
/** Whom bytes come from or go to, in the order of the WIT's enum. */
export const SIDES = ["downstream", "upstream"] as const;
export type Side = (typeof SIDES)[number];
export type LogLevel = "debug" | "info" | "warn" | "error";

/** What `reads` may name besides header fields (Mixer's vocabulary where it has a word). */
export const ATTRIBUTES = [
  ":method",
  /** Path and query. */
  ":path",
  ":authority",
  /** The reply's status; phase response only. */
  ":status",
  "source.ip",
  /** SPIFFE id of the peer; absent without mutual TLS. */
  "source.principal",
  "destination.service",
  "destination.port",
  "route.name",
  "request.id",
  /** `inbound` or `outbound`. */
  "context.direction",
] as const;
export type Attribute = (typeof ATTRIBUTES)[number];

/** Fields that frame a message or belong to one connection: the codec's own, no filter edits them. */
export const FRAMING_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
