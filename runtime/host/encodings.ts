// UTF-8, both ways.
import { answered, quote, refused, type HostAnswer } from "./answer.ts";

const TEXT_MAX_BYTES = 8 * 1024 * 1024;
const CALL_NS = 200;

const encoder = new TextEncoder();
const decoders: ReadonlyMap<string, TextDecoder> = new Map([
  ["fatal", new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })],
  ["lossy", new TextDecoder("utf-8", { ignoreBOM: true })],
]);

/** `utf8-encode`: request = the text; a surrogate without its other half becomes U+FFFD. */
export function encodeUtf8(request: string): HostAnswer<Uint8Array> {
  if (request.length > TEXT_MAX_BYTES) return tooLong(request.length);
  return answered(encoder.encode(request), CALL_NS + request.length);
}

/** `utf8-decode`: request = `fatal`, which refuses what is not UTF-8, or `lossy`, which replaces it; a byte order mark is text. */
export function decodeUtf8(request: string, payload: Uint8Array): HostAnswer<string> {
  const decoder = decoders.get(request);
  if (decoder === undefined) return refused(`mode is ${quote(request)}, must be fatal or lossy`);
  if (payload.length > TEXT_MAX_BYTES) return tooLong(payload.length);
  const costNs = CALL_NS + payload.length * 2;
  try {
    return answered(decoder.decode(payload), costNs);
  } catch {
    // The decoder does not say where.
    return refused("bytes are not UTF-8", costNs);
  }
}

function tooLong(length: number): HostAnswer<never> {
  return refused(`text is ${length} long, limit is ${TEXT_MAX_BYTES}`);
}
