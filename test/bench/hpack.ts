// What does HPACK cost a request in JavaScript alone: request and reply, decoded and encoded again?
import { loadBlock } from "../../runtime/codec/hpack-block.ts";
import { HpackDecoder } from "../../runtime/codec/hpack-decoder.ts";
import { HpackEncoder } from "../../runtime/codec/hpack-encoder.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { HpackPeer, type PeerField, type Representation } from "../harness/hpack-peer.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";

export const question = "What does HPACK cost a request: its head and its reply's, decoded and encoded again?";

const LIMITS = { headMaxBytes: 60 * 1024, headersMax: 100 };
/** Blocks of one connection; more than any memo holds. */
const BLOCKS = 4096;
/** Turns that are timed together, of which `BLOCKS` are whole parts. */
const PART = 64;
const OUT = Buffer.allocUnsafeSlow(16 * 1024);

export interface Traffic {
  readonly name: string;
  readonly limitUs: number;
  readonly note: string;
  readonly path: (turn: number) => string;
  /** How fields whose value `value` made anew are sent. */
  readonly value: (turn: number, base: string) => string;
}

export const TRAFFIC: readonly Traffic[] = [
  { name: "T1", limitUs: 0.4, note: "the same again", path: () => "/api/v1/items/42?page=3", value: (_, base) => base },
  {
    name: "T2",
    limitUs: 0.8,
    note: "each path new",
    path: (turn) => `/api/v1/items/${turn * 7919}?page=3`,
    value: (_, base) => base,
  },
  {
    name: "T4",
    limitUs: 3.5,
    note: "nearly each value new and inserted",
    path: (turn) => `/api/v1/items/${turn * 7919}?page=3`,
    value: (turn, base) => `${base}-${(turn * 7919).toString(16)}`,
  },
];

/** Ten fields beside the pseudo-header fields. */
const REQUEST: readonly (readonly [string, string])[] = [
  ["user-agent", "bench-client/1.0 (linux; x64)"],
  ["accept", "application/json"],
  ["accept-encoding", "gzip, br"],
  ["accept-language", "en-GB,en;q=0.8"],
  ["x-user", "ada-lovelace"],
  ["x-tenant", "books"],
  ["x-session", "0a1b2c3d4e5f60718293"],
  ["x-forwarded-for", "10.0.0.7"],
  ["referer", "https://shop.example.com/cart"],
  ["cookie", "session=0123456789abcdef0123"],
];
const REPLY: readonly (readonly [string, string])[] = [
  ["content-type", "application/json"],
  ["content-length", "100"],
  ["server", "upstream/2.1"],
  ["cache-control", "no-cache"],
  ["x-version", "2026-11-23"],
];

