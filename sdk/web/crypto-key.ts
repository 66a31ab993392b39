// Keys of Web Cryptography as the proxy takes them: a JWK, or a PEM.
import { viewOf } from "./text.ts";

/** As `importKey`, `sign` and `verify` name it; only these of its members are looked at. */
export interface Algorithm {
  readonly name: string;
  readonly hash?: Algorithm | string;
  readonly namedCurve?: string;
  readonly saltLength?: number;
}

/** A key that was imported. */
export interface CryptoKey {
  readonly type: "public" | "secret";
  readonly extractable: boolean;
  readonly algorithm: Algorithm;
  readonly usages: readonly string[];
  /** As it crosses to the proxy. */
  readonly text: string;
  /** HMAC's. */
  readonly secret: Uint8Array | undefined;
}

type KeyData = ArrayBuffer | ArrayBufferView | Readonly<Record<string, unknown>>;

const BASE64URL = { alphabet: "base64url", omitPadding: true } as const;
const CURVES: Readonly<Record<string, string>> = { "P-256": "256", "P-384": "384", "P-521": "512" };

/** Takes a key in the formats `raw`, `jwk` and `spki`. */
export async function importKey(
  format: string,
  data: KeyData,
  algorithm: Algorithm | string,
  extractable: boolean,
  usages: readonly string[],
): Promise<CryptoKey> {
  const named = typeof algorithm === "string" ? { name: algorithm } : algorithm;
  const common = { extractable, algorithm: named, usages };
  const text = renderKey(format, data, named);
  if (named.name.toUpperCase() !== "HMAC") return { ...common, type: "public", text, secret: undefined };
  const jwk: unknown = JSON.parse(text);
  const secret = typeof jwk === "object" && jwk !== null && "k" in jwk && typeof jwk.k === "string" ? jwk.k : undefined;
  if (secret === undefined) throw new DOMException("the key is not a secret", "DataError");
  return { ...common, type: "secret", text, secret: Uint8Array.fromBase64(secret, BASE64URL) };
}

function renderKey(format: string, data: KeyData, algorithm: Algorithm): string {
  if (format === "jwk") return JSON.stringify(data);
  if (!isBuffer(data)) throw new TypeError(`a key in the format ${format} is bytes`);
  const bytes = viewOf(data);
  if (format === "spki") return `-----BEGIN PUBLIC KEY-----\n${bytes.toBase64()}\n-----END PUBLIC KEY-----`;
  if (format !== "raw") throw new DOMException(`format is ${format}, must be raw, jwk or spki`, "NotSupportedError");
  switch (algorithm.name.toUpperCase()) {
    case "HMAC":
      return JSON.stringify({ kty: "oct", k: bytes.toBase64(BASE64URL) });
    case "ED25519":
      return JSON.stringify({ kty: "OKP", crv: "Ed25519", x: bytes.toBase64(BASE64URL) });
    case "ECDSA": {
      // SEC 1 §2.3.3: 4, x, y.
      const half = (bytes.length - 1) / 2;
      const [x, y] = [bytes.subarray(1, 1 + half), bytes.subarray(1 + half)];
      return JSON.stringify({
        kty: "EC",
        crv: algorithm.namedCurve,
        x: x.toBase64(BASE64URL),
        y: y.toBase64(BASE64URL),
      });
    }
    default:
      throw new DOMException(`a key of ${algorithm.name} has no raw form`, "NotSupportedError");
  }
}

/** What JWS calls an algorithm with its key: `ES256`. */
export function jwsNameOf(algorithm: Algorithm | string, key: CryptoKey): string {
  const asked = typeof algorithm === "string" ? { name: algorithm } : algorithm;
  const bits = bitsOf(asked.hash ?? key.algorithm.hash);
  switch (key.algorithm.name.toUpperCase()) {
    case "HMAC":
      return `HS${bits}`;
    case "RSASSA-PKCS1-V1_5":
      return `RS${bits}`;
    case "RSA-PSS":
      if (asked.saltLength !== undefined && asked.saltLength * 8 !== Number(bits))
        throw new DOMException("the salt is as long as the hash", "NotSupportedError");
      return `PS${bits}`;
    case "ECDSA":
      if (CURVES[key.algorithm.namedCurve ?? ""] !== bits)
        throw new DOMException(`${key.algorithm.namedCurve} does not go with SHA-${bits}`, "NotSupportedError");
      return `ES${bits}`;
    case "ED25519":
      return "EdDSA";
    default:
      throw new DOMException(`${key.algorithm.name} is not known`, "NotSupportedError");
  }
}

function bitsOf(hash: Algorithm | string | undefined): string {
  const name = typeof hash === "object" ? hash.name : (hash ?? "");
  return name.toUpperCase().replace("SHA-", "");
}

function isBuffer(data: KeyData): data is ArrayBuffer | ArrayBufferView {
  return data instanceof ArrayBuffer || ArrayBuffer.isView(data);
}
