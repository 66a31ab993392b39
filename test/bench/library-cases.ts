// What each filter of the library is measured with: a common configuration and a request that passes.
import { generateKeyPairSync, sign } from "node:crypto";
import type { Callout } from "../../runtime/chain/callout.ts";
import { bytesBody } from "../../runtime/exchange/body.ts";
import { describeThings, makeThing } from "../fixtures/openapi/things.ts";
import type { RequestInit } from "../../sdk/testing/exchange.ts";

/** One filter's measurement. */
export interface LibraryCase {
  readonly config: Readonly<Record<string, unknown>>;
  readonly request: RequestInit;
  readonly reply?: { readonly headers?: Readonly<Record<string, string>>; readonly body?: string };
  readonly upstreams?: readonly string[];
  /** Of the sandboxed one. Default: as in a proxy. */
  readonly fuel?: number;
  /** Answers calls at once: what the filter costs without the network. */
  readonly callout?: Callout;
  readonly note: string;
}

/** Ten fields, as a browser or a service sends them. */
const HEADERS = {
  "user-agent": "bench/1.0",
  accept: "*/*",
  "accept-encoding": "gzip, br",
  "accept-language": "en",
  "x-user": "ada",
  "x-forwarded-for": "203.0.113.9, 10.0.0.7",
  "x-request-id": "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
  cookie: "session=0123456789abcdef",
  referer: "https://shop.example.com/",
  "content-length": "100",
};
const ALLOWED = {
  ok: true,
  value: { status: 200, headers: [["x-auth-user", "ada"]], body: new Uint8Array() },
} as const;
const REQUEST = { path: "/cart?item=7", headers: HEADERS } as const;

const digestOf = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("hex");

const KEYS = generateKeyPairSync("ec", { namedCurve: "P-256" });
const TOKEN = signed(`${encode({ alg: "ES256" })}.${encode({ iss: "bench", sub: "ada", exp: 4_000_000_000 })}`);

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function signed(text: string): string {
  const key = { key: KEYS.privateKey, dsaEncoding: "ieee-p1363" } as const;
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
}

const DOCUMENT = JSON.stringify(
  Array.from({ length: 35 }, (_, id) => ({ id, name: `item ${id}`, price: id * 3.5, tags: ["a", "b"] })),
).padEnd(2048);
const THING = makeThing();

export const LIBRARY_CASES: Readonly<Record<string, LibraryCase>> = {
  "ip-list": {
    config: {
      allow: ["10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32"],
      deny: Array.from({ length: 1000 }, (_, index) => `198.51.${index >> 8}.${index & 255}`),
      trustedHops: 2,
    },
    request: REQUEST,
    note: "1,003 blocks, client by x-forwarded-for",
  },
  "api-key": {
    config: {
      keys: Array.from({ length: 1000 }, (_, index) => ({ client: `c${index}`, sha256: digestOf(`key ${index}`) })),
      clientHeader: "x-client",
      hidesKey: false,
    },
    request: { ...REQUEST, headers: { ...HEADERS, "x-api-key": "key 7" } },
    note: "1,000 keys, ten fields",
  },
  "ext-auth": {
    config: { includeRequestHeadersInCheck: ["cookie"], headersToUpstreamOnAllow: ["x-auth-user"] },
    request: REQUEST,
    upstreams: ["auth"],
    callout: () => Promise.resolve(ALLOWED),
    note: "without the network; request and reply",
  },
  fault: {
    config: {
      delay: { fixedDelay: "1s", percentage: { value: 0 } },
      abort: { fromHeader: true, percentage: { value: 1 } },
    },
    request: REQUEST,
    note: "no fault happens",
  },
  "rate-limit": {
    config: { limits: [{ name: "ip", key: [{ by: "ip" }], requests: 1_000_000, per: "1s" }] },
    request: REQUEST,
    note: "one bucket a client; request and reply",
  },
  jwt: {
    config: {
      providers: [
        { issuer: "bench", jwks: { keys: [KEYS.publicKey.export({ format: "jwk" })] }, forwardOriginalToken: true },
      ],
    },
    request: { ...REQUEST, headers: { ...HEADERS, authorization: `Bearer ${TOKEN}` } },
    note: "a token that passed before",
  },
  compress: {
    config: { codings: ["gzip"] },
    request: REQUEST,
    reply: { headers: { "content-type": "application/json", "content-length": "2048" }, body: DOCUMENT },
    note: "2 KB of JSON in gzip",
  },
  "request-validate": {
    config: { document: describeThings() },
    request: {
      method: "POST",
      path: "/v1/things7",
      headers: { ...HEADERS, "content-type": "application/json", "content-length": String(THING.length) },
      body: bytesBody(Buffer.from(THING)),
    },
    fuel: 50_000_000,
    note: "2 KB of JSON; 300 operations are described",
  },
  redact: {
    config: { rules: [{ names: ["password", "tags"] }, { patterns: ["credit-card", "email"], mask: { keepLast: 4 } }] },
    request: REQUEST,
    reply: { headers: { "content-type": "application/json" }, body: DOCUMENT },
    note: "2 KB of JSON, 35 members of which are hidden",
  },
  "body-limit": { config: { requestMaxBytes: 1000 }, request: REQUEST, note: "length told; request and reply" },
};
