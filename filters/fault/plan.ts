// Which faults a request meets. Pure: the dice are given.
import type { Config } from "./config.ts";
import { grpcCodeOf } from "./grpc.ts";

/** Reads a header of the request. */
type Read = (name: FaultHeader) => string | null;

/** Headers by which a client asks for faults, as Envoy names them. */
export const FAULT_HEADERS = [
  "x-envoy-fault-delay-request",
  "x-envoy-fault-delay-request-percentage",
  "x-envoy-fault-abort-request",
  "x-envoy-fault-abort-grpc-request",
  "x-envoy-fault-abort-request-percentage",
] as const;
export type FaultHeader = (typeof FAULT_HEADERS)[number];

/** What the request is answered in place of the service's reply. */
export type Abort =
  | { readonly kind: "http"; readonly status: number }
  | { readonly kind: "grpc"; readonly code: number };

/** How long the request is held back, in milliseconds; 0 for not at all. `roll` gives 0 to below 1. */
export function planDelay({ delay }: Config, read: Read, roll: () => number): number {
  if (delay === undefined) return 0;
  if (delay.fixedDelay !== undefined) return happens(delay.percentage, roll) ? delay.fixedDelay : 0;
  const asked = numberOf(read("x-envoy-fault-delay-request"));
  if (asked === undefined || !happens(shareOf(delay.percentage, read("x-envoy-fault-delay-request-percentage")), roll))
    return 0;
  return Math.min(asked, delay.maxDelay);
}

/** Whether and how the request is answered. Independent of the delay: both dice are thrown. */
export function planAbort({ abort }: Config, read: Read, roll: () => number): Abort | undefined {
  if (abort === undefined) return undefined;
  const { httpStatus, grpcStatus, percentage } = abort;
  if (httpStatus !== undefined) return happens(percentage, roll) ? { kind: "http", status: httpStatus } : undefined;
  if (grpcStatus !== undefined) return happens(percentage, roll) ? { kind: "grpc", code: grpcStatus } : undefined;
  const asked = askedAbort(read);
  if (asked === undefined) return undefined;
  return happens(shareOf(percentage, read("x-envoy-fault-abort-request-percentage")), roll) ? asked : undefined;
}

function askedAbort(read: Read): Abort | undefined {
  const status = numberOf(read("x-envoy-fault-abort-request"));
  if (status !== undefined && status >= 200 && status <= 599) return { kind: "http", status };
  const code = grpcCodeOf(read("x-envoy-fault-abort-grpc-request") ?? "");
  return code === undefined ? undefined : { kind: "grpc", code };
}

/** A client may ask for fewer faults than the configuration allows, never for more. */
function shareOf(configured: number, asked: string | null): number {
  return Math.min(configured, numberOf(asked) ?? configured);
}

function happens(percentage: number, roll: () => number): boolean {
  return percentage > 0 && roll() * 100 < percentage;
}

function numberOf(text: string | null): number | undefined {
  return text !== null && /^\d{1,9}$/u.test(text) ? Number(text) : undefined;
}
