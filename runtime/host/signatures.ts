// Signatures of JSON Web Algorithms (RFC 7518, RFC 8037), as tokens and signed requests carry them. A key is good for the
// algorithms of its own type only: what a token says about itself cannot turn a public key into a secret.
import { createPublicKey, constants, timingSafeEqual, verify as verifyWith, type KeyObject } from "node:crypto";
import type { Result } from "../exchange/failure.ts";
import { answered, quote, readCount, readRequest, refused, type HostAnswer } from "./answer.ts";
import { hmacOf } from "./digests.ts";
import { Lru } from "./lru.ts";

const DATA_MAX_BYTES = 1024 * 1024;
const SIGNATURE_MAX_BYTES = 1024;
const KEY_MAX_LENGTH = 8192;
const KEYS_MAX = 512;
/** RSA keys below are broken, and those above take a millisecond a signature. */
const MODULUS_MIN_BITS = 2048;
const MODULUS_MAX_BITS = 8192;
const EXPONENT_MAX = 0xffff_ffffn;
/** Of 65537, which nearly all keys have. */
const EXPONENT_BITS = 17;

type Bits = "256" | "384" | "512";
type Algorithm = { readonly costNs: number } & (
  | { readonly kind: "rsa" | "rsa_pss"; readonly bits: Bits }
  | { readonly kind: "ec"; readonly bits: Bits; readonly curve: string }
  | { readonly kind: "ed25519" }
  | { readonly kind: "hmac"; readonly bits: Bits }
);

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ["RS256", { kind: "rsa", bits: "256", costNs: 40_000 }],
  ["RS384", { kind: "rsa", bits: "384", costNs: 40_000 }],
  ["RS512", { kind: "rsa", bits: "512", costNs: 40_000 }],
  ["PS256", { kind: "rsa_pss", bits: "256", costNs: 40_000 }],
  ["PS384", { kind: "rsa_pss", bits: "384", costNs: 40_000 }],
  ["PS512", { kind: "rsa_pss", bits: "512", costNs: 40_000 }],
  ["ES256", { kind: "ec", bits: "256", curve: "prime256v1", costNs: 100_000 }],
  ["ES384", { kind: "ec", bits: "384", curve: "secp384r1", costNs: 1_000_000 }],
  ["ES512", { kind: "ec", bits: "512", curve: "secp521r1", costNs: 2_000_000 }],
  ["EdDSA", { kind: "ed25519", costNs: 100_000 }],
  ["HS256", { kind: "hmac", bits: "256", costNs: 2000 }],
  ["HS384", { kind: "hmac", bits: "384", costNs: 2000 }],
  ["HS512", { kind: "hmac", bits: "512", costNs: 2000 }],
]);
const DATA_NS_PER_BYTE = 3;
const KEY_NS = 50_000;

type Key = { readonly kind: "public"; readonly key: KeyObject } | { readonly kind: "secret"; readonly key: Uint8Array };

/** Keys by the text that they came as: a filter's set of keys is small and used for every request. */
const keys = new Lru<Result<Key, string>>(KEYS_MAX);

/**
 * `verify`: request = algorithm SP length-of-signature LF key, a JWK or a PEM (`PUBLIC KEY`); the payload is the signature
 * followed by the data. Answers `1` or `0`; a key that cannot be of the algorithm is an error.
 */
export function verify(request: string, payload: Uint8Array): HostAnswer<string> {
  const { words, text: keyText = "" } = readRequest(request);
  const algorithm = ALGORITHMS.get(words[0] ?? "");
  if (algorithm === undefined)
    return refused(`algorithm is ${quote(words[0])}, must be ${[...ALGORITHMS.keys()].join(", ")}`);
  const length = readCount(words[1], 0, payload.length);
  if (length === undefined)
    return refused(`length of the signature is ${quote(words[1])}, payload has ${payload.length}`);
  if (payload.length - length > DATA_MAX_BYTES)
    return refused(`data is ${payload.length - length} bytes, limit is ${DATA_MAX_BYTES}`);
  const known = keys.get(keyText);
  const key = known ?? readKey(keyText);
  if (known === undefined && keyText.length <= KEY_MAX_LENGTH) keys.set(keyText, key);
  const keyNs = key.ok ? algorithm.costNs * weightOf(key.value) : 0;
  const costNs = keyNs + payload.length * DATA_NS_PER_BYTE + (known === undefined ? KEY_NS : 0);
  if (!key.ok) return refused(key.error, costNs);
  const mismatch = findMismatch(key.value, algorithm);
  if (mismatch !== undefined) return refused(`key is ${mismatch}, algorithm is ${quote(words[0])}`, costNs);
  if (length > SIGNATURE_MAX_BYTES) return answered("0", costNs);
  return answered(
    check(algorithm, key.value, payload.subarray(0, length), payload.subarray(length)) ? "1" : "0",
    costNs,
  );
}

