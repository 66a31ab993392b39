// What can go wrong in one exchange: what, whose fault it is, and whether another try is safe.

export type FailureKind =
  | "bad_request"
  | "head_too_large"
  | "body_too_large"
  | "request_timeout"
  | "expectation_failed"
  | "no_route"
  | "no_cluster"
  | "no_healthy_endpoint"
  | "overloaded"
  | "connect_timeout"
  | "connect_failed"
  | "upstream_closed"
  | "upstream_reset"
  | "upstream_protocol"
  | "response_timeout"
  | "stream_idle"
  | "downstream_closed"
  | "downstream_reset"
  | "filter_failed"
  | "internal";

export interface Failure {
  readonly kind: FailureKind;
  /** Who broke the exchange: decides whose error budget pays. */
  readonly source: "downstream" | "upstream" | "proxy";
  /** `if_reused`: safe only where the connection came from the pool and nothing was answered on it. */
  readonly retry: "never" | "if_reused" | "always";
  /** For logs, never for clients: lower case, the value in it. */
  readonly message: string;
}

export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

const SOURCES: Readonly<Record<FailureKind, Failure["source"]>> = {
  bad_request: "downstream",
  head_too_large: "downstream",
  body_too_large: "downstream",
  request_timeout: "downstream",
  expectation_failed: "downstream",
  no_route: "proxy",
  no_cluster: "proxy",
  no_healthy_endpoint: "upstream",
  overloaded: "proxy",
  connect_timeout: "upstream",
  connect_failed: "upstream",
  upstream_closed: "upstream",
  upstream_reset: "upstream",
  upstream_protocol: "upstream",
  response_timeout: "upstream",
  stream_idle: "upstream",
  downstream_closed: "downstream",
  downstream_reset: "downstream",
  filter_failed: "proxy",
  internal: "proxy",
};

/** A failure of that kind; its source follows from the kind. */
export function failure(kind: FailureKind, message: string, retry: Failure["retry"] = "never"): Failure {
  return { kind, source: SOURCES[kind], retry, message };
}
