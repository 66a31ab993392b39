// Which messages are malformed (RFC 9113 §8), each by name, and what blocks that expand cost.
import { describe, expect, test } from "bun:test";
import { HpackPeer, type PeerField, type Representation } from "../../test/harness/hpack-peer.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { isNeverIndexed, loadBlock, type BlockKind, type FieldBlock } from "./hpack-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";

const LIMITS = { headMaxBytes: 16_384, headersMax: 100 };
type Pair = readonly [string, string];

const METHOD: Pair = [":method", "GET"];
const SCHEME: Pair = [":scheme", "https"];
const AUTHORITY: Pair = [":authority", "a.example"];
const PATH: Pair = [":path", "/"];
const GET: readonly Pair[] = [METHOD, SCHEME, AUTHORITY, PATH];

function plain([name, value]: Pair): PeerField {
  return { name, value, as: "plain", isHuffman: false };
}

/** The block of these fields; Huffman-coded too, which takes other ways, and told to be the same. */
function decode(fields: readonly Pair[], kind: BlockKind = "request"): FieldBlock {
  const decoder = new HpackDecoder(LIMITS);
  const seen = [false, true].map((isHuffman) => {
    const bytes = new HpackPeer().encode(fields.map((field) => ({ ...plain(field), isHuffman })));
    const block = decoder.decode(bytes, 0, bytes.length, kind);
    if (block === undefined) throw new Error(decoder.problem);
    return block;
  });
  const [one, other] = seen;
  if (one === undefined || other === undefined) throw new Error("there are two");
  expect(other.malformed).toBe(one.malformed);
  expect(fieldsOf(other)).toEqual(fieldsOf(one));
  return one;
}

function fieldsOf(block: FieldBlock): Pair[] {
  const headers = new HeaderMap();
  loadBlock(block, headers);
  return [...headers];
}

