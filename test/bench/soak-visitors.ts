// Who visits during a soak: clients that stay and must be answered, and clients that leave in the middle.
import { openHttp1 } from "./client-http1.ts";
import { openHttp2 } from "./client-http2.ts";
import type { OpenLoopOptions } from "./load.ts";
import type { Client } from "./open-loop.ts";
import { tunnelLeavers, tunnelVisits, type TunnelEntrances } from "./soak-tunnels.ts";
import { LONG_REPLY_BYTES } from "./soak-upstream.ts";

/** What became of the exchanges. */
export interface Tally {
  answered: number;
  /** Not answered, although the client stayed and the upstream did its part. */
  lost: number;
  /** Given up by the client. */
  left: number;
  /** Broken off by the upstream, and told so to the client. */
  refused: number;
  firstLost: string | undefined;
}

interface Entrances extends TunnelEntrances {
  readonly inboundPort: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** Each visit at most this long: an answer that takes longer is lost. */
const VISIT_MAX_MS = 10_000;
const UPLOAD_BYTES = 300_000;
const VISITS_OF_A_CONNECTION = 40;

/** Starts them all; each goes on until it is stopped. */
export function startVisitors(entrances: Entrances, tally: Tally): { readonly stop: () => Promise<void> } {
  const over = new AbortController();
  const lose = (what: string): void => {
    tally.lost++;
    tally.firstLost ??= what;
  };
  const common = { durationMs: 0, perSecond: 0, connections: 1, streams: 1 };
  const headers = { ...entrances.headers, Host: "app" };
  const http1: OpenLoopOptions = { ...common, port: entrances.outboundPort, protocol: "http1", headers };
  const http2: OpenLoopOptions = { ...common, port: entrances.inboundPort, protocol: "h2", headers: entrances.headers };
  const url = `http://127.0.0.1:${entrances.outboundPort}`;
  const kinds: readonly (() => Promise<void>)[] = [
    () => stay(openHttp1, http1, "a short reply", tally, lose),
    () => stay(openHttp1, { ...http1, path: "/long" }, "a long reply", tally, lose),
    () => stay(openHttp2, http2, "a gRPC call", tally, lose),
    () => leave(openHttp1, { ...http1, path: "/long" }, tally),
    () => leave(openHttp2, http2, tally),
    async () => {
      const answer = await upload(url);
      if (answer === "answered") tally.answered++;
      else lose(`an upload: ${answer}`);
    },
    async () => {
      if (await isBrokenOff(url)) tally.refused++;
      else lose("a reply that the upstream broke off came as if whole");
    },
    ...tunnelVisits(entrances).map((visit) => async () => {
      await visit();
      tally.answered++;
    }),
    ...tunnelLeavers(entrances).map((visit) => async () => {
      await visit();
      tally.left++;
    }),
  ];
  const runs = [...kinds, ...kinds].map(async (visit) => {
    while (!over.signal.aborted) {
      try {
        await visit();
      } catch (error) {
        lose(String(error));
      }
      // Other visitors, and the readings, share this thread.
      await Bun.sleep(1);
    }
  });
  return {
    stop: async () => {
      over.abort();
      await Promise.all(runs);
    },
  };
}

type Open = typeof openHttp1;

/** Several exchanges on one connection, each to its end. */
async function stay(
  open: Open,
  options: OpenLoopOptions,
  what: string,
  tally: Tally,
  lose: (what: string) => void,
): Promise<void> {
  let settled = Promise.withResolvers<boolean>();
  const client = await open(options, (_lane, isGood) => settled.resolve(isGood));
  for (let visit = 0; visit < VISITS_OF_A_CONNECTION; visit++) {
    settled = Promise.withResolvers();
    sendOne(client);
    const isGood = await within(settled.promise);
    if (isGood === true) tally.answered++;
    else lose(`${what}: ${isGood === undefined ? "no answer in time" : "a bad answer or a closed connection"}`);
    if (isGood !== true) break;
  }
  client.close();
}

/** Goes away while the answer comes. */
async function leave(open: Open, options: OpenLoopOptions, tally: Tally): Promise<void> {
  const client = await open(options, () => undefined);
  sendOne(client);
  await Bun.sleep(tally.left % 4);
  client.close();
  tally.left++;
}

function sendOne(client: Client): void {
  const [lane] = client.lanes;
  if (lane === undefined) return;
  lane.dueAtMs = performance.now();
  lane.send();
  client.flush();
}

async function upload(url: string): Promise<string> {
  const body = new Uint8Array(UPLOAD_BYTES);
  const signal = AbortSignal.timeout(VISIT_MAX_MS);
  const reply = await fetch(`${url}/upload`, {
    method: "POST",
    headers: { host: "app" },
    keepalive: false,
    body,
    signal,
  });
  return reply.status === 200 && (await reply.text()).length === 100 ? "answered" : `status ${reply.status}`;
}

/** The client must see that the reply has no end. */
async function isBrokenOff(url: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(VISIT_MAX_MS);
    const reply = await fetch(`${url}/reset`, { headers: { host: "app" }, keepalive: false, signal });
    // 503 where the reset came before the head was passed on.
    return reply.status === 503 || (await reply.bytes()).length < LONG_REPLY_BYTES;
  } catch (error) {
    return !(error instanceof DOMException);
  }
}

function within(answer: Promise<boolean>): Promise<boolean | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), VISIT_MAX_MS);
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
