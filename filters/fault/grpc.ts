// gRPC's statuses by name and number, and what they are in HTTP (Envoy's mapping). Pure.

export const GRPC_CODES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

const HTTP_STATUSES = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/** The number of a name, or of a number as text; `undefined` where there is no such status. */
export function grpcCodeOf(text: string): number | undefined {
  const code = /^\d{1,2}$/u.test(text) ? Number(text) : GRPC_CODES.findIndex((name) => name === text);
  return code >= 0 && code < GRPC_CODES.length ? code : undefined;
}

/** The HTTP status for clients that do not speak gRPC. */
export function httpStatusOf(grpcCode: number): number {
  return HTTP_STATUSES[grpcCode] ?? 500;
}
