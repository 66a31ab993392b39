// Replies get smaller on their way to clients that can read them so, and requests larger where the service cannot.
import { counter, defineFilter, type CompressionFormat, type FilterHeaders } from "../../sdk/index.ts";
import { pickCoding, type Coding } from "./codings.ts";
import { Config } from "./config.ts";
import { compressing, decompressing, hasRoom } from "./recode.ts";

/** What the client accepts, where the service is not told. */
const ACCEPTED = "metadata.compress_accepted";
const REQUEST_CODINGS: Readonly<Record<string, CompressionFormat>> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  br: "br",
  zstd: "zstd",
  deflate: "deflate",
};
/** Digests and ranges are of the bytes that the service sent (RFC 9110 §14, RFC 9530 §2). */
const SPOILED = ["accept-ranges", "content-digest", "content-md5", "digest"] as const;

export default defineFilter({
  name: "compress",
  stage: "transform",
  reads: [
    ":method",
    ":status",
    ACCEPTED,
    "accept-encoding",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "vary",
  ],
  writes: [ACCEPTED, "accept-encoding", "content-encoding", "etag", "vary", ...SPOILED],
  body: { request: "stream", response: "stream" },
  config: Config,
  metrics: {
    compress_replies_total: counter({ help: "Replies that were compressed.", labels: ["coding"] }),
  },
  request(request, { config }) {
    const { headers } = request;
    const accepted = headers.get("accept-encoding");
    if (config.removesAcceptEncoding && accepted !== null) {
      request.setAttribute(ACCEPTED, accepted);
      headers.delete("accept-encoding");
    }
    const limit = config.decompressRequests;
    const coding = REQUEST_CODINGS[headers.get("content-encoding")?.trim().toLowerCase() ?? ""];
    if (limit === undefined || coding === undefined) return;
    headers.delete("content-encoding");
    for (const name of SPOILED) headers.delete(name);
    request.body.transform(decompressing(coding, limit.maxBytes));
  },
  response(response, { config, metrics }) {
    const { headers, request } = response;
    if (!config.contentTypes.some((type) => isOf(headers.get("content-type"), type))) return;
    // Whether or not this one is compressed: another client's reply to the same request may be (RFC 9110 §12.5.5).
    if (!/(?:^|,)\s*(?:accept-encoding|\*)\s*(?:,|$)/iu.test(headers.get("vary") ?? ""))
      headers.append("vary", "Accept-Encoding");
    if (request.method === "HEAD" || !mayBeCoded(response.status, headers)) return;
    const told = headers.get("content-length");
    const lengthBytes = told === null ? undefined : Number(told);
    if (lengthBytes !== undefined && lengthBytes < config.minBytes) return;
    const offered = config.codings.filter((coding) => hasRoom(coding, lengthBytes));
    const coding = pickCoding(request.attribute(ACCEPTED) ?? request.headers.get("accept-encoding"), offered);
    if (coding === undefined) return;
    metrics.compress_replies_total.inc({ coding });
    headers.set("content-encoding", coding);
    const etag = headers.get("etag");
    // The same content, no longer the same bytes (RFC 9110 §8.8.1).
    if (etag !== null && !etag.startsWith("W/")) headers.set("etag", `W/${etag}`);
    for (const name of SPOILED) headers.delete(name);
    response.body.transform(compressing(coding, levelOf(config, coding), lengthBytes));
  },
});

/** Not twice, not a part of something, not what may not be changed (RFC 9111 §5.2.2.6). */
function mayBeCoded(
  status: number,
  headers: FilterHeaders<"content-encoding" | "content-range" | "cache-control", never>,
): boolean {
  if (status === 204 || status === 206 || status === 304 || headers.has("content-range")) return false;
  const coding = headers.get("content-encoding");
  if (coding !== null && coding.toLowerCase() !== "identity") return false;
  return !/(?:^|,)\s*no-transform\s*(?:,|$)/iu.test(headers.get("cache-control") ?? "");
}

function isOf(contentType: string | null, pattern: string): boolean {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return pattern.endsWith("/*") ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}

function levelOf({ levels }: Config, coding: Coding): number {
  return levels[coding];
}
