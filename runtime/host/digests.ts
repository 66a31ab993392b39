// Hashes, MACs, comparison in constant time, random bytes.
import { timingSafeEqual } from "node:crypto";
import { answered, quote, readCount, readRequest, refused, type HostAnswer } from "./answer.ts";

/** Data of one call; a longer body is hashed as it comes, by a filter that asks more often. */
const DATA_MAX_BYTES = 4 * 1024 * 1024;
const RANDOM_MAX_BYTES = 65_536;

interface Algorithm {
  readonly name: Bun.SupportedCryptoAlgorithms;
  /** Measured, without the processor's own instructions for it. */
  readonly costNsPerByte: number;
}

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map([
  ["sha-1", { name: "sha1", costNsPerByte: 1.2 }],
  ["sha-256", { name: "sha256", costNsPerByte: 3 }],
  ["sha-384", { name: "sha384", costNsPerByte: 3 }],
  ["sha-512", { name: "sha512", costNsPerByte: 3 }],
  ["md5", { name: "md5", costNsPerByte: 2 }],
]);
const CALL_NS = 1000;
const COMPARED_NS_PER_BYTE = 1;

/** `hash`: request = algorithm [ LF text ]; the digest of the payload followed by the text. */
export function hash(request: string, payload: Uint8Array): HostAnswer<Uint8Array> {
  const { words, text = "" } = readRequest(request);
  const algorithm = ALGORITHMS.get(words[0] ?? "");
  if (algorithm === undefined) return unknownAlgorithm(words[0]);
  const length = payload.length + text.length;
  if (length > DATA_MAX_BYTES) return tooLong(length);
  const digest = new Bun.CryptoHasher(algorithm.name).update(payload).update(text).digest();
  return answered(new Uint8Array(digest), CALL_NS + length * algorithm.costNsPerByte);
}

/** `hmac`: request = algorithm SP length-of-key [ LF text ]; the payload begins with the key, and is data from there on. */
export function hmac(request: string, payload: Uint8Array): HostAnswer<Uint8Array> {
  const { words, text = "" } = readRequest(request);
  const algorithm = ALGORITHMS.get(words[0] ?? "");
  if (algorithm === undefined) return unknownAlgorithm(words[0]);
  const keyLength = readCount(words[1], 0, payload.length);
  if (keyLength === undefined)
    return refused(`length of the key is ${quote(words[1])}, there are ${payload.length} bytes`);
  const length = payload.length + text.length;
  if (length > DATA_MAX_BYTES) return tooLong(length);
  const digest = new Bun.CryptoHasher(algorithm.name, payload.subarray(0, keyLength))
    .update(payload.subarray(keyLength))
    .update(text)
    .digest();
  return answered(new Uint8Array(digest), 2 * CALL_NS + length * algorithm.costNsPerByte);
}

/**
 * `equal`: request = length [ LF text ]; whether the first `length` units of the text, or of the payload where there is no
 * text, are what the rest is. Takes as long for any two of these lengths. Answers `1` or `0`.
 */
export function equal(request: string, payload: Uint8Array): HostAnswer<string> {
  const { words, text } = readRequest(request);
  const data = text === undefined ? payload : Buffer.from(text, "utf16le");
  const unitBytes = text === undefined ? 1 : 2;
  if (data.length > DATA_MAX_BYTES) return tooLong(data.length);
  const length = readCount(words[0], 0, data.length / unitBytes);
  if (length === undefined) return refused(`length is ${quote(words[0])}, there are ${data.length / unitBytes} units`);
  const first = data.subarray(0, length * unitBytes);
  const second = data.subarray(length * unitBytes);
  const isEqual = first.length === second.length && timingSafeEqual(first, second);
  return answered(isEqual ? "1" : "0", CALL_NS + data.length * COMPARED_NS_PER_BYTE);
}

/** `random`: request = how many bytes. */
export function random(request: string): HostAnswer<Uint8Array> {
  const count = readCount(request, 0, RANDOM_MAX_BYTES);
  if (count === undefined) return refused(`${quote(request)} random bytes, must be 0 to ${RANDOM_MAX_BYTES}`);
  return answered(crypto.getRandomValues(new Uint8Array(count)), CALL_NS + count);
}

/** The SHA-2 of a signature or a MAC by its bits. */
export function hmacOf(bits: "256" | "384" | "512", key: Uint8Array, data: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher(`sha${bits}`, key).update(data).digest();
}

function unknownAlgorithm(name: string | undefined): HostAnswer<never> {
  return refused(`algorithm is ${quote(name)}, must be ${[...ALGORITHMS.keys()].join(", ")}`);
}

function tooLong(length: number): HostAnswer<never> {
  return refused(`data is ${length} bytes, limit is ${DATA_MAX_BYTES}`);
}
