// Signatures, checked by the proxy.
import { joinBytes, toBytes } from "./bytes.ts";
import { requireHost } from "./host.ts";

/** JSON Web Algorithms (RFC 7518 §3.1, RFC 8037). */
export type SignatureAlgorithm =
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512"
  | "ES256"
  | "ES384"
  | "ES512"
  | "EdDSA"
  | "HS256"
  | "HS384"
  | "HS512";

/** A JSON Web Key, as a key set has it. */
export type Jwk = Readonly<Record<string, unknown>>;

/** Keys as they cross: a key set is fetched now and then, and used for every request. */
const rendered = new WeakMap<Jwk, string>();

/**
 * Whether a signature is the key's over the data. ECDSA signatures are as JWS has them: r and s, one after the other. Throws
 * where the key is none, or cannot be of the algorithm: an RSA key with `HS256` is an error, not a comparison.
 */
export function verifySignature(
  algorithm: SignatureAlgorithm,
  /** A JWK, or a PEM that begins with `-----BEGIN PUBLIC KEY-----`. */
  key: Jwk | string,
  signature: Uint8Array,
  data: string | Uint8Array,
): boolean {
  const request = `${algorithm} ${signature.length}\n${renderKey(key)}`;
  return requireHost().text("verify", request, joinBytes(signature, toBytes(data))) === "1";
}

function renderKey(key: Jwk | string): string {
  if (typeof key === "string") return key;
  const known = rendered.get(key);
  if (known !== undefined) return known;
  const text = JSON.stringify(key);
  rendered.set(key, text);
  return text;
}
