import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { describe, expect, test } from "bun:test";
import { errorOf, valueOf } from "../../test/harness/host-answer.ts";
import { createHostFunctions } from "./host-functions.ts";

const functions = createHostFunctions({ shared: () => undefined });
const DATA = Buffer.from("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ");

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" });
const ed25519 = generateKeyPairSync("ed25519");
const ec = { dsaEncoding: "ieee-p1363" } as const;
const pss = { padding: 6 };

const CASES: readonly (readonly [string, Pair, string | null, object, number])[] = [
  ["RS256", rsa, "sha256", {}, 0],
  ["RS384", rsa, "sha384", {}, 0],
  ["RS512", rsa, "sha512", {}, 0],
  ["PS256", rsa, "sha256", pss, 32],
  ["PS384", rsa, "sha384", pss, 48],
  ["PS512", rsa, "sha512", pss, 64],
  ["ES256", p256, "sha256", ec, 0],
  ["ES384", p384, "sha384", ec, 0],
  ["ES512", p521, "sha512", ec, 0],
  ["EdDSA", ed25519, null, {}, 0],
];

function verify(algorithm: string, key: string, signature: Uint8Array, data: Uint8Array = DATA) {
  return functions.text("verify", `${algorithm} ${signature.length}\n${key}`, Buffer.concat([signature, data]));
}

function jwkOf(key: KeyObject): string {
  return JSON.stringify(key.export({ format: "jwk" }));
}

describe.each(CASES)("%s", (algorithm, { publicKey, privateKey }, digest, options, saltLength) => {
  const signature = sign(digest, DATA, { key: privateKey, ...options, ...(saltLength > 0 ? { saltLength } : {}) });
  const pem = publicKey.export({ format: "pem", type: "spki" });

  test("a signature is the key's, as JWK and as PEM", () => {
    expect(valueOf(verify(algorithm, jwkOf(publicKey), signature))).toBe("1");
    expect(valueOf(verify(algorithm, pem, signature))).toBe("1");
  });

  test("another signature, another text and another algorithm are not", () => {
    const other = Uint8Array.from(signature, (byte, at) => (at === signature.length - 1 ? byte ^ 1 : byte));
    expect(valueOf(verify(algorithm, pem, other))).toBe("0");
    expect(valueOf(verify(algorithm, pem, signature, Buffer.from("other")))).toBe("0");
    expect(valueOf(verify(algorithm, pem, new Uint8Array()))).toBe("0");
    expect(valueOf(verify(algorithm, pem, new Uint8Array(2000)))).toBe("0");
  });

  test("a public key is no secret", () => {
    expect(errorOf(verify("HS256", jwkOf(publicKey), signature))).toContain("key is of type");
  });
});

test("a secret makes MACs, and no signatures", () => {
  const key = JSON.stringify({ kty: "oct", k: Buffer.from("secret").toString("base64url") });
  const mac = new Bun.CryptoHasher("sha256", "secret").update(DATA).digest();
  expect(valueOf(verify("HS256", key, mac))).toBe("1");
  expect(valueOf(verify("HS256", key, mac.subarray(1)))).toBe("0");
  expect(valueOf(verify("HS512", key, mac))).toBe("0");
  expect(errorOf(verify("RS256", key, mac))).toBe('verify: key is a secret, algorithm is "RS256"');
});

describe("a key that is none of the algorithm's is an error", () => {
  test.each([
    ["ES256", jwkOf(p384.publicKey), 'verify: key is of type ec secp384r1, algorithm is "ES256"'],
    ["ES256", jwkOf(rsa.publicKey), 'verify: key is of type rsa undefined, algorithm is "ES256"'],
    ["EdDSA", jwkOf(p256.publicKey), 'verify: key is of type ec, algorithm is "EdDSA"'],
    ["RS256", "{}", "verify: key is not a JWK: it has no kty"],
    ["RS256", "{", "verify: key is not a JWK or a PEM"],
    ["RS256", "", "verify: key is not a JWK or a PEM"],
    ["RS256", `{"kty":"${"x".repeat(8192)}"}`, "verify: key has 8202 characters, limit is 8192"],
    ["none", "{}", 'verify: algorithm is "none", must be RS256'],
  ])("%s with %s", (algorithm, key, message) => {
    expect(errorOf(verify(algorithm, key, new Uint8Array(8)))).toStartWith(message);
  });

  test("an RSA key of 1024 bits", () => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
    expect(errorOf(verify("RS256", jwkOf(publicKey), new Uint8Array(128)))).toBe(
      "verify: key has 1024 bits, must have 2048 to 8192",
    );
  });
});

test("a larger key costs more fuel", () => {
  const [small = 0, large = 0] = [2048, 8192].map((modulusLength) => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength });
    return verify("RS256", jwkOf(publicKey), new Uint8Array(modulusLength / 8)).fuel;
  });
  expect(large).toBeGreaterThan(5 * small);
});

test("a key is read once: what it costs is part of the price of the first call", () => {
  const { publicKey } = generateKeyPairSync("ed25519");
  const [first, second] = [0, 1].map(() => verify("EdDSA", jwkOf(publicKey), new Uint8Array(64)).fuel);
  expect(first).toBeGreaterThan(second ?? 0);
});
