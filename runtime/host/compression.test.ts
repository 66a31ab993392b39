import { describe, expect, test } from "bun:test";
import {
  brotliCompressSync,
  brotliDecompressSync,
  deflateRawSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateRawSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import fc from "fast-check";
import { errorOf, valueOf } from "../../test/harness/host-answer.ts";
import { createHostFunctions } from "./host-functions.ts";

const NOTHING = new Uint8Array();
const PLAIN = {
  gzip: [gzipSync, gunzipSync],
  deflate: [deflateSync, inflateSync],
  "deflate-raw": [deflateRawSync, inflateRawSync],
  br: [brotliCompressSync, brotliDecompressSync],
  zstd: [zstdCompressSync, zstdDecompressSync],
} as const;
const CASES = Object.entries(PLAIN).map(([format, [pack, unpack]]) => [format, pack, unpack] as const);
const body = fc.oneof(
  fc.uint8Array({ maxLength: 2000 }),
  fc.nat({ max: 300_000 }).map((length) => new Uint8Array(length).fill(7)),
);

describe.each(CASES)("%s", (format, pack, unpack) => {
  const functions = createHostFunctions({ shared: () => undefined });

  test("whole bodies are what node:zlib makes and takes", () => {
    fc.assert(
      fc.property(body, (bytes) => {
        const packed = valueOf(functions.bytes("compress", format, bytes));
        expect(new Uint8Array(unpack(packed))).toEqual(bytes);
        expect(valueOf(functions.bytes("decompress", `${format} 300000`, new Uint8Array(pack(bytes))))).toEqual(bytes);
      }),
      { numRuns: 50 },
    );
  });

  test("pieces of any size give the same bytes, both ways", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(body, fc.constantFrom("none", "sync")), { maxLength: 6 }), (pieces) => {
        const packer = valueOf(functions.text("compress-open", format, NOTHING));
        const unpacker = valueOf(functions.text("decompress-open", `${format} 4000000`, NOTHING));
        const packed: Uint8Array[] = [];
        for (const [bytes, flush] of pieces)
          packed.push(valueOf(functions.bytes("stream-write", `${packer} ${flush}`, bytes)));
        packed.push(valueOf(functions.bytes("stream-write", `${packer} end`, NOTHING)));
        const whole = Buffer.concat(pieces.map(([bytes]) => bytes));
        expect(unpack(Buffer.concat(packed))).toEqual(whole);
        const unpacked = packed.map((bytes) => valueOf(functions.bytes("stream-write", `${unpacker} none`, bytes)));
        unpacked.push(valueOf(functions.bytes("stream-write", `${unpacker} end`, NOTHING)));
        expect(Buffer.concat(unpacked)).toEqual(whole);
      }),
      { numRuns: 30 },
    );
  });

  test("what was flushed can be read before the end", () => {
    const packer = valueOf(functions.text("compress-open", `${format} 1`, NOTHING));
    const unpacker = valueOf(functions.text("decompress-open", `${format} 1000`, NOTHING));
    const packed = valueOf(functions.bytes("stream-write", `${packer} sync`, Buffer.from("event")));
    expect(Buffer.from(valueOf(functions.bytes("stream-write", `${unpacker} none`, packed))).toString()).toBe("event");
    functions.text("stream-close", packer, NOTHING);
    functions.text("stream-close", unpacker, NOTHING);
  });

  test("a bomb is an error, and costs what it took", () => {
    const bomb = new Uint8Array(pack(new Uint8Array(50_000_000)));
    expect(bomb.length).toBeLessThan(200_000);
    const refused = functions.bytes("decompress", `${format} 1000000`, bomb);
    expect(errorOf(refused)).toBe("decompress: output is more than 1000000 bytes");
    const unpacker = valueOf(functions.text("decompress-open", `${format} 1000000`, NOTHING));
    expect(errorOf(functions.bytes("stream-write", `${unpacker} none`, bomb))).toBe(
      "stream-write: output is more than 1000000 bytes",
    );
    expect(errorOf(functions.bytes("stream-write", `${unpacker} none`, bomb))).toContain("is not open");
  });

  test("bytes that are not of the format, or not all of them, are an error", () => {
    const packed = new Uint8Array(pack(Buffer.from("some text of a body, some text of a body")));
    expect(
      errorOf(functions.bytes("decompress", `${format} 1000`, Buffer.from("\u00ff\u00ff not compressed at all"))),
    ).toStartWith("decompress: ");
    expect(errorOf(functions.bytes("decompress", `${format} 1000`, packed.subarray(0, -2)))).toStartWith(
      "decompress: ",
    );
    const unpacker = valueOf(functions.text("decompress-open", `${format} 1000`, NOTHING));
    functions.bytes("stream-write", `${unpacker} none`, packed.subarray(0, -2));
    expect(errorOf(functions.bytes("stream-write", `${unpacker} end`, NOTHING))).toStartWith("stream-write: ");
  });
});

test("streams that together hold too much close the one that was not used longest", () => {
  const functions = createHostFunctions({ shared: () => undefined, streamsMaxBytes: 1024 * 1024 });
  const open = (): string => valueOf(functions.text("compress-open", "gzip", NOTHING));
  const write = (number: string) => functions.bytes("stream-write", `${number} none`, NOTHING);
  const [first, second, third] = [open(), open(), open()];
  write(first);
  const fourth = open();
  expect(errorOf(write(second))).toBe(`stream-write: stream "${second}" is not open, or was closed for others`);
  for (const number of [first, third, fourth]) expect(valueOf(write(number))).toBeInstanceOf(Uint8Array);
  functions.stop();
  expect(errorOf(write(first))).toContain("is not open");
});

describe("what is wrong is named", () => {
  const functions = createHostFunctions({ shared: () => undefined });
  test.each([
    ["compress", "lz4", 'compress: format is "lz4", must be gzip, deflate, deflate-raw, br, zstd'],
    ["compress", "br 11", 'compress: level is "11", must be 1 to 6'],
    ["decompress", "gzip", 'decompress: output is "" bytes, must be 0 to 4194304'],
    ["decompress", "gzip 5000000", 'decompress: output is "5000000" bytes, must be 0 to 4194304'],
    ["stream-write", "9 none", 'stream-write: stream "9" is not open, or was closed for others'],
  ])("%s %s", (name, request, message) => {
    expect(errorOf(functions.bytes(name, request, NOTHING))).toBe(message);
  });

  test("a body that is too large", () => {
    expect(errorOf(functions.bytes("compress", "gzip", new Uint8Array(1_048_577)))).toContain("limit is 1048576");
  });
});

test("what comes to nothing ends soon, however much of it there is", () => {
  const functions = createHostFunctions({ shared: () => undefined });
  // Empty blocks, stored (RFC 1951 §3.2.4).
  const block = [0, 0, 0, 255, 255];
  const blocks = Uint8Array.from({ length: 8_000_000 }, (_, at) => block[at % block.length] ?? 0);
  const startedMs = performance.now();
  const answer = functions.bytes("decompress", "deflate-raw 1000", blocks);
  expect(errorOf(answer)).toContain("bytes come to nothing");
  expect(answer.fuel).toBeGreaterThan(2_000_000);
  expect(performance.now() - startedMs).toBeLessThan(500);
  const whole = Buffer.concat([blocks.subarray(0, 100_000), deflateRawSync("whole")]);
  expect(Buffer.from(valueOf(functions.bytes("decompress", "deflate-raw 1000", whole))).toString()).toBe("whole");
});
