// The names of filter.wit that code needs, and the attributes that a head may hold. Imports nothing.

/** The world that every filter implements. */
export const WORLD = "vespid:filter/filter@2.0.0";
export const HOST_INTERFACE = "vespid:filter/host@2.0.0";
export const HANDLER_INTERFACE = "vespid:filter/handler@2.0.0";
/** Custom section of the component that holds the manifest as JSON. */
export const MANIFEST_SECTION = "vespid:manifest";
/** Custom section that holds a source map of the author's own files, so that failures are told by their lines. */
export const SOURCE_MAP_SECTION = "vespid:source-map";

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

/** What `reads` may name besides header fields (Mixer's vocabulary where it has a word, then Envoy's), and `metadata.*`. */
export const ATTRIBUTES = [
  ":method",
  /** Path and query. */
  ":path",
  ":authority",
  /** The reply's status; from phase response on. */
  ":status",
  "source.ip",
  "source.port",
  /** SPIFFE ID of the peer without `spiffe://`; absent without mutual TLS. */
  "source.principal",
  "destination.service",
  /** Address that the client called. */
  "destination.ip",
  "destination.port",
  "route.name",
  "request.id",
  /** `http` or `https`. */
  "request.scheme",
  /** `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`. */
  "request.protocol",
  /** When it came, milliseconds since the epoch. */
  "request.time",
  /** SNI of the connection. */
  "connection.requested_server_name",
  /** `inbound` or `outbound`. */
  "context.direction",
  // From here on in phase log only.
  /** Bytes of the bodies. */
  "request.size",
  "response.size",
  /** Milliseconds from the request's first byte to the reply's last. */
  "response.duration",
  /** Envoy's response flags, `-` for none. */
  "response.flags",
  "response.code_details",
  /** Endpoint that answered: `10.0.0.7:8080`. */
  "upstream.address",
] as const;
export type Attribute = (typeof ATTRIBUTES)[number] | `metadata.${string}`;

/** Prefix of the values that a filter leaves for later filters and the access log. */
export const METADATA_PREFIX = "metadata.";

/** What a chunk's `failed` begins with where the fault is the client's, who sent too much. */
export const BODY_TOO_LARGE = "BodyTooLargeError";

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
