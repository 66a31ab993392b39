import { describe, expect, test } from "bun:test";
import { HpackPeer, type Representation } from "../../test/harness/hpack-peer.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { isNeverIndexed, loadBlock, type FieldBlock } from "./hpack-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";

const LIMITS = { headMaxBytes: 16_384, headersMax: 100 };
const OUT = Buffer.alloc(16 * 1024);

/** A reply's head as a peer sent it, these fields in this way. */
function replyOf(
  peer: HpackPeer,
  decoder: HpackDecoder,
  fields: readonly (readonly [string, string])[],
  as: Representation,
) {
  const bytes = peer.encode([
    { name: ":status", value: "200", as: "index", isHuffman: false },
    ...fields.map(([name, value]) => ({ name, value, as, isHuffman: true })),
  ]);
  return mapOf(decoder.decode(bytes, 0, bytes.length, "reply"));
}

function mapOf(block: FieldBlock | undefined): HeaderMap {
  if (block === undefined) throw new Error("the block was refused");
  const headers = new HeaderMap();
  loadBlock(block, headers);
  return headers;
}

describe("an entry of one client's table", () => {
  test("is never taken for that of another, whose table has it in the same place", () => {
    const encoder = new HpackEncoder();
    const upstream = new HpackDecoder(LIMITS);
    for (let client = 0; client < 300; client++) {
      // Others that are idle, of different numbers: whatever a table's place in memory comes from, some share it.
      expect(Array.from({ length: client }, () => new HpackDecoder(LIMITS)).length).toBe(client);
      const peer = new HpackPeer();
      const decoder = new HpackDecoder(LIMITS);
      for (let turn = 0; turn < 4; turn++) {
        const headers = replyOf(peer, decoder, [["x-user", `user-${client}`]], "index");
        const end = encoder.encodeReply(OUT, 0, 200, headers);
        expect([...mapOf(upstream.decode(OUT, 0, end, "reply"))]).toEqual([["x-user", `user-${client}`]]);
        if (turn > 1) expect(end).toBe(2);
      }
    }
  });

  test("is sent anew once it was pushed out here", () => {
    const encoder = new HpackEncoder();
    const upstream = new HpackDecoder({ ...LIMITS, headersMax: 200 });
    const peer = new HpackPeer();
    const decoder = new HpackDecoder(LIMITS);
    const lengths: number[] = [];
    for (let turn = 0; turn < 6; turn++) {
      const end = encoder.encodeReply(OUT, 0, 200, replyOf(peer, decoder, [["x-user", "ada"]], "index"));
      lengths.push(end);
      expect([...mapOf(upstream.decode(OUT, 0, end, "reply"))]).toEqual([["x-user", "ada"]]);
      if (turn !== 3) continue;
      const others = HeaderMap.from(Array.from({ length: 120 }, (_, at) => [`x-${at}`, "0"] as const));
      for (let again = 0; again < 2; again++) {
        const until = encoder.encodeReply(OUT, 0, 200, others);
        expect(mapOf(upstream.decode(OUT, 0, until, "reply")).count).toBe(120);
      }
    }
    expect(lengths.slice(0, 5).map((length) => length === 2)).toEqual([false, false, true, true, false]);
  });
});

describe("what is sent without an index", () => {
  test.each(["date", "content-length", "x-request-id", "traceparent", "set-cookie", "etag"])(
    "%s, which belongs to one message, however often it comes",
    (name) => {
      const encoder = new HpackEncoder();
      const lengths = [1, 2, 3, 4].map(() => encoder.encodeReply(OUT, 0, 200, HeaderMap.from([[name, "17"]])));
      expect(new Set(lengths).size).toBe(1);
      const upstream = new HpackDecoder(LIMITS);
      const end = encoder.encodeReply(OUT, 0, 200, HeaderMap.from([[name, "17"]]));
      const block = upstream.decode(OUT, 0, end, "reply");
      expect(block !== undefined && isNeverIndexed(block, 0)).toBe(false);
      expect([...mapOf(block)]).toEqual([[name, "17"]]);
    },
  );

  test.each([
    ["authorization", "Bearer 0123456789abcdef0123456789abcdef"],
    ["Proxy-Authorization", "Basic YTpi"],
    ["cookie", "a=1"],
  ])("%s, which is a secret on every hop", (name, value) => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(LIMITS);
    for (let turn = 0; turn < 3; turn++) {
      const end = encoder.encodeReply(OUT, 0, 200, HeaderMap.from([[name, value]]));
      const block = decoder.decode(OUT, 0, end, "reply");
      expect(block !== undefined && isNeverIndexed(block, 0)).toBe(true);
      expect([...mapOf(block)]).toEqual([[name.toLowerCase(), value]]);
    }
  });

  test("what a peer sent as never indexed, where others repeat and are", () => {
    const encoder = new HpackEncoder();
    const [peer, decoder] = [new HpackPeer(), new HpackDecoder(LIMITS)];
    const never = [1, 2, 3].map(() =>
      encoder.encodeReply(OUT, 0, 200, replyOf(peer, decoder, [["x-a", "1234"]], "never")),
    );
    expect(new Set(never).size).toBe(1);
    const often = [1, 2, 3].map(() =>
      encoder.encodeReply(OUT, 0, 200, replyOf(peer, decoder, [["x-a", "1234"]], "plain")),
    );
    expect(often[2]).toBe(2);
  });
});

test("fields of one hop are left out, whoever set them", () => {
  const encoder = new HpackEncoder();
  const fields = ["Connection", "keep-alive", "Transfer-Encoding", "upgrade", "http2-settings", "TE", "Host", "x-a"];
  const end = encoder.encodeReply(OUT, 0, 200, HeaderMap.from(fields.map((name) => [name, "1"] as const)));
  expect([...mapOf(new HpackDecoder(LIMITS).decode(OUT, 0, end, "reply"))]).toEqual([["x-a", "1"]]);
});
