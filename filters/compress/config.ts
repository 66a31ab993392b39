// What is compressed, how, and for whom.
import { z } from "../../sdk/index.ts";
import { CODINGS } from "./codings.ts";

const mediaType = z
  .string()
  .regex(/^[!#$&\-^_.+0-9A-Za-z]+\/(?:[!#$&\-^_.+0-9A-Za-z]+|\*)$/u, "is not a media type such as text/html or text/*")
  .transform((type) => type.toLowerCase());

export const Config = z.strictObject({
  /** Offered, the one that is liked best first. Default `[zstd, br, gzip]`. */
  codings: z
    .array(z.enum(CODINGS))
    .min(1)
    .default([...CODINGS]),
  /** How hard each tries: gzip 1 to 9, br 1 to 6, zstd 1 to 9. Default: 6, 4, 3. */
  levels: z
    .strictObject({
      gzip: z.int().min(1).max(9).default(6),
      br: z.int().min(1).max(6).default(4),
      zstd: z.int().min(1).max(9).default(3),
    })
    .prefault({}),
  /** Replies of these types; `text/*` is every text. Default: text, JSON, JavaScript, XML, SVG and WebAssembly. */
  contentTypes: z
    .array(mediaType)
    .prefault([
      "text/css",
      "text/html",
      "text/javascript",
      "text/plain",
      "text/xml",
      "application/javascript",
      "application/json",
      "application/problem+json",
      "application/wasm",
      "application/xhtml+xml",
      "application/xml",
      "image/svg+xml",
    ]),
  /** Shorter replies go as they are, where their length is told. Default `256`. */
  minBytes: z.int().min(0).default(256),
  /** Removes `accept-encoding` from requests, so that the service leaves compressing to the proxy. Default `false`. */
  removesAcceptEncoding: z.boolean().default(false),
  /** Requests' bodies in gzip, br, zstd or deflate reach the service as they were before. Default: they pass as they are. */
  decompressRequests: z
    .strictObject({
      /** What may come out of one; more is answered 413. Default 1 MiB. */
      maxBytes: z
        .int()
        .min(1)
        .max(64 * 1024 * 1024)
        .default(1024 * 1024),
    })
    .optional(),
});
export type Config = z.output<typeof Config>;
