// Replies arrive as they were sent, in fewer bytes, by whoever can read them.
import { describe, expect, test } from "bun:test";
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync, zstdDecompressSync } from "node:zlib";
import { describeLibraryFilter, type Sending } from "../../test/contract/library.ts";
import { pickCoding } from "./codings.ts";
import filter from "./filter.ts";

const TEXT = "All work and no play makes Jack a dull boy. ".repeat(200);
const LONG = Array.from({ length: 20_000 }, (_, line) => `line ${line} of many ${line * 7919}\n`).join("");
const UNDO = { gzip: gunzipSync, br: brotliDecompressSync, zstd: zstdDecompressSync } as const;

function reply(body: string, headers: Record<string, string> = {}, acceptEncoding = "gzip"): Sending {
  return {
    headers: { "accept-encoding": acceptEncoding },
    upstream: {
      headers: { "content-type": "text/html; charset=utf-8", "content-length": String(body.length), ...headers },
      body,
    },
  };
}

describeLibraryFilter(import.meta.dir, filter, (start) => {
  test.each(["gzip", "br", "zstd"] as const)(
    "in %s, a reply comes out as it went in, short, long, and in pieces",
    async (coding) => {
      const compress = await start();
      for (const body of [TEXT, LONG]) {
        const told = await compress.send(reply(body, {}, coding));
        expect(told.headers["content-encoding"]).toBe(coding);
        expect(UNDO[coding](told.bytes).toString()).toBe(body);
        expect(told.bytes.length).toBeLessThan(body.length / 2);
        const headers = { "content-type": "text/plain" };
        const pieces = [body.slice(0, 10), body.slice(10, 5000), body.slice(5000)];
        const untold = await compress.send({
          headers: { "accept-encoding": coding },
          upstream: { headers, body: pieces },
        });
        expect(untold.headers["content-encoding"]).toBe(coding);
        expect(UNDO[coding](untold.bytes).toString()).toBe(body);
      }
    },
  );

  test("what is said of a body's bytes is no longer said", async () => {
    const compress = await start();
    const { headers } = await compress.send(
      reply(TEXT, { etag: '"v1"', "accept-ranges": "bytes", "content-md5": "x", vary: "Origin" }),
    );
    expect(headers).toMatchObject({ etag: 'W/"v1"', vary: "Origin, Accept-Encoding" });
    expect([headers["accept-ranges"], headers["content-md5"], headers["content-length"]]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    const weak = await compress.send(reply(TEXT, { etag: 'W/"v1"', vary: "accept-encoding" }));
    expect(weak.headers).toMatchObject({ etag: 'W/"v1"', vary: "accept-encoding" });
  });

  test.each<[string, Sending, boolean]>([
    ["a client that accepts none", reply(TEXT, {}, "identity"), true],
    ["a coding that is there", reply(TEXT, { "content-encoding": "br" }), true],
    ["a short reply", reply("short"), true],
    ["no-transform", reply(TEXT, { "cache-control": "public, no-transform" }), true],
    ["a range", { ...reply(TEXT), upstream: { ...reply(TEXT).upstream, status: 206 } }, true],
    ["a head alone", { ...reply(TEXT), method: "HEAD" }, true],
    ["another type", reply(TEXT, { "content-type": "image/png" }), false],
    ["no type", reply(TEXT, { "content-type": "" }), false],
  ])("with %s, it goes as it is", async (_, sending, varies) => {
    const compress = await start();
    const { headers, body } = await compress.send(sending);
    expect(body).toBe(String(sending.upstream?.body));
    expect(headers["content-encoding"]).toBe(sending.upstream?.headers?.["content-encoding"]);
    expect(headers["vary"]).toBe(varies ? "Accept-Encoding" : undefined);
  });

  test("types, lengths, codings and levels are the configuration's", async () => {
    const compress = await start({
      config: {
        contentTypes: ["Image/*"],
        minBytes: 5,
        codings: ["gzip"],
        levels: { gzip: 1 },
        removesAcceptEncoding: true,
      },
    });
    const sent = await compress.send(reply("short, but long enough", { "content-type": "image/bmp" }, "br, gzip"));
    expect(sent.headers["content-encoding"]).toBe("gzip");
    expect(gunzipSync(sent.bytes).toString()).toBe("short, but long enough");
    expect(sent.forwarded?.headers).toEqual({});
    expect((await compress.send(reply(TEXT))).headers["content-encoding"]).toBeUndefined();
  });

  test("requests are decompressed where that is wanted, and a bomb does not go off", async () => {
    const inflate = await start({ config: { decompressRequests: { maxBytes: 10_000 } } });
    const send = (body: Uint8Array, coding: string) =>
      inflate.send({
        method: "POST",
        headers: { "content-encoding": coding },
        body: [body.subarray(0, 7), body.subarray(7)],
      });
    for (const [coding, body] of [
      ["gzip", gzipSync(TEXT)],
      ["BR", brotliCompressSync(TEXT)],
    ] as const)
      expect((await send(body, coding)).forwarded).toEqual({ headers: {}, body: TEXT });
    expect((await send(gzipSync("0".repeat(100_000)), "gzip")).status).toBe(413);
    const broken = await send(Buffer.from("this is no gzip"), "gzip");
    expect(broken).toMatchObject({ status: 503, forwarded: undefined });
    const twice = await send(gzipSync(TEXT), "gzip, gzip");
    expect(twice.forwarded?.headers).toEqual({ "content-encoding": "gzip, gzip" });
    const asItIs = await start();
    const sent = await asItIs.send({ method: "POST", headers: { "content-encoding": "gzip" }, body: gzipSync(TEXT) });
    expect(sent.forwarded?.headers).toEqual({ "content-encoding": "gzip" });
  });

  test.each([
    [{ codings: ["deflate"] }, "codings[0]"],
    [{ levels: { br: 11 } }, "levels.br"],
    [{ contentTypes: ["text"] }, "is not a media type"],
  ])("%j is a problem", async (config, message) => {
    expect(await start({ config }).catch(String)).toContain(message);
  });
});

describe("what a client accepts", () => {
  test.each([
    [null, undefined],
    ["", undefined],
    ["gzip", "gzip"],
    ["GZIP;Q=1.0", "gzip"],
    ["x-gzip", "gzip"],
    ["gzip, br, zstd", "zstd"],
    ["gzip;q=1.0, br;q=0.9, zstd;q=0.8", "gzip"],
    ["*", "zstd"],
    ["*;q=0.5, zstd;q=0, br;q=0.1", "gzip"],
    ["gzip;q=0", undefined],
    ["gzip;q=0.000, *;q=0", undefined],
    ["gzip;q=2, br;q=x", undefined],
    ["identity, deflate", undefined],
  ])("%p gets %p", (field, coding) => {
    expect<string | undefined>(pickCoding(field, ["zstd", "br", "gzip"])).toBe(coding);
  });
});