function check(algorithm: Algorithm, key: Key, signature: Uint8Array, data: Uint8Array): boolean {
  if (key.kind === "secret") {
    if (algorithm.kind !== "hmac") return false;
    const expected = hmacOf(algorithm.bits, key.key, data);
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  }
  switch (algorithm.kind) {
    case "rsa":
      return verifyWith(
        `sha${algorithm.bits}`,
        data,
        { key: key.key, padding: constants.RSA_PKCS1_PADDING },
        signature,
      );
    case "rsa_pss": {
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      // RFC 7518 §3.5: the salt is as long as the hash.
      const saltLength = constants.RSA_PSS_SALTLEN_DIGEST;
      return verifyWith(`sha${algorithm.bits}`, data, { key: key.key, padding, saltLength }, signature);
    }
    case "ec":
      return verifyWith(`sha${algorithm.bits}`, data, { key: key.key, dsaEncoding: "ieee-p1363" }, signature);
    case "ed25519":
      return verifyWith(null, data, key.key, signature);
    case "hmac":
      return false;
  }
}

/** How much longer than with a usual key it takes: RSA grows with the square of the modulus and with the exponent's bits. */
function weightOf(key: Key): number {
  if (key.kind === "secret") return 1;
  const { modulusLength = MODULUS_MIN_BITS, publicExponent = 0n } = key.key.asymmetricKeyDetails ?? {};
  const squares = Math.max(1, publicExponent.toString(2).length / EXPONENT_BITS);
  return (modulusLength / MODULUS_MIN_BITS) ** 2 * squares;
}

/** What the key is, where that is not what the algorithm takes. */
function findMismatch(key: Key, algorithm: Algorithm): string | undefined {
  if (key.kind === "secret") return algorithm.kind === "hmac" ? undefined : "a secret";
  const { asymmetricKeyType: type = "unknown", asymmetricKeyDetails: details } = key.key;
  switch (algorithm.kind) {
    case "rsa":
    case "rsa_pss":
      return type === "rsa" ? undefined : `of type ${type}`;
    case "ec":
      return type === "ec" && details?.namedCurve === algorithm.curve
        ? undefined
        : `of type ${type} ${details?.namedCurve}`;
    case "ed25519":
      return type === "ed25519" ? undefined : `of type ${type}`;
    case "hmac":
      return `of type ${type}`;
  }
}

function readKey(text: string): Result<Key, string> {
  if (text.length > KEY_MAX_LENGTH)
    return { ok: false, error: `key has ${text.length} characters, limit is ${KEY_MAX_LENGTH}` };
  try {
    if (!text.startsWith("{")) return checkPublic(createPublicKey({ key: text, format: "pem" }));
    const jwk: unknown = JSON.parse(text);
    if (!isJwk(jwk)) return { ok: false, error: "key is not a JWK: it has no kty" };
    if (jwk.kty !== "oct") return checkPublic(createPublicKey({ key: jwk, format: "jwk" }));
    if (typeof jwk["k"] !== "string") return { ok: false, error: "key is a secret without k" };
    return { ok: true, value: { kind: "secret", key: Buffer.from(jwk["k"], "base64url") } };
  } catch (error) {
    // Neither JSON nor PEM, or not a key.
    return { ok: false, error: `key is not a JWK or a PEM: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function checkPublic(key: KeyObject): Result<Key, string> {
  const { modulusLength, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength !== undefined && (modulusLength < MODULUS_MIN_BITS || modulusLength > MODULUS_MAX_BITS))
    return { ok: false, error: `key has ${modulusLength} bits, must have ${MODULUS_MIN_BITS} to ${MODULUS_MAX_BITS}` };
  if (publicExponent > EXPONENT_MAX) return { ok: false, error: "key has an exponent of more than 32 bits" };
  return { ok: true, value: { kind: "public", key } };
}

function isJwk(value: unknown): value is { readonly kty: string; readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && "kty" in value && typeof value.kty === "string";
}
