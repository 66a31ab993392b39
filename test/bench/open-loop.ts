// A load generator that keeps its rate whatever the server does, so that a stall shows in every request that fell due
// during it. Requests fall due in batches, one each millisecond; latency counts from then, queueing included.
// Its one argument is LoadOptions with `perSecond` as JSON; it prints `REPORT {…}`.
import type { Socket } from "bun";
import type { LoadOptions, LoadReport } from "./load.ts";
import { percentile } from "./result.ts";

const TICK_MS = 1;
/** Requests that fell due first are not counted: connections open and code warms up. */
const WARM_UP_MS = 500;
/** How long answers may still come in after the last request fell due. */
const DRAIN_MS = 2000;

if (import.meta.main) {
  const options: LoadOptions & { readonly perSecond: number } = JSON.parse(process.argv[2] ?? "{}");
  console.log(`REPORT ${JSON.stringify(await generate(options))}`);
  process.exit(0);
}

/** One connection with at most one request on it. */
class Client {
  socket: Socket<Client> | undefined;
  /** When its request fell due; 0 while it is idle. */
  dueAtMs = 0;
  #needBytes = 0;
  #gotBytes = 0;
  #isGood = false;

  /** Takes bytes of a reply; returns whether it is whole. All replies have `content-length` and a head that comes in one piece. */
  take(chunk: Buffer): boolean {
    if (this.#needBytes === 0) {
      const headEnd = chunk.indexOf("\r\n\r\n");
      const head = chunk.latin1Slice(0, headEnd);
      const length = /\r\ncontent-length: *(\d+)/iu.exec(head)?.[1];
      this.#isGood = /^HTTP\/1\.1 [123]/u.test(head) && length !== undefined;
      this.#needBytes = headEnd + 4 + Number(length ?? 0);
      this.#gotBytes = 0;
    }
    this.#gotBytes += chunk.length;
    if (this.#gotBytes < this.#needBytes) return false;
    this.#needBytes = 0;
    return true;
  }

  get isGood(): boolean {
    return this.#isGood;
  }
}

/** Sends `perSecond` requests a second for the time asked, and reports what came back. */
export async function generate(options: LoadOptions & { readonly perSecond: number }): Promise<LoadReport> {
  const request = Buffer.from(renderRequest(options), "latin1");
  const latencies: number[] = [];
  /** When each request that found no idle connection fell due, oldest first from `waitingFrom`. */
  const waiting: number[] = [];
  let waitingFrom = 0;
  const idle: Client[] = [];
  let failed = 0;
  let inFlight = 0;
  const startedAtMs = performance.now();
  const countsFromMs = startedAtMs + Math.min(WARM_UP_MS, options.durationMs / 4);

  const send = (client: Client, dueAtMs: number): void => {
    client.dueAtMs = dueAtMs;
    inFlight++;
    client.socket?.write(request);
  };
  const settle = (client: Client, isGood: boolean): void => {
    if (client.dueAtMs >= countsFromMs) {
      if (isGood) latencies.push(performance.now() - client.dueAtMs);
      else failed++;
    }
    client.dueAtMs = 0;
    inFlight--;
  };
  const clients = await Promise.all(
    Array.from({ length: options.connections }, async () => {
      const client = new Client();
      client.socket = await Bun.connect<Client>({
        hostname: "127.0.0.1",
        port: options.port,
        data: client,
        socket: {
          data: (_socket, chunk) => {
            if (!client.take(chunk)) return;
            settle(client, client.isGood);
            const next = waiting[waitingFrom];
            if (next === undefined) {
              idle.push(client);
            } else {
              waitingFrom++;
              send(client, next);
            }
          },
          close: () => {
            if (client.dueAtMs !== 0) settle(client, false);
          },
        },
      });
      return client;
    }),
  );
  idle.push(...clients);

  const { promise: over, resolve: finish } = Promise.withResolvers<void>();
  const endsAtMs = performance.now() + options.durationMs;
  let nextDueAtMs = performance.now();
  let owed = 0;
  const tick = (): void => {
    const nowMs = performance.now();
    for (; nextDueAtMs <= Math.min(nowMs, endsAtMs); nextDueAtMs += TICK_MS) {
      for (owed += (options.perSecond * TICK_MS) / 1000; owed >= 1; owed--) {
        const client = idle.pop();
        if (client === undefined) waiting.push(nextDueAtMs);
        else send(client, nextDueAtMs);
      }
    }
    if (nowMs < endsAtMs || ((inFlight > 0 || waiting.length > waitingFrom) && nowMs < endsAtMs + DRAIN_MS))
      setTimeout(tick, 0);
    else finish();
  };
  tick();
  await over;
  for (const client of clients) client.socket?.terminate();
  // What nobody answered by now is lost.
  failed += inFlight + waiting.length - waitingFrom;
  return {
    requests: latencies.length,
    failed,
    perSecond: (latencies.length / (endsAtMs - countsFromMs)) * 1000,
    p50Ms: percentile(latencies, 0.5),
    p99Ms: percentile(latencies, 0.99),
  };
}

function renderRequest(options: LoadOptions): string {
  const fields = Object.entries({ Host: `127.0.0.1:${options.port}`, ...options.headers });
  return `GET ${options.path ?? "/"} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}
