// One use of a filter: which one, when it runs, with what configuration, inside which bounds.
import { z } from "zod";
import { BundleRef, Stage } from "./bundle.ts";

/** Bounds on one sandboxed filter. */
export const FilterLimits = z
  .strictObject({
    /** Loop turns and function entries that one call may spend. Default `10_000_000` (tens of milliseconds). */
    fuel: z.int().min(1000).max(1_000_000_000).default(10_000_000),
    /** Linear memory of the guest's engine, bytes, rounded up to 64 KiB. Default 16 MiB. */
    memoryMaxBytes: z
      .int()
      .min(2 * 1024 * 1024)
      .max(256 * 1024 * 1024)
      .default(16 * 1024 * 1024),
  })
  .prefault({});
export type FilterLimits = z.infer<typeof FilterLimits>;

/** `builtin` runs native, from `filters/` of the proxy itself; `bundle` runs sandboxed. */
export const FilterSource = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("builtin"), name: z.string().min(1) }),
  z.strictObject({ kind: z.literal("bundle"), bundle: BundleRef }),
]);
export type FilterSource = z.infer<typeof FilterSource>;

/** A filter in a listener's chain. */
export const FilterUse = z.strictObject({
  /** Name of the use, unique in its chain; metrics and logs carry it. */
  name: z.string().min(1),
  source: FilterSource,
  stage: Stage,
  /** Inside a stage, higher runs first (as Istio's `WasmPlugin`). Default `0`. */
  priority: z.int().min(-2_147_483_648).max(2_147_483_647).default(0),
  /** Passed to the filter after its own schema checked it. Default `{}`. */
  config: z.record(z.string(), z.unknown()).default({}),
  /** What happens to a request whose filter failed: `closed` answers 503, `open` goes on as if it were absent. Default `closed`. */
  failurePolicy: z.enum(["closed", "open"]).default("closed"),
  limits: FilterLimits,
});
export type FilterUse = z.infer<typeof FilterUse>;
