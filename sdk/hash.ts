// Hashes and MACs, made by the proxy.
import { joinBytes, toBytes } from "./bytes.ts";
import { requireHost } from "./host.ts";

export type HashAlgorithm = "sha-1" | "sha-256" | "sha-384" | "sha-512" | "md5";

/** The digest of data, of a text's UTF-8; `.toHex()` and `.toBase64()` render it. Throws above 4 MiB. */
export function hash(algorithm: HashAlgorithm, data: string | Uint8Array): Uint8Array {
  return typeof data === "string"
    ? requireHost().bytes("hash", `${algorithm}\n${data}`)
    : requireHost().bytes("hash", algorithm, data);
}

/** HMAC (RFC 2104) of data under a key. Throws above 4 MiB. */
export function hmac(algorithm: HashAlgorithm, key: string | Uint8Array, data: string | Uint8Array): Uint8Array {
  const keyBytes = toBytes(key);
  return typeof data === "string"
    ? requireHost().bytes("hmac", `${algorithm} ${keyBytes.length}\n${data}`, keyBytes)
    : requireHost().bytes("hmac", `${algorithm} ${keyBytes.length}`, joinBytes(keyBytes, data));
}

/**
 * Whether a secret is what was presented, in a time that tells nothing of where they differ; only whether their lengths do.
 * Both are texts, or both are bytes.
 */
export function timingSafeEqual<Data extends string | Uint8Array>(first: Data, second: Data): boolean {
  if (typeof first === "string" || typeof second === "string")
    return requireHost().text("equal", `${first.length}\n${String(first)}${String(second)}`) === "1";
  return requireHost().text("equal", String(first.length), joinBytes(first, second)) === "1";
}
