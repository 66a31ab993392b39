// What does JavaScript alone cost for one HTTP/2 request? Captured bytes are replayed through transports that only count:
// the whole proxy between them, both codecs, every layer, metrics and the access log, and no kernel.
import { feedChunk } from "../../runtime/codec/chunk.ts";
import {
  ACK,
  DATA,
  END_HEADERS,
  END_STREAM,
  HEADERS,
  INITIAL_WINDOW_SIZE,
  PREFACE,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../runtime/codec/http2-frames.ts";
import { Http2Server } from "../../runtime/codec/http2-server.ts";
import { Http2Pool } from "../../runtime/upstream/http2-pool.ts";
import { frame, settings, uint32 } from "../harness/http2-peer.ts";
import { record, TRAFFIC, type Traffic } from "./hpack.ts";
import { BATCH, buildPath, cpuUs, DOWNSTREAM, nextTurn, REPLY_BODY, Sink, type ReplayPath } from "./replay-path.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";

export const question = "What does JavaScript alone cost for one HTTP/2 request?";

const WINDOW = 0x7fff_0000;
/** What must hold, and where to go. */
const BOUNDS: Readonly<Record<string, readonly [number, number]>> = { T1: [2, 1], T2: [3, 1.5], T4: [8, 5] };

/**
 * Replays a connection's worth of requests, round after round, each on connections of its own. The fastest round counts:
 * compiling, collecting and whatever else the machine does only add to it.
 */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const rounds = isQuick ? 5 : 25;
  const path = await buildPath("auto");
  const figures = new Map<string, number[]>();
  const captured = TRAFFIC.map((traffic) => ({ traffic, chunks: capture(traffic) }));
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    for (const { traffic, chunks } of captured) {
      const us = await replay(path, chunks);
      figures.set(traffic.name, [...(figures.get(traffic.name) ?? []), us]);
    }
  }
  path.close();
  const rows: BenchRow[] = captured.map(({ traffic: { name, note } }) => {
    const [limit = Number.NaN, want = Number.NaN] = BOUNDS[name] ?? [];
    return { figure: name, value: Math.min(...(figures.get(name) ?? [Number.NaN])), unit: "µs", limit, want, note };
  });
  return { name: "http2-replay", question, rows };
}

/** What a client and an upstream send, a chunk for each turn of the loop. */
interface Captured {
  readonly requests: readonly Buffer[];
  readonly replies: readonly Buffer[];
}

function capture(traffic: Traffic): Captured {
  const { requests, replies } = record(traffic);
  return {
    requests: cut(requests.map((block, at) => frame(HEADERS, END_HEADERS | END_STREAM, at * 2 + 1, block))),
    replies: cut(
      replies.map((block, at) =>
        Buffer.concat([
          frame(HEADERS, END_HEADERS, at * 2 + 1, block),
          frame(DATA, END_STREAM, at * 2 + 1, REPLY_BODY),
        ]),
      ),
    ),
  };
}

/** A chunk of every `BATCH`, as the streams of one connection send. */
function cut(frames: readonly Buffer[]): readonly Buffer[] {
  return Array.from({ length: Math.floor(frames.length / BATCH) }, (_, turn) =>
    Buffer.concat(frames.slice(turn * BATCH, (turn + 1) * BATCH)),
  );
}

/** Microseconds a request. */
async function replay(path: ReplayPath, { requests, replies }: Captured): Promise<number> {
  const upstream = path.connect((pool) => new Http2Pool(pool), "h2");
  const peerSettings = frame(SETTINGS, 0, 0, settings([[INITIAL_WINDOW_SIZE, WINDOW]]));
  const opening = [peerSettings, frame(SETTINGS, ACK, 0), frame(WINDOW_UPDATE, 0, 0, uint32(WINDOW))];
  upstream.data(Buffer.concat(opening));
  const sink = new Sink();
  const server = new Http2Server(sink, DOWNSTREAM, path.front);
  server.data(Buffer.concat([PREFACE, ...opening]));
  await Promise.resolve();
  const before = path.ended();
  const startedUs = cpuUs();
  for (let turn = 0; turn < requests.length; turn++) {
    feedChunk(server, requests[turn] ?? Buffer.alloc(0));
    await nextTurn();
    feedChunk(upstream, replies[turn] ?? Buffer.alloc(0));
    await nextTurn();
  }
  const us = (cpuUs() - startedUs) / (requests.length * BATCH);
  if (path.ended() - before !== requests.length * BATCH || sink.bytes < requests.length * BATCH * REPLY_BODY.length)
    throw new Error(`${path.ended() - before} exchanges of ${requests.length * BATCH}`);
  upstream.closed(false);
  server.closed();
  return us;
}