describe("a request is malformed", () => {
  test.each<[string, readonly Pair[], string]>([
    ["an upper-case letter in a name", [...GET, ["X-a", "1"]], "name"],
    ["an empty name", [...GET, ["", "1"]], "name"],
    ["a space in a name", [...GET, ["x a", "1"]], "name"],
    ["a colon in a name", [...GET, ["x:a", "1"]], "name"],
    ["a line end in a name", [...GET, ["x\r\ny", "1"]], "name"],
    ["a name beyond ASCII", [...GET, ["xé", "1"]], "name"],
    ["NUL in a value", [...GET, ["x-a", "a\0b"]], "value"],
    ["CR in a value", [...GET, ["x-a", "a\rb"]], "value"],
    ["LF in a value", [...GET, ["x-a", "a\nb"]], "value"],
    ["DEL in a value", [...GET, ["x-a", "a\x7Fb"]], "value"],
    ["a space before a value", [...GET, ["x-a", " a"]], "value"],
    ["a space after a value", [...GET, ["x-a", "a "]], "value"],
    ["a tab before a value", [...GET, ["x-a", "\ta"]], "value"],
    ["a tab after a value", [...GET, ["x-a", "a\t"]], "value"],
    ["connection", [...GET, ["connection", "close"]], "one connection"],
    ["keep-alive", [...GET, ["keep-alive", "timeout=5"]], "one connection"],
    ["proxy-connection", [...GET, ["proxy-connection", "close"]], "one connection"],
    ["transfer-encoding", [...GET, ["transfer-encoding", "chunked"]], "one connection"],
    ["upgrade", [...GET, ["upgrade", "h2c"]], "one connection"],
    ["te that is not trailers", [...GET, ["te", "trailers, gzip"]], "te is not trailers"],
    ["a pseudo-header field after a field", [METHOD, SCHEME, AUTHORITY, ["x-a", "1"], PATH], "after a field"],
    ["a pseudo-header field that nobody knows", [...GET, [":user", "a"]], "may not have"],
    [":status", [...GET, [":status", "200"]], "may not have"],
    [":method twice", [...GET, METHOD], "twice"],
    [":scheme twice", [...GET, SCHEME], "twice"],
    [":authority twice", [...GET, AUTHORITY], "twice"],
    [":path twice", [...GET, PATH], "twice"],
    ["no :method", [SCHEME, AUTHORITY, PATH], ":method is missing"],
    ["no :scheme", [METHOD, AUTHORITY, PATH], ":scheme is missing"],
    ["another :scheme", [METHOD, [":scheme", "ftp"], AUTHORITY, PATH], ":scheme is missing or not"],
    ["no :path", [METHOD, SCHEME, AUTHORITY], ":path is missing"],
    ["neither :authority nor Host", [METHOD, SCHEME, PATH], ":authority and Host are missing"],
    ["no field at all", [], ":method is missing"],
    ["an empty :path", [METHOD, SCHEME, AUTHORITY, [":path", ""]], ":path is missing"],
    [":path without a slash", [METHOD, SCHEME, AUTHORITY, [":path", "a"]], "not a path"],
    [":path in absolute form", [METHOD, SCHEME, AUTHORITY, [":path", "https://b.example/"]], "not a path"],
    [":path of a star without OPTIONS", [METHOD, SCHEME, AUTHORITY, [":path", "*"]], "not a path"],
    [":path with a fragment", [METHOD, SCHEME, AUTHORITY, [":path", "/a#b"]], "not a path"],
    [":path with a request line", [METHOD, SCHEME, AUTHORITY, [":path", "/ HTTP/1.1"]], "not a path"],
    [":path with a line end", [METHOD, SCHEME, AUTHORITY, [":path", "/ HTTP/1.1\r\nx: y"]], "control"],
    [":path beyond ASCII", [METHOD, SCHEME, AUTHORITY, [":path", "/é"]], "not a path"],
    ["an empty :method", [[":method", ""], SCHEME, AUTHORITY, PATH], "token"],
    [":method with a space", [[":method", "GET /admin"], SCHEME, AUTHORITY, PATH], "token"],
    [":method with a line end", [[":method", "GET\r\nx"], SCHEME, AUTHORITY, PATH], "control"],
    ["an empty :authority", [METHOD, SCHEME, [":authority", ""], PATH], ":authority and Host are missing"],
    [":authority with a space", [METHOD, SCHEME, [":authority", "a b"], PATH], "host and a port"],
    [":authority with a path", [METHOD, SCHEME, [":authority", "a/b"], PATH], "host and a port"],
    [":authority with a user", [METHOD, SCHEME, [":authority", "u@a"], PATH], "host and a port"],
    [":authority with a line end", [METHOD, SCHEME, [":authority", "a\r\nx: y"], PATH], "control"],
    [":authority of 1001 bytes", [METHOD, SCHEME, [":authority", "a".repeat(1001)], PATH], "host and a port"],
    ["Host that is not :authority", [...GET, ["host", "b.example"]], "Host is not :authority"],
    ["two Host fields", [METHOD, SCHEME, PATH, ["host", "a"], ["host", "a"]], "two Host"],
    ["Host with a line end", [METHOD, SCHEME, PATH, ["host", "a\r\nx: y"]], "control"],
    ["CONNECT with :path", [[":method", "CONNECT"], [":authority", "a:1"], PATH], "CONNECT came with"],
    ["CONNECT with :scheme", [[":method", "CONNECT"], [":authority", "a:1"], SCHEME], "CONNECT came with"],
    ["CONNECT without a port", [[":method", "CONNECT"], AUTHORITY], "no port"],
    ["CONNECT without :authority", [[":method", "CONNECT"]], ":authority and Host are missing"],
    [":protocol without CONNECT", [...GET, [":protocol", "websocket"]], "without CONNECT"],
    [
      ":protocol that is no token",
      [[":method", "CONNECT"], SCHEME, AUTHORITY, PATH, [":protocol", "web socket"]],
      ":protocol",
    ],
    [
      "extended CONNECT without :path",
      [[":method", "CONNECT"], SCHEME, AUTHORITY, [":protocol", "websocket"]],
      ":path",
    ],
    ["extended CONNECT without :scheme", [[":method", "CONNECT"], AUTHORITY, PATH, [":protocol", "a"]], ":scheme"],
    ["content-length that is empty", [...GET, ["content-length", ""]], "not a number"],
    ["content-length with a sign", [...GET, ["content-length", "+1"]], "not a number"],
    ["content-length with a letter", [...GET, ["content-length", "1a"]], "not a number"],
    ["content-length as a list", [...GET, ["content-length", "1, 1"]], "not a number"],
    ["content-length of 16 digits", [...GET, ["content-length", "1000000000000000"]], "not a number"],
    ["content-length twice", [...GET, ["content-length", "1"], ["content-length", "1"]], "two content-length"],
  ])("%s", (_, fields, problem) => {
    const block = decode(fields);
    expect(block.malformed).toContain(problem);
    expect([block.isTooLarge, block.count]).toEqual([false, 0]);
  });
});

