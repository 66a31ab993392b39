// Istio's `HTTPFaultInjection`, with Envoy's faults by header.
import { duration, z } from "../../sdk/index.ts";
import { GRPC_CODES, grpcCodeOf } from "./grpc.ts";

/** A share of the requests, 0 to 100. As in Istio, a fault without one happens to none. */
const percentage = z
  .strictObject({ value: z.number().min(0).max(100) })
  .transform(({ value }) => value)
  .default(0);

const grpcStatus = z.string().transform((name, context) => {
  const code = grpcCodeOf(name);
  if (code !== undefined) return code;
  context.addIssue({ code: "custom", message: `is ${JSON.stringify(name)}, must be one of ${GRPC_CODES.join(", ")}` });
  return z.NEVER;
});

const fromHeader = z.literal(true).optional();

export const Config = z
  .strictObject({
    /** Holds requests back. Default: none. */
    delay: z
      .strictObject({
        /** For so long: `"5s"`. */
        fixedDelay: duration({ minMs: 1, maxMs: 600_000 }).optional(),
        /** For as many milliseconds as `x-envoy-fault-delay-request` says. */
        fromHeader,
        /** The most that a header gets. Default `"30s"`. */
        maxDelay: duration({ minMs: 1, maxMs: 600_000 }).prefault("30s"),
        percentage,
      })
      .refine((delay) => hasOne(delay.fixedDelay, delay.fromHeader), "must have either fixedDelay or fromHeader")
      .optional(),
    /** Answers requests itself. Default: none. */
    abort: z
      .strictObject({
        /** With this status, 200 to 599. */
        httpStatus: z.int().min(200).max(599).optional(),
        /** With this gRPC status (`UNAVAILABLE`), or the HTTP status that it stands for where the request is no gRPC. */
        grpcStatus: grpcStatus.optional(),
        /** With the status of `x-envoy-fault-abort-request` or `x-envoy-fault-abort-grpc-request`. */
        fromHeader,
        percentage,
      })
      .refine(
        (abort) => hasOne(abort.httpStatus, abort.grpcStatus, abort.fromHeader),
        "must have one of httpStatus, grpcStatus and fromHeader",
      )
      .optional(),
    /** Requests that are delayed at once, in each worker; others pass without. Default `1024`. */
    activeMax: z.int().min(1).max(100_000).default(1024),
  })
  .refine(({ delay, abort }) => delay !== undefined || abort !== undefined, "must have delay or abort");
export type Config = z.output<typeof Config>;

function hasOne(...fields: readonly unknown[]): boolean {
  return fields.filter((field) => field !== undefined).length === 1;
}
