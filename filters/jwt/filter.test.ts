// Tokens of those who are trusted pass, and nobody else's.
import { describe, expect, test } from "bun:test";
import { constants, createHmac, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import fc from "fast-check";
import { describeLibraryFilter, type Sending } from "../../test/contract/library.ts";
import filter from "./filter.ts";
import { findKeys, parseKeySet } from "./key-set.ts";
import { holdsOneOf, parseToken, readClaim, renderClaim } from "./token.ts";

const ISSUER = "https://issuer.test";
/** The test clock's, in seconds. */
const NOW = 1_700_001_000;
const RSA = generateKeyPairSync("rsa", { modulusLength: 2048 });
const P256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const P384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const ED = generateKeyPairSync("ed25519");
const STRANGER = generateKeyPairSync("rsa", { modulusLength: 2048 });

const jwk = (key: KeyObject, more: object): object => ({ ...key.export({ format: "jwk" }), ...more });
const KEYS = {
  keys: [
    jwk(RSA.publicKey, { kid: "rsa", use: "sig" }),
    jwk(P256.publicKey, { kid: "p256", alg: "ES256" }),
    jwk(P384.publicKey, { kid: "p384" }),
    jwk(ED.publicKey, { kid: "ed", key_ops: ["verify"] }),
    { kty: "oct", kid: "secret", k: "c2VjcmV0" },
    jwk(STRANGER.publicKey, { kid: "encryption", use: "enc" }),
  ],
};
const PROVIDER = { issuer: ISSUER, jwks: KEYS };
const CONFIG = { providers: [PROVIDER] };

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

type Sign = (data: Buffer) => Buffer;
const rs256: Sign = (data) => sign("sha256", data, RSA.privateKey);

function tokenOf(claims: object, header: object = { alg: "RS256", kid: "rsa" }, by: Sign = rs256): string {
  const signed = `${encode(header)}.${encode({ iss: ISSUER, sub: "ada", exp: NOW + 300, ...claims })}`;
  return `${signed}.${by(Buffer.from(signed)).toString("base64url")}`;
}

function bearer(token: string, more: Sending = {}): Sending {
  return { ...more, headers: { authorization: `Bearer ${token}`, ...more.headers } };
}

describeLibraryFilter(import.meta.dir, filter, (start) => {
  const pss = { key: RSA.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  test.each<[string, string, Sign]>([
    ["RS256", "rsa", rs256],
    ["RS512", "rsa", (data) => sign("sha512", data, RSA.privateKey)],
    ["PS256", "rsa", (data) => sign("sha256", data, pss)],
    ["ES256", "p256", (data) => sign("sha256", data, { key: P256.privateKey, dsaEncoding: "ieee-p1363" })],
    ["ES384", "p384", (data) => sign("sha384", data, { key: P384.privateKey, dsaEncoding: "ieee-p1363" })],
    ["EdDSA", "ed", (data) => sign(null, data, ED.privateKey)],
  ])("a token signed with %s passes, twice, and with another claim it does not", async (alg, kid, by) => {
    const jwt = await start({ config: CONFIG });
    const token = tokenOf({}, { alg, kid }, by);
    expect(await jwt.send(bearer(token))).toMatchObject({ status: 200, metadata: { jwt_principal: `${ISSUER}/ada` } });
    expect((await jwt.send(bearer(token))).status).toBe(200);
    expect((await jwt.send(bearer(tokenOf({}, { alg }, by)))).status).toBe(200);
    const [header = "", , signature = ""] = token.split(".");
    const forged = `${header}.${encode({ iss: ISSUER, sub: "eve", exp: NOW + 300 })}.${signature}`;
    expect(await jwt.send(bearer(forged))).toMatchObject({ status: 401, body: "Jwt verification fails" });
  });

  const pem = RSA.publicKey.export({ format: "pem", type: "spki" });
  test.each<[string, string, string]>([
    ["no signature", tokenOf({}, { alg: "none" }, () => Buffer.alloc(0)), "not in the form"],
    ["alg none with some signature", tokenOf({}, { alg: "none" }), "[alg] is not supported"],
    [
      "a MAC under the public key",
      tokenOf({}, { alg: "HS256", kid: "rsa" }, (data) => createHmac("sha256", pem).update(data).digest()),
      "[alg] is not supported",
    ],
    [
      "a MAC under the set's secret",
      tokenOf({}, { alg: "HS256", kid: "secret" }, (data) => createHmac("sha256", "secret").update(data).digest()),
      "[alg] is not supported",
    ],
    ["another key's kid", tokenOf({}, { alg: "RS256", kid: "p256" }), "verification fails"],
    ["a kid that is not there", tokenOf({}, { alg: "RS256", kid: "../../dev/null" }), "doesn't have key"],
    ["a kid that is no text", tokenOf({}, { alg: "RS256", kid: { $ne: "" } }), "not in the form"],
    [
      "a key for encryption",
      tokenOf({}, { alg: "RS256", kid: "encryption" }, (data) => sign("sha256", data, STRANGER.privateKey)),
      "doesn't have key",
    ],
    [
      "a key that the token brings",
      tokenOf({}, { alg: "RS256", jwk: jwk(STRANGER.publicKey, {}) }, (data) =>
        sign("sha256", data, STRANGER.privateKey),
      ),
      "verification fails",
    ],
    [
      "an ECDSA signature in DER",
      tokenOf({}, { alg: "ES256", kid: "p256" }, (data) => sign("sha256", data, P256.privateKey)),
      "verification fails",
    ],
    [
      "a signature of zeros (CVE-2022-21449)",
      tokenOf({}, { alg: "ES256", kid: "p256" }, () => Buffer.alloc(64)),
      "verification fails",
    ],
    ["conditions", tokenOf({}, { alg: "RS256", kid: "rsa", crit: ["exp"] }), "not in the form"],
    ["another issuer", tokenOf({ iss: `${ISSUER}/` }), "issuer is not configured"],
    ["no issuer", tokenOf({ iss: undefined }), "issuer is not configured"],
    ["an end that is past", tokenOf({ exp: NOW - 61 }), "is expired"],
    ["an end that is no number", tokenOf({ exp: String(NOW + 300) }), "is expired"],
    ["a beginning to come", tokenOf({ nbf: NOW + 61 }), "not yet valid"],
    ["two segments", "a.b", "not in the form"],
    ["segments that are no JSON", "YQ.YQ.YQ", "not in the form"],
    ["a list for a header", `${encode([])}.${encode({ iss: ISSUER })}.YQ`, "not in the form"],
    ["many bytes", `${"a".repeat(9000)}.b.c`, "longer than 8192 bytes"],
  ])("a token with %s is answered 401", async (_, token, reason) => {
    const jwt = await start({ config: CONFIG });
    const { status, body, headers, forwarded } = await jwt.send(bearer(token));
    expect({ status, forwarded }).toEqual({ status: 401, forwarded: undefined });
    expect(body).toContain(reason);
    expect(headers["www-authenticate"]).toContain('Bearer error="invalid_token"');
  });

  test("clocks may be wrong by the leeway", async () => {
    const jwt = await start({ config: CONFIG });
    expect((await jwt.send(bearer(tokenOf({ exp: NOW - 58 })))).status).toBe(200);
    expect((await jwt.send(bearer(tokenOf({ nbf: NOW + 58 })))).status).toBe(200);
    const strict = await start({ config: { providers: [{ ...PROVIDER, leeway: "0s" }] } });
    expect((await strict.send(bearer(tokenOf({ exp: NOW - 2 })))).status).toBe(401);
  });

  test("a token that passed once does not pass when it has ended", async () => {
    const jwt = await start({ config: CONFIG });
    const token = tokenOf({});
    expect((await jwt.send(bearer(token))).status).toBe(200);
    jwt.clock.advance(400_000);
    expect(await jwt.send(bearer(token))).toMatchObject({ status: 401, body: "Jwt is expired" });
  });

  test("one of the audiences must be named", async () => {
    const jwt = await start({ config: { providers: [{ ...PROVIDER, audiences: ["shop", "cart"] }] } });
    const statusOf = async (aud: unknown) => (await jwt.send(bearer(tokenOf({ aud })))).status;
    expect([await statusOf("shop"), await statusOf(["x", "cart"])]).toEqual([200, 200]);
    expect([await statusOf("other"), await statusOf(undefined), await statusOf([["shop"]])]).toEqual([401, 401, 401]);
  });

  test("tokens are found where they may be, claims are told, and tokens and forged claims go no further", async () => {
    const provider = {
      ...PROVIDER,
      fromHeaders: [{ name: "X-Token" }],
      fromParams: ["t"],
      fromCookies: ["token"],
      outputPayloadToHeader: "x-payload",
      outputClaimToHeaders: [
        { header: "x-user", claim: "sub" },
        { header: "x-city", claim: "address.city" },
        { header: "x-roles", claim: "roles" },
        { header: "x-gone", claim: "nothing" },
        { header: "x-broken", claim: "lines" },
      ],
      outputClaimToMetadata: [{ name: "plan", claim: "plan" }],
    };
    const jwt = await start({ config: { providers: [provider] } });
    const token = tokenOf({ address: { city: "Zürich" }, roles: ["a"], plan: "gold", lines: "a\r\nx-admin: 1" });
    const forged = { "x-user": "root", "x-gone": "1", "x-broken": "1", "x-payload": "e30" };
    for (const sending of [
      { headers: { ...forged, "x-token": token } },
      { path: `/?t=${token}`, headers: forged },
      { headers: { ...forged, cookie: `a=b; token=${token}` } },
    ]) {
      const { forwarded, metadata } = await jwt.send(sending);
      expect(forwarded?.headers).toEqual({
        ...("cookie" in sending.headers && { cookie: "a=b" }),
        "x-user": "ada",
        "x-city": Buffer.from("Zürich").toString("latin1"),
        "x-roles": encode(["a"]),
        "x-payload": token.split(".")[1] ?? "",
      });
      expect(metadata["plan"]).toBe("gold");
    }
    // The places are this provider's: a bearer token is somebody else's, and so is who it says they are.
    const anonymous = await jwt.send(bearer(token, { headers: forged }));
    expect(anonymous.forwarded?.headers).toEqual({ authorization: `Bearer ${token}` });
  });

  test("rules say who must have which token", async () => {
    const rules = [
      { path: "/public/", isRequired: false },
      { path: "/admin/", claims: { scope: ["write", "all"], "org.id": ["7"] } },
      { path: "/other/", issuers: ["https://other.test"] },
      { path: "/" },
    ];
    const jwt = await start({ config: { ...CONFIG, rules } });
    const statusOf = async (path: string, claims?: object) =>
      (await jwt.send(claims === undefined ? { path } : bearer(tokenOf(claims), { path }))).status;
    expect([await statusOf("/public/a"), await statusOf("/cart"), await statusOf("/cart", {})]).toEqual([
      200, 401, 200,
    ]);
    expect(await statusOf("/admin/a", { scope: "read write", org: { id: 7 } })).toBe(200);
    expect(await statusOf("/admin/a", { scope: "readwrite", org: { id: 7 } })).toBe(403);
    expect(await statusOf("/admin/a", { scope: "write", org: { id: 8 } })).toBe(403);
    expect([await statusOf("/other/", {}), await statusOf("/other/")]).toEqual([403, 401]);
    const preflight = { origin: "https://a.test", "access-control-request-method": "PUT" };
    expect((await jwt.send({ method: "OPTIONS", path: "/cart", headers: preflight })).status).toBe(200);
  });

  test("without rules, a request without a token passes", async () => {
    const jwt = await start({ config: CONFIG });
    expect((await jwt.send()).status).toBe(200);
  });

  test("a key set is fetched, fetched again, and kept while it cannot be had", async () => {
    let answers: { status: number; body: Uint8Array } | string = "connection refused";
    let calls = 0;
    const jwt = await start({
      config: { providers: [{ issuer: ISSUER, jwksFrom: { upstream: "idp", path: "/keys", refresh: "1m" } }] },
      upstreams: {
        idp: ({ path }) => {
          calls++;
          return path === "/keys" ? answers : { status: 404 };
        },
      },
    });
    const token = tokenOf({});
    const set = (keys: object): void => {
      answers = { status: 200, body: Buffer.from(JSON.stringify(keys)) };
    };
    const tick = async (times: number): Promise<void> => {
      for (let count = 0; count < times; count++) {
        jwt.clock.advance(10_000);
        await Bun.sleep(0);
      }
    };
    // Nobody can be trusted yet; the configuration stands all the same.
    expect((await jwt.send(bearer(token))).status).toBe(401);
    set(KEYS);
    await tick(1);
    expect((await jwt.send(bearer(token))).status).toBe(200);
    answers = { status: 500, body: Buffer.from("{}") };
    await tick(7);
    expect(calls).toBeGreaterThan(2);
    expect((await jwt.send(bearer(tokenOf({ jti: "2" })))).status).toBe(200);
    set({ keys: [jwk(STRANGER.publicKey, { kid: "new" })] });
    await tick(1);
    expect((await jwt.send(bearer(token))).status).toBe(401);
    // A name that is not known has the set fetched again, before its time.
    set(KEYS);
    expect((await jwt.send(bearer(token))).status).toBe(401);
    await tick(1);
    expect((await jwt.send(bearer(token))).status).toBe(200);
  });

  test.each([
    [{ providers: [] }, "providers"],
    [{ providers: [{ issuer: "a" }] }, "must have either jwks or jwksFrom"],
    [{ providers: [{ issuer: "a", jwks: "<html>" }] }, "is not a key set"],
    [{ providers: [{ issuer: "a", jwks: { keys: [{ kty: "oct", k: "YQ" }] } }] }, "has no key that can check"],
    [{ providers: [{ ...PROVIDER, algorithms: ["HS256"] }] }, "algorithms[0]"],
    [{ providers: [{ ...PROVIDER, algorithms: ["none"] }] }, "algorithms[0]"],
    [{ providers: [PROVIDER, PROVIDER] }, "must be of different issuers"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config }).catch(String)).toContain(message);
  });
});

