// HPACK against a peer that sends whatever RFC 7541 allows, against Python's hpack in both directions, and against bytes
// that mean nothing. The table of both ends stays the same through every eviction, size change and refused message.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isNeverIndexed, loadBlock, type FieldBlock } from "../../runtime/codec/hpack-block.ts";
import { HpackDecoder } from "../../runtime/codec/hpack-decoder.ts";
import { HpackEncoder } from "../../runtime/codec/hpack-encoder.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { HpackPeer, type PeerField, type Representation } from "../harness/hpack-peer.ts";

const LIMITS = { headMaxBytes: 64 * 1024, headersMax: 100 };
const NAMES = [
  "accept",
  "user-agent",
  "x-a",
  "x-b",
  "x-long-name-of-a-field",
  "server",
  "etag",
  "authorization",
  "date",
];

const name = fc.constantFrom(...NAMES);
/** Every byte that a value may hold, and lengths around those that take another byte. */
const value = fc.oneof(
  fc.constantFrom(
    "",
    "1",
    "a b",
    "gzip, deflate",
    'é~|{}\\"',
    "0123456789".repeat(13),
    "too large for most tables".repeat(50),
  ),
  fc.string({
    maxLength: 300,
    unit: fc
      .integer({ min: 33, max: 255 })
      .filter((byte) => byte !== 127)
      .map((byte) => String.fromCodePoint(byte)),
  }),
);
const field = fc.record<PeerField>({
  name,
  value,
  as: fc.constantFrom<Representation>("index", "index", "insert", "plain", "never"),
  isHuffman: fc.boolean(),
});
const block = fc.record({
  /** The same block again, as most are. */
  repeats: fc.constantFrom(1, 1, 2, 5),
  fields: fc.array(field, { maxLength: 12 }),
  path: fc.constantFrom("/", "/index.html", "/a?b=c", "/items/1", "/items/2"),
  resize: fc.option(fc.constantFrom(0, 100, 1000, 4096), { nil: undefined, freq: 6 }),
});
type Block = typeof block extends fc.Arbitrary<infer T> ? T : never;

function pseudo(text: string, content: string, as: Representation = "index"): PeerField {
  return { name: text, value: content, as, isHuffman: true };
}

function send(peer: HpackPeer, { fields, path, resize }: Block): Buffer {
  const update = resize === undefined ? [] : [peer.resize(resize)];
  const head = [
    pseudo(":method", "GET"),
    pseudo(":scheme", "https"),
    pseudo(":authority", "a.example:80"),
    pseudo(":path", path, "plain"),
  ];
  return Buffer.concat([...update, peer.encode([...head, ...fields])]);
}

const NO_BYTES = Buffer.alloc(0);

/** What a block says beside its fields. */
function aside(decoded: FieldBlock | undefined) {
  if (decoded === undefined) throw new Error("the block was refused");
  const { method, path, scheme, authority, protocol, contentLength, malformed, isTooLarge, teField } = decoded;
  return { method, path, scheme, authority, protocol, contentLength, malformed, isTooLarge, teField };
}

function fieldsOf(decoded: FieldBlock | undefined): readonly (readonly [string, string])[] {
  if (decoded === undefined) throw new Error("the block was refused");
  const headers = new HeaderMap();
  loadBlock(decoded, headers);
  return [...headers];
}

