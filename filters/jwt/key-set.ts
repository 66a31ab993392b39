// JSON Web Key Sets (RFC 7517): which keys may have made a signature. Pure.
import type { Jwk, SignatureAlgorithm } from "../../sdk/index.ts";

/** Public keys for signatures. */
export type KeySet = readonly Jwk[];

const KEYS_MAX = 100;
/** Keys that are tried for a token that names none. */
const TRIED_MAX = 8;
const CURVES: Readonly<Record<string, string>> = { ES256: "P-256", ES384: "P-384", ES512: "P-521", EdDSA: "Ed25519" };

/** The keys of a set that can check signatures, or what is wrong with it. Keys of other kinds are left out (RFC 7517 §5). */
export function parseKeySet(given: unknown): KeySet | string {
  const value = typeof given === "string" ? parseJson(given) : given;
  if (!isObject(value) || !Array.isArray(value["keys"])) return "is not a key set: an object with a list keys";
  const all: readonly unknown[] = value["keys"];
  if (all.length > KEYS_MAX) return `has ${all.length} keys, limit is ${KEYS_MAX}`;
  const keys = all.flatMap((key) => (isObject(key) && isForSignatures(key) ? [publicPart(key)] : []));
  return keys.length === 0 ? "has no key that can check a signature" : keys;
}

/** Keys that may have made a signature of this algorithm; `undefined` where the token names one that is not in the set. */
export function findKeys(keys: KeySet, algorithm: SignatureAlgorithm, kid: string | undefined): KeySet | undefined {
  const named = kid === undefined ? keys : keys.filter((key) => key["kid"] === kid);
  if (named.length === 0) return undefined;
  // The key decides what it is for, not the token: an RSA key checks no ECDSA signature, and one that says its algorithm no other.
  const fitting = named.filter((key) => (key["alg"] ?? algorithm) === algorithm && fits(key, algorithm));
  return fitting.slice(0, TRIED_MAX);
}

function fits({ kty, crv }: Jwk, algorithm: SignatureAlgorithm): boolean {
  const curve = CURVES[algorithm];
  if (curve === undefined) return kty === "RSA";
  return kty === (algorithm === "EdDSA" ? "OKP" : "EC") && crv === curve;
}

function isForSignatures({ kty, use, key_ops: operations }: Jwk): boolean {
  if (kty !== "RSA" && kty !== "EC" && kty !== "OKP") return false;
  if (use !== undefined && use !== "sig") return false;
  return operations === undefined || (Array.isArray(operations) && operations.includes("verify"));
}

/** A set with private keys was a mistake of somebody's; they are not kept. */
function publicPart({ kty, kid, alg, crv, n, e, x, y }: Jwk): Jwk {
  const part = kty === "RSA" ? { kty, n, e } : kty === "EC" ? { kty, crv, x, y } : { kty, crv, x };
  return { ...part, ...(kid !== undefined && { kid }), ...(alg !== undefined && { alg }) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Whoever sent it may have sent an error page.
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