describe("parts", () => {
  test("whatever is sent as a token parses or does not, and never throws", () => {
    const segment = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.json().map((text) => Buffer.from(text).toString("base64url")),
    );
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 5 }), (segments) => {
        const token = parseToken(segments.join("."));
        expect(token === undefined || typeof token.algorithm === "string").toBe(true);
      }),
    );
  });

  test("a key set keeps public parts of keys for signatures", () => {
    const keys = parseKeySet({ keys: [jwk(RSA.privateKey, { kid: "leaked" }), { kty: "EC", use: "enc" }, 7] });
    expect(keys).toEqual([{ ...RSA.publicKey.export({ format: "jwk" }), kty: "RSA", kid: "leaked" }]);
    expect(typeof keys === "string" ? [] : findKeys(keys, "ES256", "leaked")).toEqual([]);
  });

  test("claims are read by name and by path, never beyond their own", () => {
    expect(readClaim({ "a.b": 1, a: { b: 2 } }, "a.b")).toBe(1);
    expect(readClaim({ a: { b: { c: 3 } } }, "a.b.c")).toBe(3);
    expect([
      readClaim({}, "constructor"),
      readClaim({ a: {} }, "a.constructor.name"),
      readClaim({ a: [1] }, "a.0"),
    ]).toEqual([undefined, undefined, undefined]);
    expect([holdsOneOf({ a: ["x", 1] }, "a", ["1"]), holdsOneOf({ a: "x y" }, "a", ["x"])]).toEqual([true, false]);
    expect([renderClaim(1.5), renderClaim(false), renderClaim(null), renderClaim(" a ")]).toEqual([
      "1.5",
      "false",
      undefined,
      "a",
    ]);
  });
});