describe("what a peer sends", () => {
  test("comes out as it went in, however it was represented, and what came before stays as it was", () => {
    fc.assert(
      fc.property(fc.array(block, { minLength: 1, maxLength: 12 }), (blocks) => {
        const peer = new HpackPeer();
        const decoder = new HpackDecoder(LIMITS);
        const kept: [FieldBlock | undefined, [string, string][]][] = [];
        for (const sent of blocks) {
          for (let turn = 0; turn < sent.repeats; turn++) {
            const bytes = send(peer, sent);
            const decoded = decoder.decode(bytes, 0, bytes.length, "request");
            // A chunk's memory is used again.
            bytes.fill(0);
            expect(decoder.problem).toBe("");
            expect(decoded?.malformed).toBe("");
            expect([decoded?.method, decoded?.scheme, decoded?.authority, decoded?.path]).toEqual([
              "GET",
              "https",
              "a.example:80",
              sent.path,
            ]);
            const wanted: [string, string][] = [["Host", "a.example:80"]];
            for (const { name: key, value: content } of sent.fields) wanted.push([key, content]);
            const nevers = [false, ...sent.fields.map(({ as }) => as === "never")];
            expect(nevers.map((_, at) => decoded !== undefined && isNeverIndexed(decoded, at))).toEqual(nevers);
            kept.push([decoded, wanted]);
          }
        }
        for (const [decoded, wanted] of kept) expect(fieldsOf(decoded)).toEqual(wanted);
      }),
      { numRuns: 300 },
    );
  });

  test("means the same whether what came before is remembered or not", () => {
    fc.assert(
      fc.property(fc.array(block, { minLength: 1, maxLength: 12 }), (blocks) => {
        const peer = new HpackPeer();
        const remembering = new HpackDecoder(LIMITS);
        const forgetting = new HpackDecoder(LIMITS);
        for (const sent of blocks) {
          for (let turn = 0; turn < sent.repeats * 2; turn++) {
            const bytes = send(peer, sent);
            const decoded = remembering.decode(bytes, 0, bytes.length, "request");
            // A size update that changes nothing: a block that begins with one is not remembered, nor what was before it.
            const size = sent.resize === undefined ? peer.resize(peer.maxBytes) : NO_BYTES;
            const updated = Buffer.concat([size, bytes]);
            const other = forgetting.decode(updated, 0, updated.length, "request");
            expect(fieldsOf(decoded)).toEqual(fieldsOf(other));
            expect(aside(decoded)).toEqual(aside(other));
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  test("is refused where it is cut, unless a whole field ends there", () => {
    fc.assert(
      fc.property(field, fc.nat(), (sent, at) => {
        const bytes = new HpackPeer().encode([{ ...sent, as: sent.as === "index" ? "insert" : sent.as }]);
        const cut = at % bytes.length;
        const decoder = new HpackDecoder(LIMITS);
        const isRefused = decoder.decode(bytes, 0, cut, "trailers") === undefined;
        expect(isRefused).toBe(cut > 0);
        expect(new HpackDecoder(LIMITS).decode(bytes, 0, bytes.length, "trailers")).toBeDefined();
      }),
    );
  });

  test("that means nothing is refused or decoded, within the limits", () => {
    const limits = { headMaxBytes: 2000, headersMax: 20 };
    let decodedCount = 0;
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
        const decoder = new HpackDecoder(limits);
        for (const chunk of chunks) {
          const decoded = decoder.decode(Buffer.from(chunk), 0, chunk.length, "request");
          if (decoded === undefined) return expect(decoder.problem).not.toBe("");
          decodedCount++;
          expect(decoded.count).toBeLessThanOrEqual(limits.headersMax + 1);
          const { offsets, count } = decoded;
          const length = count === 0 ? 0 : (offsets[count * 4 - 1] ?? 0) - (offsets[0] ?? 0);
          expect(length).toBeLessThanOrEqual(limits.headMaxBytes + 100);
        }
        return undefined;
      }),
      { numRuns: 2000 },
    );
    expect(decodedCount).toBeGreaterThan(0);
  });
});

interface Sent {
  readonly repeats: number;
  readonly fields: readonly (readonly [string, string])[];
  readonly path: string;
  readonly tableMaxBytes: number | undefined;
}

const message = fc.record<Sent>({
  repeats: fc.constantFrom(1, 2, 4),
  fields: fc.array(fc.tuple(fc.constantFrom(...NAMES, "Accept", "X-Mixed-Case"), value), { maxLength: 12 }),
  path: fc.constantFrom("/", "/a", "/b?c"),
  tableMaxBytes: fc.option(fc.constantFrom(0, 64, 300, 4096, 65_536), { nil: undefined, freq: 4 }),
});

/** A head as a client of HTTP/1.1 sends it, or as the proxy makes one. */
function headOf({ fields }: Sent, isParsed: boolean): HeaderMap {
  if (!isParsed) return HeaderMap.from(fields);
  const headers = new HeaderMap();
  const bytes = Buffer.from(fields.map(([key, content]) => `${key}: ${content}\r\n`).join(""), "latin1");
  const offsets: number[] = [];
  let at = 0;
  for (const [key, content] of fields) {
    const start = at + key.length + 2;
    offsets.push(at, at + key.length, start, start + content.length);
    at = start + content.length + 2;
  }
  headers.load(bytes, new Int32Array(offsets), new Uint8Array(fields.length), fields.length);
  return headers;
}

describe("what the proxy sends", () => {
  test("comes out at the peer as it went in, through every eviction and size change", () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 12 }), fc.boolean(), (messages, isParsed) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(LIMITS);
        const out = Buffer.alloc(16 * 1024);
        for (const sent of messages) {
          if (sent.tableMaxBytes !== undefined) {
            encoder.setPeerTableMax(sent.tableMaxBytes);
            decoder.setTableMax(Math.min(4096, sent.tableMaxBytes));
          }
          const headers = headOf(sent, isParsed);
          for (let turn = 0; turn < sent.repeats; turn++) {
            expect(encoder.encodeRequest(out.subarray(0, 10), 0, request(sent.path, headers))).toBe(-1);
            const end = encoder.encodeRequest(out, 7, request(sent.path, headers));
            const decoded = decoder.decode(out, 7, end, "request");
            expect(decoder.problem).toBe("");
            expect(decoded?.path).toBe(sent.path);
            expect(fieldsOf(decoded)).toEqual([
              ["Host", "a.example"],
              ...sent.fields.map(([key, content]) => [key.toLowerCase(), content] as const),
            ]);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** Edits as the proxy makes them: some are the same each time, one never is. */
const edit = fc.record({
  drops: fc.option(name, { nil: undefined }),
  adds: fc.array(
    fc.tuple(fc.constantFrom("x-request-id", "x-forwarded-proto", "X-Added"), fc.constantFrom("1", "http")),
  ),
});

describe("what the proxy passes on", () => {
  test("comes out as it came in but for its edits, from several clients over one connection", () => {
    const turn = fc.record({ client: fc.nat(2), sent: block, edit });
    fc.assert(
      fc.property(fc.array(turn, { minLength: 1, maxLength: 20 }), (turns) => {
        const clients = [0, 1, 2].map(() => ({ peer: new HpackPeer(), decoder: new HpackDecoder(LIMITS) }));
        const encoder = new HpackEncoder();
        const upstream = new HpackDecoder(LIMITS);
        const out = Buffer.alloc(64 * 1024);
        for (const { client, sent, edit: edits } of turns) {
          const { peer, decoder } = clients[client] ?? { peer: new HpackPeer(), decoder: new HpackDecoder(LIMITS) };
          for (let again = 0; again < sent.repeats; again++) {
            const bytes = send(peer, sent);
            const decoded = decoder.decode(bytes, 0, bytes.length, "request");
            if (decoded === undefined) throw new Error(decoder.problem);
            const headers = new HeaderMap();
            loadBlock(decoded, headers);
            if (edits.drops !== undefined) headers.delete(edits.drops);
            for (const [key, content] of edits.adds) headers.append(key, content);
            const end = encoder.encodeRequest(out, 0, request(decoded.path, headers));
            const arrived = upstream.decode(out, 0, end, "request");
            expect(fieldsOf(arrived)).toEqual([
              ["Host", "a.example"],
              ...sent.fields.filter((one) => one.name !== edits.drops).map((one) => [one.name, one.value] as const),
              ...edits.adds.map(([key, content]) => [key.toLowerCase(), content] as const),
            ]);
            // Never indexed on one hop is never indexed on any (RFC 7541 §7.1.3).
            const nevers = sent.fields.filter((one) => one.as === "never" && one.name !== edits.drops).length;
            const seen =
              arrived === undefined
                ? []
                : Array.from({ length: arrived.count }, (_, at) => isNeverIndexed(arrived, at));
            expect(seen.filter(Boolean).length).toBeGreaterThanOrEqual(nevers);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

function request(path: string, headers: HeaderMap) {
  return { method: "POST", path, scheme: "http", authority: "a.example", headers };
}

/** Runs Python with a program and JSON on its standard input; what it prints, parsed. */
async function python(program: string, input: unknown): Promise<unknown> {
  const child = Bun.spawn(["python3", "-c", program], {
    stdin: new Blob([JSON.stringify(input)]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`python3 with hpack (test/harness/install.sh): ${errors}`);
  return JSON.parse(output);
}

describe("Python's hpack", () => {
  test("reads what the proxy sends", async () => {
    const messages = fc.sample(message, { numRuns: 300, seed: 1 });
    const encoder = new HpackEncoder();
    const out = Buffer.alloc(16 * 1024);
    const blocks: string[] = [];
    const wanted: string[][][] = [];
    for (const [at, sent] of messages.entries()) {
      for (let turn = 0; turn < sent.repeats; turn++) {
        const headers = headOf(sent, at % 2 === 0);
        blocks.push(out.subarray(0, encoder.encodeRequest(out, 0, request(sent.path, headers))).toString("hex"));
        wanted.push([
          [":method", "POST"],
          [":scheme", "http"],
          [":authority", "a.example"],
          [":path", sent.path],
          ...sent.fields.map(([key, content]) => [key.toLowerCase(), content]),
        ]);
      }
    }
    const program = `
import json, sys, hpack
decoder = hpack.Decoder()
print(json.dumps([[[n.decode("latin1"), v.decode("latin1")] for n, v in decoder.decode(bytes.fromhex(b), raw=True)] for b in json.load(sys.stdin)]))`;
    expect(await python(program, blocks)).toEqual(wanted);
  });

  test("is read by the proxy", async () => {
    const lists = fc.sample(fc.array(fc.tuple(name, value), { maxLength: 10 }), { numRuns: 300, seed: 2 });
    const program = `
import json, sys, hpack
encoder = hpack.Encoder()
out = []
for index, fields in enumerate(json.load(sys.stdin)):
    if index % 40 == 39: encoder.header_table_size = [500, 4096, 0, 4096][index // 40 % 4]
    head = [(":method", "GET"), (":scheme", "https"), (":path", "/%d" % (index % 3)), (":authority", "a.example")]
    for _ in range(1 + index % 3):
        out.append(encoder.encode([(n.encode("latin1"), v.encode("latin1")) for n, v in head + [tuple(f) for f in fields]], huffman=index % 2 == 0).hex())
print(json.dumps(out))`;
    const output = await python(program, lists);
    const blocks = Array.isArray(output) ? output.map(String) : [];
    const decoder = new HpackDecoder(LIMITS);
    let at = 0;
    for (const [index, fields] of lists.entries()) {
      for (let turn = 0; turn <= index % 3; turn++) {
        const bytes = Buffer.from(blocks[at++] ?? "", "hex");
        const decoded = decoder.decode(bytes, 0, bytes.length, "request");
        expect(decoder.problem).toBe("");
        expect(decoded?.path).toBe(`/${index % 3}`);
        expect(fieldsOf(decoded)).toEqual([["Host", "a.example"], ...fields]);
      }
    }
    expect(at).toBe(blocks.length);
  });
});