describe("a request is well-formed", () => {
  test.each<[string, readonly Pair[], readonly Pair[]]>([
    [
      "Host in place of :authority, where it stands",
      [METHOD, SCHEME, PATH, ["x-a", "1"], ["host", "a"]],
      [
        ["x-a", "1"],
        ["host", "a"],
      ],
    ],
    ["Host beside :authority, in another case", [...GET, ["host", "A.example"]], [["Host", "a.example"]]],
    [
      "CONNECT to a port",
      [
        [":method", "CONNECT"],
        [":authority", "a:1"],
      ],
      [["Host", "a:1"]],
    ],
    ["OPTIONS of a star", [[":method", "OPTIONS"], SCHEME, AUTHORITY, [":path", "*"]], [["Host", "a.example"]]],
    [
      "tabs and bytes beyond ASCII inside a value",
      [...GET, ["x-a", "a\té{}"]],
      [
        ["Host", "a.example"],
        ["x-a", "a\té{}"],
      ],
    ],
    [
      "an empty value",
      [...GET, ["x-a", ""]],
      [
        ["Host", "a.example"],
        ["x-a", ""],
      ],
    ],
  ])("%s", (_, fields, wanted) => {
    const block = decode(fields);
    expect(block.malformed).toBe("");
    expect(fieldsOf(block)).toEqual([...wanted]);
  });

  test("extended CONNECT, its :authority after a name that is no index", () => {
    const block = decode([[":method", "CONNECT"], [":protocol", "websocket"], SCHEME, PATH, AUTHORITY, ["x-a", "1"]]);
    expect([block.malformed, block.protocol, block.authority]).toEqual(["", "websocket", "a.example"]);
    expect(fieldsOf(block)).toEqual([
      ["Host", "a.example"],
      ["x-a", "1"],
    ]);
  });

  test("te: trailers, which only HTTP/2 passes on, and expectations, which nobody does", () => {
    const block = decode([...GET, ["te", "trailers"], ["expect", "100-continue"], ["x-a", "1"]]);
    expect([block.malformed, block.teField, block.expectsContinue]).toEqual(["", 1, true]);
    expect(fieldsOf(block)).toEqual([
      ["Host", "a.example"],
      ["x-a", "1"],
    ]);
    expect(decode([...GET, ["expect", "a-miracle"]]).expectsUnknown).toBe(true);
  });

  test("several cookies, which become one in the place of the first", () => {
    const peer = new HpackPeer();
    const never = { name: "cookie", value: "b=2", as: "never", isHuffman: true } as const;
    const crumbs = [
      plain(["cookie", "a=1"]),
      plain(["x-a", "1"]),
      never,
      plain(["cookie", "c=3"]),
      plain(["x-b", "2"]),
    ];
    const bytes = peer.encode([...GET.map(plain), ...crumbs]);
    const block = new HpackDecoder(LIMITS).decode(bytes, 0, bytes.length, "request");
    if (block === undefined) throw new Error("refused");
    expect(fieldsOf(block)).toEqual([
      ["Host", "a.example"],
      ["cookie", "a=1; b=2; c=3"],
      ["x-a", "1"],
      ["x-b", "2"],
    ]);
    expect([0, 1, 2, 3].map((field) => isNeverIndexed(block, field))).toEqual([false, true, false, false]);
  });
});

describe("a reply is malformed", () => {
  test.each<[string, readonly Pair[], string]>([
    ["no :status", [["x-a", "1"]], ":status is missing"],
    [":status of two digits", [[":status", "20"]], ":status"],
    [":status of four digits", [[":status", "2000"]], ":status"],
    [":status below 100", [[":status", "099"]], ":status"],
    [":status 101", [[":status", "101"]], ":status"],
    [":status with a letter", [[":status", "2x0"]], ":status"],
    [
      ":status twice",
      [
        [":status", "200"],
        [":status", "200"],
      ],
      "twice",
    ],
    [
      ":path",
      [
        [":status", "200"],
        [":path", "/"],
      ],
      "may not have",
    ],
    [
      ":status after a field",
      [
        ["x-a", "1"],
        [":status", "200"],
      ],
      "after a field",
    ],
    [
      "transfer-encoding",
      [
        [":status", "200"],
        ["transfer-encoding", "chunked"],
      ],
      "one connection",
    ],
    [
      "content-length twice",
      [
        [":status", "200"],
        ["content-length", "1"],
        ["content-length", "2"],
      ],
      "two content-length",
    ],
  ])("%s", (_, fields, problem) => {
    expect(decode(fields, "reply").malformed).toContain(problem);
  });
});

