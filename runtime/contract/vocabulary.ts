// The attributes that rules may name, Mixer's where it has a word: what each is, and from when on it is known.

/** What a value is. `map` is one of strings by strings, in which names compare as its kind says. */
export type ValueType =
  | "string"
  | "int"
  | "double"
  | "bool"
  | "duration"
  | "timestamp"
  | "ip"
  | "dns_name"
  | "email"
  | "uri"
  | "map";

/** One attribute. */
export interface AttributeDefinition {
  readonly type: ValueType;
  /** `request`: before the request goes on, so checks and quotas may depend on it. `end`: for reports alone. */
  readonly known: "request" | "end";
}

const at = (known: AttributeDefinition["known"], type: ValueType, ...names: readonly string[]) =>
  names.map((name) => [name, { type, known }] as const);

/** Every attribute, by name. Which of them an exchange has depends on its connection: the others are absent. */
export const VOCABULARY: ReadonlyMap<string, AttributeDefinition> = new Map([
  // Who calls. Names come from the identity that mutual TLS has shown; at the caller's own sidecar they are the workload's.
  ...at("request", "ip", "source.ip", "destination.ip"),
  ...at("request", "int", "source.port", "destination.port"),
  ...at("request", "string", "source.principal", "source.user", "source.namespace", "source.serviceAccount"),
  ...at("request", "string", "source.workload.name", "source.workload.namespace"),
  ...at("request", "map", "source.labels", "destination.labels"),
  // Who is called.
  ...at("request", "string", "destination.service.host", "destination.service.name", "destination.service.namespace"),
  ...at("request", "string", "destination.workload.name", "destination.workload.namespace", "destination.namespace"),
  // The request. `path` has its query, `url_path` has not; `query_params` has the first value of each name, decoded.
  ...at("request", "map", "request.headers", "request.query_params"),
  ...at("request", "string", "request.id", "request.path", "request.url_path", "request.host", "request.method"),
  ...at("request", "string", "request.referer", "request.scheme", "request.useragent", "request.protocol"),
  ...at("request", "timestamp", "request.time", "context.time"),
  /** Bytes of the body. */
  ...at("end", "int", "request.size", "response.size"),
  // The reply.
  ...at("end", "int", "response.code"),
  ...at("end", "map", "response.headers"),
  ...at("end", "duration", "response.duration"),
  ...at("end", "timestamp", "response.time"),
  ...at("end", "string", "response.grpc_status", "response.grpc_message"),
  // The connection and the proxy.
  ...at("request", "bool", "connection.mtls"),
  ...at("request", "string", "connection.requested_server_name"),
  /** `http` or `grpc`. */
  ...at("request", "string", "context.protocol"),
  /** `inbound` or `outbound`. */
  ...at("request", "string", "context.reporter.kind"),
  /** Envoy's response flags; absent where there are none. */
  ...at("end", "string", "context.proxy_error_code"),
  ...at("end", "string", "check.error_message"),
  /** gRPC's number for the reason of a refusal, `0` where nothing refused. */
  ...at("end", "int", "check.error_code"),
  ...at("end", "bool", "check.cache_hit"),
  // What Mixer has no word for: the route, the endpoint that answered, and what filters left (`metadata["user"]`).
  ...at("request", "string", "route.name"),
  ...at("end", "string", "upstream.address"),
  ...at("request", "map", "metadata"),
]);
