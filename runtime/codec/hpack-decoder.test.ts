import { describe, expect, test } from "bun:test";
import { HeaderMap } from "../exchange/headers.ts";
import { loadBlock, type BlockKind, type FieldBlock } from "./hpack-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";

const LIMITS = { headMaxBytes: 16_384, headersMax: 100 };

/** A literal, not indexed unless `first` says so, in hexadecimal. */
function literal(name: string, value: string, first = 0): string {
  return Buffer.from([first]).toString("hex") + plainString(name) + plainString(value);
}

function plainString(text: string): string {
  return Buffer.from([text.length, ...Buffer.from(text, "latin1")]).toString("hex");
}

function decode(hex: string, kind: BlockKind = "request", decoder = new HpackDecoder(LIMITS)): FieldBlock | undefined {
  // Not at the beginning of its memory, as in a frame.
  const bytes = Buffer.from(`ffff${hex}ff`, "hex");
  return decoder.decode(bytes, 2, bytes.length - 1, kind);
}

function fieldsOf(block: FieldBlock | undefined): [string, string][] {
  if (block === undefined) throw new Error("the block was refused");
  const headers = new HeaderMap();
  loadBlock(block, headers);
  return [...headers];
}

/** GET https a.b / */
const GET = `828784${literal(":authority", "a.b")}`;

describe("the examples of RFC 7541", () => {
  test.each([
    [
      "C.3",
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ],
    [
      "C.4",
      "828684418cf1e3c2e5f23a6ba0ab90f4ff",
      "828684be5886a8eb10649cbf",
      "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ],
  ])("%s: requests", (_, first, second, third) => {
    const decoder = new HpackDecoder(LIMITS);
    const one = decode(first, "request", decoder);
    expect([one?.method, one?.scheme, one?.path, one?.authority]).toEqual(["GET", "http", "/", "www.example.com"]);
    expect(fieldsOf(one)).toEqual([["Host", "www.example.com"]]);
    expect(fieldsOf(decode(second, "request", decoder))).toEqual([
      ["Host", "www.example.com"],
      ["cache-control", "no-cache"],
    ]);
    const three = decode(third, "request", decoder);
    expect([three?.scheme, three?.path]).toEqual(["https", "/index.html"]);
    expect(fieldsOf(three)).toEqual([
      ["Host", "www.example.com"],
      ["custom-key", "custom-value"],
    ]);
  });

  test.each([
    [
      "C.5",
      "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
      "4803333037c1c0bf",
      "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
    ],
    [
      "C.6",
      "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
      "4883640effc1c0bf",
      "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ],
  ])("%s: replies, with a table of 256 bytes", (_, first, second, third) => {
    const decoder = new HpackDecoder(LIMITS);
    decoder.setTableMax(256);
    const one = decode(`3fe101${first}`, "reply", decoder);
    expect(one?.status).toBe(302);
    const fields = [
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
      ["location", "https://www.example.com"],
    ] as [string, string][];
    expect(fieldsOf(one)).toEqual(fields);
    const two = decode(second, "reply", decoder);
    expect(two?.status).toBe(307);
    expect(fieldsOf(two)).toEqual(fields);
    const three = decode(third, "reply", decoder);
    expect(three?.status).toBe(200);
    expect(fieldsOf(three)).toEqual([
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
      ["location", "https://www.example.com"],
      ["content-encoding", "gzip"],
      ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
    ]);
  });
});

describe("a connection error", () => {
  test.each([
    ["index 0", "80"],
    ["an index beyond the table", "be"],
    ["a name's index beyond the table", "7e0161"],
    ["an integer that is cut", "ff"],
    ["an integer that does not end", "ffffffffffffff00"],
    ["a string that is cut", "000561"],
    ["a string's length that is missing", "0001"],
    ["a Huffman string with EOS", "00016184ffffffff"],
    ["a Huffman string with eight bits of padding", "000161821fff"],
    ["a Huffman string with zeros as padding", "0001618118"],
    ["a table size update after a field", "823f00"],
    ["a table size update beyond SETTINGS", "3fe21f"],
  ])("%s", (_, hex) => {
    const decoder = new HpackDecoder(LIMITS);
    expect(decode(hex, "request", decoder)).toBeUndefined();
    expect(decoder.problem).not.toBe("");
  });

  test("a size update that is missing after SETTINGS made the table smaller", () => {
    const decoder = new HpackDecoder(LIMITS);
    decoder.setTableMax(100);
    expect(decode(GET, "request", decoder)).toBeUndefined();
    const obeyed = new HpackDecoder(LIMITS);
    obeyed.setTableMax(100);
    expect(decode(`3f45${GET}`, "request", obeyed)?.malformed).toBe("");
  });
});