describe("trailers", () => {
  test.each<[string, readonly Pair[], string]>([
    ["a pseudo-header field", [[":path", "/"]], "may not have"],
    [":status", [[":status", "200"]], "may not have"],
    ["a field of one connection", [["connection", "close"]], "one connection"],
    ["an upper-case letter in a name", [["X-a", "1"]], "name"],
  ])("are malformed: %s", (_, fields, problem) => {
    expect(decode(fields, "trailers").malformed).toContain(problem);
  });

  test("lose what frames, routes or describes a message", () => {
    const sent: Pair[] = [
      ["x-a", "1"],
      ["content-length", "5"],
      ["host", "b"],
      ["te", "trailers"],
      ["authorization", "Basic a"],
      ["content-type", "a/b"],
      ["set-cookie", "a=b"],
      ["grpc-status", "0"],
    ];
    expect(fieldsOf(decode(sent, "trailers"))).toEqual([
      ["x-a", "1"],
      ["grpc-status", "0"],
    ]);
  });
});

describe("few bytes that expand", () => {
  const LARGE = "a".repeat(4000);

  /** A block that ends in many references to the newest entry, and what a next one says of the table. */
  function bomb(references: number): readonly [FieldBlock | undefined, Pair[], string] {
    const decoder = new HpackDecoder(LIMITS);
    const peer = new HpackPeer();
    const head = peer.encode([...GET.map(plain), { name: "x-large", value: LARGE, as: "insert", isHuffman: true }]);
    const bytes = Buffer.concat([head, Buffer.alloc(references, 0xbe)]);
    const block = decoder.decode(bytes, 0, bytes.length, "request");
    const next = peer.encode([...GET.map(plain), { name: "x-large", value: LARGE, as: "index", isHuffman: false }]);
    expect(next.length).toBeLessThan(100);
    const after = decoder.decode(next, 0, next.length, "request");
    return [block, after === undefined ? [] : fieldsOf(after), decoder.problem];
  }

  test("are too large, nothing of them is kept and the table stays in step", () => {
    for (const references of [4, 1000, 100_000]) {
      const [block, after, problem] = bomb(references);
      expect([block?.isTooLarge, block?.malformed, block?.count, block?.bytes.length]).toEqual([true, "", 0, 0]);
      expect(problem).toBe("");
      expect(after).toEqual([
        ["Host", "a.example"],
        ["x-large", LARGE],
      ]);
    }
    expect(bomb(2)[0]?.isTooLarge).toBe(false);
  });

  test("are too many fields, each of them small", () => {
    const decoder = new HpackDecoder(LIMITS);
    const head = new HpackPeer().encode([...GET.map(plain), { name: "x", value: "", as: "insert", isHuffman: false }]);
    const blockOf = (count: number): FieldBlock | undefined => {
      const bytes = Buffer.concat([head, Buffer.alloc(count, 0xbe)]);
      return decoder.decode(bytes, 0, bytes.length, "request");
    };
    expect(blockOf(95)?.count).toBe(97);
    expect(blockOf(96)?.isTooLarge).toBe(true);
    expect(blockOf(50_000)?.isTooLarge).toBe(true);
    expect(blockOf(95)?.count).toBe(97);
  });

  test("of literals that push each other out are too large, and the last entries are there", () => {
    const decoder = new HpackDecoder(LIMITS);
    const peer = new HpackPeer();
    const value = "v".repeat(200);
    const names = Array.from({ length: 300 }, (_, at) => `x-${at}`);
    const last = names.slice(-10);
    const sent = (name: string, as: Representation): PeerField => ({ name, value, as, isHuffman: true });
    const bytes = peer.encode([...GET.map(plain), ...names.map((name) => sent(name, "insert"))]);
    expect(decoder.decode(bytes, 0, bytes.length, "request")?.isTooLarge).toBe(true);
    const next = peer.encode([...GET.map(plain), ...last.map((name) => sent(name, "index"))]);
    expect(next.length).toBeLessThan(80);
    const after = decoder.decode(next, 0, next.length, "request");
    expect(after === undefined ? [] : fieldsOf(after).slice(1)).toEqual(last.map((name) => [name, value]));
  });
});
