import { createHash, createHmac } from "node:crypto";
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createHostFunctions } from "./host-functions.ts";
import { errorOf, valueOf } from "../../test/harness/host-answer.ts";

const functions = createHostFunctions({ shared: () => undefined });
const ALGORITHMS = ["sha-1", "sha-256", "sha-384", "sha-512", "md5"] as const;
const text = fc.string({ unit: "binary" });
const bytes = fc.uint8Array({ maxLength: 300 });

describe.each(ALGORITHMS)("%s", (algorithm) => {
  const name = algorithm.replace("-", "");

  test("hashes what Node hashes: bytes, then text", () => {
    fc.assert(
      fc.property(bytes, text, (payload, tail) => {
        const expected = createHash(name).update(payload).update(tail.toWellFormed()).digest();
        const answer = functions.bytes("hash", `${algorithm}\n${tail.toWellFormed()}`, payload);
        expect(Buffer.from(valueOf(answer))).toEqual(expected);
      }),
    );
  });

  test("makes the MAC that Node makes, for keys of every length", () => {
    fc.assert(
      fc.property(bytes, bytes, text, (key, data, tail) => {
        const expected = createHmac(name, key).update(data).update(tail.toWellFormed()).digest();
        const request = `${algorithm} ${key.length}\n${tail.toWellFormed()}`;
        const answer = functions.bytes("hmac", request, Buffer.concat([key, data]));
        expect(Buffer.from(valueOf(answer))).toEqual(expected);
      }),
    );
  });
});

function equal(request: string, payload: Uint8Array): string {
  return valueOf(functions.text("equal", request, payload));
}

test("two texts, or two runs of bytes, are equal where they are the same", () => {
  fc.assert(
    fc.property(fc.tuple(text, text), fc.tuple(bytes, bytes), ([a, b], [x, y]) => {
      expect(equal(`${a.length}\n${a}${b}`, new Uint8Array())).toBe(a === b ? "1" : "0");
      expect(equal(`${a.length}\n${a}${a}`, new Uint8Array())).toBe("1");
      expect(equal(`${x.length}`, Buffer.concat([x, y]))).toBe(Buffer.compare(x, y) === 0 ? "1" : "0");
      expect(equal(`${x.length}`, Buffer.concat([x, x]))).toBe("1");
    }),
  );
});

test("random bytes are as many as asked for, and others each time", () => {
  const [first, second] = [0, 1].map(() => valueOf(functions.bytes("random", "32", new Uint8Array())));
  expect(first).toHaveLength(32);
  expect(first).not.toEqual(second);
  expect(valueOf(functions.bytes("random", "0", new Uint8Array()))).toHaveLength(0);
});

describe("what is wrong is named", () => {
  const one = new Uint8Array(1);
  test.each([
    ["hash", "sha-3", one, 'hash: algorithm is "sha-3", must be sha-1, sha-256, sha-384, sha-512, md5'],
    ["hash", "sha-256", new Uint8Array(4 * 1024 * 1024 + 1), "hash: data is 4194305 bytes, limit is 4194304"],
    ["hmac", "sha-256", one, 'hmac: length of the key is "", there are 1 bytes'],
    ["hmac", "sha-256 2", one, 'hmac: length of the key is "2", there are 1 bytes'],
    ["random", "65537", one, 'random: "65537" random bytes, must be 0 to 65536'],
    ["random", "-1", one, 'random: "-1" random bytes, must be 0 to 65536'],
    ["toString", "", one, 'host function "toString" is not known'],
  ])("%s %s", (name, request, payload, message) => {
    expect(errorOf(functions.bytes(name, request, payload))).toBe(message);
  });

  test("a length that is more than there is", () => {
    expect(errorOf(functions.text("equal", "2", one))).toBe('equal: length is "2", there are 1 units');
  });
});

test("a longer hash costs more fuel", () => {
  const short = functions.bytes("hash", "sha-256", new Uint8Array(100)).fuel;
  const long = functions.bytes("hash", "sha-256", new Uint8Array(1_000_000)).fuel;
  expect(short).toBeGreaterThan(0);
  expect(long).toBeGreaterThan(100 * short);
});
