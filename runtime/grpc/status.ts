// gRPC's own words for what HTTP says (the protocol's "PROTOCOL-HTTP2" and "HTTP to gRPC status code mapping").

/** Statuses that the proxy itself answers with. */
export const GRPC_STATUS = {
  unknown: 2,
  permission_denied: 7,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** Whether a `content-type` is gRPC's: `application/grpc`, `application/grpc+proto`, … and not gRPC-Web's. */
export function isGrpcType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:$|[+;])/iu.test(contentType);
}

/** The gRPC status of an HTTP status, as clients map it when a reply carries none. */
export function grpcStatusOf(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return GRPC_STATUS.internal;
    case 401:
      return GRPC_STATUS.unauthenticated;
    case 403:
      return GRPC_STATUS.permission_denied;
    case 404:
      return GRPC_STATUS.unimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return GRPC_STATUS.unavailable;
    default:
      return GRPC_STATUS.unknown;
  }
}

const encoder = new TextEncoder();

/** Text as `grpc-message` carries it: percent-encoded UTF-8, printable ASCII but `%` left as it is. */
export function encodeGrpcMessage(text: string): string {
  let encoded = "";
  for (const byte of encoder.encode(text)) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCodePoint(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

const UNITS_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };

/** Milliseconds of a `grpc-timeout`, rounded up to at least one; `undefined` where it is none (at most eight digits and a unit). */
export function parseGrpcTimeoutMs(text: string): number | undefined {
  const parts = /^(\d{1,8})([HMSmun])$/u.exec(text);
  const unitMs = UNITS_MS[parts?.[2] ?? ""];
  if (parts === null || unitMs === undefined) return undefined;
  return Math.max(1, Math.ceil(Number(parts[1]) * unitMs));
}
