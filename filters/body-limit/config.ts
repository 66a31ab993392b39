// How long bodies may be.
import { z } from "../../sdk/index.ts";

const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

export const Config = z
  .strictObject({
    /** Bytes of a request's body; a longer one is answered 413. Default: any number. */
    requestMaxBytes: bytes.optional(),
    /** Bytes of a reply's body; a longer one is answered 502 where its length is told, and else broken off. Default: any number. */
    responseMaxBytes: bytes.optional(),
    /** Requests whose path begins with `path` have a limit of their own; the first that fits counts. Default: none. */
    paths: z.array(z.strictObject({ path: z.string().startsWith("/"), requestMaxBytes: bytes })).default([]),
  })
  .refine(
    ({ requestMaxBytes, responseMaxBytes, paths }) =>
      requestMaxBytes !== undefined || responseMaxBytes !== undefined || paths.length > 0,
    "must have requestMaxBytes, responseMaxBytes or paths",
  );
export type Config = z.output<typeof Config>;
