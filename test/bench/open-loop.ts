// A load generator that keeps its rate whatever the server does, so that a stall shows in every request that fell due
// during it. Requests fall due in batches, one each millisecond; latency counts from then, queueing included.
// Its one argument is OpenLoopOptions as JSON; it prints `REPORT {…}`.
import { openHttp1 } from "./client-http1.ts";
import { openHttp2 } from "./client-http2.ts";
import type { LoadReport, OpenLoopOptions } from "./load.ts";
import { percentile } from "./result.ts";

const TICK_MS = 1;
/** Requests that fell due first are not counted: connections open and code warms up. */
const WARM_UP_MS = 500;
/** How long answers may still come in after the last request fell due. */
const DRAIN_MS = 2000;

/** Room for one request at a time: an HTTP/1.1 connection, or a stream of an HTTP/2 one. */
export interface Lane {
  /** When its request fell due; 0 while it is idle. */
  dueAtMs: number;
  /** Sends a request, or queues it for `flush`. */
  readonly send: () => void;
}

/** One connection. */
export interface Client {
  readonly lanes: readonly Lane[];
  /** Writes what was queued, in one piece. */
  readonly flush: () => void;
  readonly close: () => void;
}

/** Told by a client when a lane's request was answered, or lost. */
export type Settle = (lane: Lane, isGood: boolean) => void;

/** Sends `perSecond` requests a second for the time asked, and reports what came back. */
export async function generate(options: OpenLoopOptions): Promise<LoadReport> {
  const latencies: number[] = [];
  /** When each request that found no idle lane fell due, oldest first from `waitingFrom`. */
  const waiting: number[] = [];
  let waitingFrom = 0;
  const idle: Lane[] = [];
  let failed = 0;
  let served = 0;
  let inFlight = 0;
  let countsFromMs = Number.POSITIVE_INFINITY;

  const send = (lane: Lane, dueAtMs: number): void => {
    lane.dueAtMs = dueAtMs;
    inFlight++;
    lane.send();
  };
  const settle: Settle = (lane, isGood) => {
    if (lane.dueAtMs === 0) return;
    if (isGood) served++;
    if (lane.dueAtMs >= countsFromMs) {
      if (isGood) latencies.push(performance.now() - lane.dueAtMs);
      else failed++;
    }
    lane.dueAtMs = 0;
    inFlight--;
    const next = waiting[waitingFrom];
    if (next === undefined) {
      idle.push(lane);
    } else {
      waitingFrom++;
      send(lane, next);
    }
  };
  const open = options.protocol === "h2" ? openHttp2 : openHttp1;
  const clients = await Promise.all(Array.from({ length: options.connections }, () => open(options, settle)));
  // One lane of each client after the other, so that the first requests spread over all of them.
  const widest = Math.max(...clients.map(({ lanes }) => lanes.length));
  for (let lane = 0; lane < widest; lane++) idle.push(...clients.flatMap(({ lanes }) => lanes[lane] ?? []));

  const { promise: over, resolve: finish } = Promise.withResolvers<void>();
  let nextDueAtMs = performance.now();
  const endsAtMs = nextDueAtMs + options.durationMs;
  countsFromMs = nextDueAtMs + Math.min(WARM_UP_MS, options.durationMs / 4);
  let owed = 0;
  const tick = (): void => {
    const nowMs = performance.now();
    for (; nextDueAtMs <= Math.min(nowMs, endsAtMs); nextDueAtMs += TICK_MS) {
      for (owed += (options.perSecond * TICK_MS) / 1000; owed >= 1; owed--) {
        // The lane that has been idle longest, so that all connections take part.
        const lane = idle.shift();
        if (lane === undefined) waiting.push(nextDueAtMs);
        else send(lane, nextDueAtMs);
      }
    }
    for (const client of clients) client.flush();
    const isAnswered = inFlight === 0 && waiting.length === waitingFrom;
    if (nowMs < endsAtMs || (!isAnswered && nowMs < endsAtMs + DRAIN_MS)) setTimeout(tick, 0);
    else finish();
  };
  tick();
  await over;
  // What nobody answered by now is lost.
  failed += inFlight + waiting.length - waitingFrom;
  for (const client of clients) client.close();
  return {
    requests: latencies.length,
    served,
    failed,
    perSecond: (latencies.length / (endsAtMs - countsFromMs)) * 1000,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  };
}

if (import.meta.main) {
  const options: OpenLoopOptions = JSON.parse(process.argv[2] ?? "{}");
  console.log(`REPORT ${JSON.stringify(await generate(options))}`);
  process.exit(0);
}
