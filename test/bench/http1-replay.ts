// What does JavaScript alone cost for one HTTP/1.1 request? As `http2-replay`, with a request and a reply in a chunk each, on
// as many connections as there are requests at once.
import { drainMicrotasks } from "bun:jsc";
import { feedChunk } from "../../runtime/codec/chunk.ts";
import { Http1Server } from "../../runtime/codec/http1-server.ts";
import { Http1Pool } from "../../runtime/upstream/http1-pool.ts";
import { TEN_HEADERS } from "./load.ts";
import { BATCH, buildPath, cpuUs, DOWNSTREAM, nextTurn, REPLY_BODY, Sink, type ReplayPath } from "./replay-path.ts";
import type { BenchOptions, BenchResult, BenchRow } from "./result.ts";

export const question = "What does JavaScript alone cost for one HTTP/1.1 request?";

/** Turns of a round, `BATCH` requests each. */
const TURNS = 128;
const REPLY = Buffer.concat([
  Buffer.from(
    "HTTP/1.1 200 OK\r\nServer: upstream/2.1\r\nDate: Tue, 01 Dec 2026 12:00:00 GMT\r\n" +
      "Content-Type: application/json\r\nContent-Length: 100\r\nConnection: keep-alive\r\n\r\n",
  ),
  REPLY_BODY,
]);

/** What clients ask. */
interface Traffic {
  readonly note: string;
  readonly path: (turn: number) => string;
  /** A field's value. */
  readonly value: (turn: number, base: string) => string;
}

const TRAFFIC: Readonly<Record<string, Traffic>> = {
  same: { note: "the same again", path: () => "/api/v1/items/42?page=3", value: (_, base) => base },
  unique: {
    note: "each path and each value new",
    path: (turn) => `/api/v1/items/${turn * 7919}?page=3`,
    value: (turn, base) => `${base}-${(turn * 7919).toString(16)}`,
  },
};

/** Replays rounds on the same connections. The fastest counts: compiling, collecting and the machine only add to it. */
export async function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const rounds = isQuick ? 5 : 25;
  const rows: BenchRow[] = [];
  const path = await buildPath("http1");
  const replays = Object.entries(TRAFFIC).map(([figure, traffic]) => ({
    figure,
    note: traffic.note,
    requests: requestsOf(traffic),
    us: Number.POSITIVE_INFINITY,
  }));
  const connections = Array.from({ length: BATCH }, () => connectionOf(path));
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`);
    for (const one of replays) one.us = Math.min(one.us, await replay(path, connections, one.requests));
  }
  path.close();
  for (const { figure, us, note } of replays) rows.push({ figure, value: us, unit: "µs", note });
  return { name: "http1-replay", question, rows };
}

function requestsOf({ path, value }: Traffic): readonly Buffer[] {
  return Array.from({ length: TURNS * BATCH }, (_, turn) => {
    const fields = Object.entries(TEN_HEADERS).map(([name, base]) => `${name}: ${value(turn, base)}\r\n`);
    return Buffer.from(`GET ${path(turn)} HTTP/1.1\r\nHost: shop.example.com\r\n${fields.join("")}\r\n`);
  });
}

/** One client, and one of the connections that the upstream has open. */
interface Connection {
  readonly server: Http1Server;
  readonly sink: Sink;
  readonly upstream: ReturnType<ReplayPath["connect"]>;
}

function connectionOf(path: ReplayPath): Connection {
  const sink = new Sink();
  const upstream = path.connect((pool) => new Http1Pool(pool), "");
  return { server: new Http1Server(sink, DOWNSTREAM, path.front), sink, upstream };
}

/** Microseconds a request. */
async function replay(
  path: ReplayPath,
  connections: readonly Connection[],
  requests: readonly Buffer[],
): Promise<number> {
  const before = path.ended();
  const writtenBefore = connections.reduce((sum, { sink }) => sum + sink.bytes, 0);
  const startedUs = cpuUs();
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [at, { server }] of connections.entries()) hand(server, requests[turn * BATCH + at] ?? Buffer.alloc(0));
    await nextTurn();
    for (const { upstream } of connections) hand(upstream, REPLY);
    await nextTurn();
  }
  const us = (cpuUs() - startedUs) / requests.length;
  const written = connections.reduce((sum, { sink }) => sum + sink.bytes, 0) - writtenBefore;
  if (path.ended() - before !== requests.length || written < requests.length * REPLY_BODY.length)
    throw new Error(`${path.ended() - before} exchanges of ${requests.length}`);
  return us;
}

/** As a socket's callback does: what it left to do is done before the next is called. */
function hand(taker: Parameters<typeof feedChunk>[0], chunk: Buffer): void {
  feedChunk(taker, chunk);
  drainMicrotasks();
}