/** Replays blocks as a client and a server send them; no socket, no frame. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const rounds = isQuick ? 10 : 25;
  const rows: BenchRow[] = [];
  const recorded = TRAFFIC.map(record);
  const figures = TRAFFIC.map((): number[][] => [[], [], [], [], []]);
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    for (const [index, blocks] of recorded.entries()) {
      for (const [part, us] of replay(blocks).entries()) figures[index]?.[part]?.push(us);
    }
  }
  for (const [index, { name, limitUs, note }] of TRAFFIC.entries()) {
    const [all, ...parts] = (figures[index] ?? []).map((values) => Math.min(...values));
    rows.push({ figure: name, value: all ?? Number.NaN, unit: "µs", limit: limitUs, note });
    for (const [part, what] of ["request decoded", "request encoded", "reply decoded", "reply encoded"].entries())
      rows.push({ figure: `${name} ${what}`, value: parts[part] ?? Number.NaN, unit: "µs" });
  }
  return Promise.resolve({ name: "hpack", question, rows });
}

export interface Blocks {
  readonly requests: readonly Buffer[];
  readonly replies: readonly Buffer[];
}

export function record({ path, value }: Traffic): Blocks {
  const client = new HpackPeer();
  const server = new HpackPeer();
  const requests: Buffer[] = [];
  const replies: Buffer[] = [];
  for (let turn = 0; turn < BLOCKS; turn++) {
    const isNew = value(turn, "") !== "";
    const as: Representation = isNew ? "insert" : "index";
    requests.push(
      client.encode([
        field(":method", "GET", "index"),
        field(":scheme", "http", "index"),
        field(":authority", "shop.example.com", "index"),
        field(":path", path(turn), isNew ? "insert" : "plain"),
        ...REQUEST.map(([name, base], at) =>
          at < 2 ? field(name, base, "index") : field(name, value(turn, base), as),
        ),
      ]),
    );
    replies.push(
      server.encode([
        field(":status", "200", "index"),
        ...REPLY.map(([name, base], at) => (at < 2 ? field(name, base, "index") : field(name, value(turn, base), as))),
      ]),
    );
  }
  return { requests, replies };
}

function field(name: string, value: string, as: Representation): PeerField {
  return { name, value, as, isHuffman: true };
}

/** Microseconds of a request and its reply, together and by part. */
function replay({ requests, replies }: Blocks): readonly number[] {
  const decoders = [new HpackDecoder(LIMITS), new HpackDecoder(LIMITS)] as const;
  const encoders = [new HpackEncoder(), new HpackEncoder()] as const;
  const all = timed(requests.length, (turn) => {
    const headers = decodeRequest(decoders[0], requests[turn]);
    encodeRequest(encoders[0], headers, turn);
    encodeReply(encoders[1], decodeReply(decoders[1], replies[turn]));
  });
  const heads: Head[] = [];
  const ends: HeaderMap[] = [];
  const apart = [new HpackDecoder(LIMITS), new HpackDecoder(LIMITS)] as const;
  const apartEncoders = [new HpackEncoder(), new HpackEncoder()] as const;
  return [
    all,
    timed(requests.length, (turn) => void (heads[turn] = decodeRequest(apart[0], requests[turn]))),
    timed(requests.length, (turn) => encodeRequest(apartEncoders[0], heads[turn], turn)),
    timed(requests.length, (turn) => void (ends[turn] = decodeReply(apart[1], replies[turn]))),
    timed(requests.length, (turn) => encodeReply(apartEncoders[1], ends[turn])),
  ];
}

/** The fastest part of all turns: on a machine that does other work too, the figure that says most of this code. */
function timed(turns: number, act: (turn: number) => void): number {
  let fastestMs = Number.POSITIVE_INFINITY;
  for (let first = 0; first < turns; first += PART) {
    const startedMs = performance.now();
    for (let turn = first; turn < first + PART; turn++) act(turn);
    fastestMs = Math.min(fastestMs, performance.now() - startedMs);
  }
  return (fastestMs * 1000) / PART;
}

interface Head {
  readonly method: string;
  readonly path: string;
  readonly scheme: string;
  readonly authority: string;
  readonly headers: HeaderMap;
}

function decodeRequest(decoder: HpackDecoder, bytes: Buffer | undefined): Head {
  const block = bytes === undefined ? undefined : decoder.decode(bytes, 0, bytes.length, "request");
  if (block === undefined || block.malformed !== "" || block.isTooLarge)
    throw new Error(`${decoder.problem}${block?.malformed ?? ""}`);
  const headers = new HeaderMap();
  loadBlock(block, headers);
  const { method, path, scheme, authority } = block;
  return { method, path, scheme, authority, headers };
}

/** With an edit that is new for each request, as the proxy makes one. */
function encodeRequest(encoder: HpackEncoder, head: Head | undefined, turn: number): void {
  if (head === undefined) throw new Error("there is no head");
  head.headers.append("x-request-id", `0a1b2c3d-4e5f-6071-8293-a4b5c6${100_000 + turn}`);
  if (encoder.encodeRequest(OUT, 0, head) < 0) throw new Error("the request does not fit");
}

function decodeReply(decoder: HpackDecoder, bytes: Buffer | undefined): HeaderMap {
  const block = bytes === undefined ? undefined : decoder.decode(bytes, 0, bytes.length, "reply");
  if (block === undefined || block.malformed !== "") throw new Error(`${decoder.problem}${block?.malformed ?? ""}`);
  const headers = new HeaderMap();
  loadBlock(block, headers);
  return headers;
}

function encodeReply(encoder: HpackEncoder, headers: HeaderMap | undefined): void {
  if (headers === undefined || encoder.encodeReply(OUT, 0, 200, headers) < 0) throw new Error("the reply does not fit");
}
