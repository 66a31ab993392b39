// What the SDK and the sandbox offer besides a message answers alike in every engine, and as Bun's own does.
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash, createHmac, generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { join } from "node:path";
import type { Filter } from "../../runtime/chain/filter.ts";
import { makeExchange } from "../../sdk/testing/exchange.ts";
import toolbox from "../fixtures/toolbox/filter.ts";
import { subjectsOf, unwrap } from "./subjects.ts";

const SUBJECTS = subjectsOf(toolbox, join(import.meta.dir, "../fixtures/toolbox/filter.ts"));
const text = fc.string({ unit: "binary", maxLength: 400 });
const bytes = fc.uint8Array({ maxLength: 400 });
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex");

async function askOf(filter: Filter, what: string, ...texts: readonly string[]): Promise<unknown> {
  const given = JSON.stringify(texts).replaceAll(/[\u{80}-\u{10ffff}]/gu, escapeUnits);
  const exchange = makeExchange({ headers: { "x-do": what, "x-with": given } });
  const verdict = await filter.request?.(exchange);
  if (verdict?.kind !== "proceed") throw new Error(JSON.stringify(verdict));
  const result = exchange.headers.get("x-result") ?? "";
  return result === "undefined" ? undefined : JSON.parse(result);
}

function escapeUnits(character: string): string {
  return Array.from(
    { length: character.length },
    (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`,
  ).join("");
}

describe.each(SUBJECTS.map((subject) => [subject.engine, subject] as const))("in engine %s", (_, subject) => {
  let filter: Filter;
  const ask = (what: string, ...texts: readonly string[]): Promise<unknown> => askOf(filter, what, ...texts);

  beforeAll(async () => {
    filter = unwrap(await subject.build());
  }, 60_000);

  test.each(["sha-1", "sha-256", "sha-384", "sha-512", "md5"])("%s hashes and makes MACs", async (algorithm) => {
    const name = algorithm.replace("-", "");
    await fc.assert(
      fc.asyncProperty(text, bytes, async (data, key) => {
        const wellFormed = data.toWellFormed();
        expect(await ask("hash", algorithm, wellFormed)).toBe(createHash(name).update(wellFormed).digest("hex"));
        expect(await ask("hash bytes", algorithm, hex(key))).toBe(createHash(name).update(key).digest("hex"));
        expect(await ask("hmac", algorithm, wellFormed, wellFormed)).toBe(
          createHmac(name, wellFormed).update(wellFormed).digest("hex"),
        );
        expect(await ask("hmac bytes", algorithm, hex(key), hex(key))).toBe(
          createHmac(name, key).update(key).digest("hex"),
        );
      }),
      { numRuns: 20 },
    );
  });

  test("an algorithm that is none is an exception", async () => {
    expect(await ask("hash", "sha-3", "")).toEqual({ thrown: "Error" });
  });

  test("secrets are compared", async () => {
    expect(await ask("equal", "secrét", "secrét")).toEqual([true, true]);
    expect(await ask("equal", "secret", "secreT")).toEqual([false, false]);
    expect(await ask("equal", "secret", "secre")).toEqual([false, false]);
    expect(await ask("equal", "", "")).toEqual([true, true]);
  });

  test("signatures are checked", async () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const signature = sign("sha256", Buffer.from("a.b"), { key: privateKey, dsaEncoding: "ieee-p1363" });
    const jwk = JSON.stringify(publicKey.export({ format: "jwk" }));
    expect(await ask("verify", "ES256", jwk, hex(signature), "a.b")).toBe(true);
    expect(await ask("verify", "ES256", publicKey.export({ format: "pem", type: "spki" }), hex(signature), "a.b")).toBe(
      true,
    );
    expect(await ask("verify", "ES256", jwk, hex(signature), "a.c")).toBe(false);
    expect(await ask("verify", "HS256", jwk, hex(signature), "a.b")).toEqual({ thrown: "Error" });
  });

  test("texts become UTF-8 and come back", async () => {
    await fc.assert(
      fc.asyncProperty(text, fc.nat({ max: 20 }), async (given, size) => {
        const encoded = new TextEncoder().encode(given);
        expect(await ask("encode", given)).toBe(hex(encoded));
        expect(await ask("decode", hex(encoded), "fatal", "mark")).toBe(given.toWellFormed());
        const target = new Uint8Array(size);
        const { read, written } = new TextEncoder().encodeInto(given, target);
        expect(await ask("encode into", given, String(size))).toEqual([{ read, written }, hex(target)]);
      }),
      { numRuns: 50 },
    );
  });

  test("what is not UTF-8 is replaced or refused as the standard says", async () => {
    const odd = fc.array(
      fc.constantFrom(
        0x41,
        0x80,
        0xbf,
        0xc0,
        0xc3,
        0xa9,
        0xe2,
        0x98,
        0x95,
        0xed,
        0xa0,
        0xf0,
        0x9f,
        0xf4,
        0x90,
        0xff,
        0xef,
        0xbb,
      ),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(odd, async (given) => {
        const data = Uint8Array.from(given);
        expect(await ask("decode", hex(data))).toBe(new TextDecoder().decode(data));
        let isUtf8 = true;
        try {
          new TextDecoder("utf-8", { fatal: true }).decode(data);
        } catch {
          isUtf8 = false;
        }
        const decoded = await ask("decode", hex(data), "fatal");
        expect(typeof decoded === "string").toBe(isUtf8);
        const pieces = given.map((byte) => hex(Uint8Array.of(byte)));
        expect(await ask("decode pieces", ...pieces)).toBe(new TextDecoder().decode(data));
      }),
      { numRuns: 200 },
    );
    expect(await ask("decode buffer", "c3a9")).toEqual(["é", "é"]);
    expect(await ask("decode", "efbbbf41")).toBe("A");
    expect(await ask("decode", "efbbbf41", "", "mark")).toBe("\ufeffA");
    expect(await ask("label", "UTF8 ")).toBe("utf-8");
  });

  test("URLs are taken apart, put together and searched", async () => {
    expect(await ask("url", "HTTP://ada:pw@Exämple.com:80/a/../b c?q=1&r=%F0#t")).toEqual([
      "http://ada:pw@xn--exmple-cua.com/b%20c?q=1&r=%F0#t",
      "http://xn--exmple-cua.com",
      "http:",
      "ada",
      "pw",
      "xn--exmple-cua.com",
      "xn--exmple-cua.com",
      "",
      "/b%20c",
      "?q=1&r=%F0",
      "#t",
      "q=1&r=%EF%BF%BD",
      "http://ada:pw@xn--exmple-cua.com/b%20c?q=1&r=%F0#t",
    ]);
    expect(await ask("url", "../x", "https://a.example/b/c/")).toContain("https://a.example/b/x");
    expect(await ask("url", "no")).toEqual({ thrown: "TypeError" });
    expect(await ask("url can", "http://a")).toEqual([true, false]);
    expect(await ask("url can", "//")).toEqual([false, true]);
    expect(await ask("url set", "http://a.example/?x=1", "search", "y=2&y=3")).toContain("y=2&y=3");
    expect(await ask("url set", "http://a.example/", "port", "8080")).toContain("a.example:8080");
    expect(await ask("url set", "http://a.example/", "href", "nothing")).toEqual({ thrown: "TypeError" });
    const set = await ask("url params", "http://a.example/p?x=1&y=2&x=3", "x", "é&");
    expect(set).toContain("http://a.example/p?x=%C3%A9%26&y=2&last=1");
    expect(set).toContain('{"url":"http://a.example/p?x=%C3%A9%26&y=2&last=1"}');
  });

  test("parameters are read and written as forms are", async () => {
    const odd = fc.stringMatching(/^[ab=&%+?1-3C9é;]{0,16}$/u);
    await fc.assert(
      fc.asyncProperty(odd, async (query) => {
        const params = new URLSearchParams(query);
        const before = [...params];
        params.delete("a", "1");
        params.append("é +", "~!'()");
        params.sort();
        expect(await ask("params", query)).toEqual([
          before,
          params.toString(),
          params.size,
          params.getAll("b"),
          params.has("b", "2"),
          [...params.keys()],
          ["1"],
          "p=q",
        ]);
      }),
      { numRuns: 100 },
    );
  });

  test("Headers have no case, an order, and each cookie by itself", async () => {
    expect(await ask("headers")).toEqual([
      [
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
        ["x-a", "1, 3"],
        ["x-b", "2"],
      ],
      "1, 3",
      false,
      ["a=1", "b=2"],
      ["set-cookie", "set-cookie", "x-a", "x-b"],
      ["1, 3", "2", "a=1", "b=2"],
      "TypeError",
      "TypeError",
    ]);
  });

  test("structuredClone copies what is there, circles included", async () => {
    expect(await ask("clone")).toEqual([true, true, true, "5", "0102", "/a/giu", "[1,[2]]", "DataCloneError"]);
  });

  test("an AbortSignal tells each listener once", async () => {
    expect(await ask("abort")).toEqual([["abort", "any", "twice"], true, "Error: why", "Error", true, "AbortError"]);
  });

  test("patterns match in linear time", async () => {
    expect(await ask("pattern", "(?<word>é+)(x)?", "aéé é", "[$<word>]", "i")).toEqual([
      true,
      { index: 1, groups: ["éé", "éé", null], named: { word: "éé" } },
      { index: 1, groups: ["éé", "éé", null], named: { word: "éé" } },
      "a[éé] é",
      "a[éé] [é]",
      "(?<word>é+)(x)?",
      "i",
    ]);
    expect(await ask("pattern", "^(?:a+)+$", `${"a".repeat(5000)}!`, "")).toContain(false);
    expect(await ask("pattern", "(?=a)", "a", "")).toEqual({ thrown: "Error" });
  });

  test.each(["gzip", "deflate", "deflate-raw", "br", "zstd"])(
    "bodies become %s, whole and in pieces",
    async (format) => {
      const right = [true, true, true, "Error", "Error"];
      expect(await ask("compress", format, "söme text of a body ")).toEqual(right);
      expect(await ask("compress", format, "söme text of a body ", "1")).toEqual(right);
      expect(await ask("compress", format, "text", "0")).toEqual({ thrown: "Error" });
    },
  );

  test("documents are checked against a schema", async () => {
    const schema = JSON.stringify({ type: "object", required: ["é"], properties: { é: { type: "integer" } } });
    expect(await ask("schema", schema, '{"é":1}', '{"é":"x"}', "{")).toMatchObject([
      [[], 0],
      [[{ path: "/é", message: "must be integer, is string" }], 1],
      [[{ path: "" }], 1],
    ]);
    expect(await ask("schema", '{"type":"text"}', "1")).toEqual({ thrown: "Error" });
  });

  test("a filter counts and keeps values, up to its limits", async () => {
    const counts = [1, 2, 2, 0].map(String).map((count) => ask("incr", "ada", count, "3600000", "3"));
    expect(await Promise.all(counts)).toMatchObject([
      { ok: true, value: 1, remaining: 2 },
      { ok: true, value: 3, remaining: 0 },
      { ok: false, value: 3, remaining: 0 },
      { ok: true, value: 3, remaining: 0 },
    ]);
    expect(await ask("incr", "ada", "5", "1000")).toMatchObject({ ok: true, value: 5, remaining: null });
    expect(await ask("incr", "ada", "-1", "1000")).toEqual({ thrown: "Error" });
    expect(await ask("incr", "ada", "1", "0")).toEqual({ thrown: "Error" });
    expect(await ask("incr", "", "1", "1000")).toEqual({ thrown: "Error" });
    expect(await ask("values", "key", "é")).toEqual(["number", null, true, "é", true, 4096, true, null, false]);
    expect(await ask("values", "k".repeat(1025), "v")).toEqual({ thrown: "Error" });
    expect(await ask("values", "key", "v".repeat(4097))).toEqual({ thrown: "Error" });
  });

  test("crypto makes ids, random numbers, digests and MACs", async () => {
    expect(await ask("uuid")).toEqual([true, true]);
    expect(await ask("random")).toEqual([8, true]);
    expect(await ask("digest", "SHA-256", "616263")).toBe(createHash("sha256").update("abc").digest("hex"));
    const mac = createHmac("sha256", "key").update("abc").digest("hex");
    expect(await ask("subtle hmac", hex(Buffer.from("key")), "616263")).toEqual([mac, true, false]);
  });

  test("crypto.subtle checks signatures under keys of every format", async () => {
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const ed = generateKeyPairSync("ed25519");
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const data = Buffer.from("abc");
    const { x = "", y = "" } = ec.publicKey.export({ format: "jwk" });
    const point = `04${Buffer.from(x, "base64url").toString("hex")}${Buffer.from(y, "base64url").toString("hex")}`;
    const spki = (pair: typeof ec): string => hex(pair.publicKey.export({ format: "der", type: "spki" }));
    const ecdsa = JSON.stringify({ name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" });
    const ecSignature = hex(sign("sha256", data, { key: ec.privateKey, dsaEncoding: "ieee-p1363" }));
    const edSignature = hex(sign(null, data, ed.privateKey));
    const edKey = Buffer.from(ed.publicKey.export({ format: "jwk" }).x ?? "", "base64url");
    const rs256 = JSON.stringify({ name: "RSASSA-PKCS1-v1_5", hash: { name: "SHA-256" } });
    const ps256 = JSON.stringify({ name: "RSA-PSS", hash: "SHA-256", saltLength: 32 });
    const rsSignature = hex(sign("sha256", data, rsa.privateKey));
    const psSignature = hex(sign("sha256", data, { key: rsa.privateKey, padding: 6, saltLength: 32 }));
    expect(await ask("subtle verify", "raw", point, ecdsa, ecSignature, "616263")).toBe(true);
    expect(await ask("subtle verify", "spki", spki(ec), ecdsa, ecSignature, "616263")).toBe(true);
    expect(await ask("subtle verify", "spki", spki(ec), ecdsa, ecSignature, "6162")).toBe(false);
    expect(await ask("subtle verify", "raw", hex(edKey), '{"name":"Ed25519"}', edSignature, "616263")).toBe(true);
    const jwk = JSON.stringify(rsa.publicKey.export({ format: "jwk" }));
    expect(await ask("subtle verify", "jwk", jwk, rs256, rsSignature, "616263")).toBe(true);
    expect(await ask("subtle verify", "jwk", jwk, ps256, psSignature, "616263")).toBe(true);
    expect(await ask("subtle verify", "jwk", jwk, ps256, rsSignature, "616263")).toBe(false);
  });
});
