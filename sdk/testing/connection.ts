// A connection's handlers against made-up chunks, without a proxy: what of them goes where.
import { bytesOf } from "../content.ts";
import type { ConnectionHandlers } from "../connection.ts";
import { HandledConnection, type Handled } from "../handled-connection.ts";
import type { Side } from "../wit/world.ts";

/** A chunk that comes from a side; `isEnd` with the last. */
export interface MadeChunk {
  readonly from: Side;
  readonly bytes: Uint8Array;
  readonly isEnd?: boolean;
}

/** What reached each side, as Latin-1, and how the connection ended, where a handler ended it. */
export interface Carried {
  readonly upstream: string;
  readonly downstream: string;
  readonly ending: Handled["ending"];
}

/** Leads chunks through the handlers that `open` gives for a new connection, until one ends it. */
export async function carry(
  open: (connection: HandledConnection) => ConnectionHandlers,
  chunks: readonly MadeChunk[],
): Promise<Carried> {
  const reached: Record<Side, Uint8Array[]> = { upstream: [], downstream: [] };
  const connection = new HandledConnection();
  let { ending } = await connection.open("", () => open(connection), undefined);
  for (const { from, bytes, isEnd = false } of chunks) {
    if (ending !== undefined) break;
    const handled = await connection.chunk(from, new Uint8Array(bytes), isEnd);
    for (const side of ["upstream", "downstream"] as const)
      reached[side].push(...handled.written[side].map((content) => bytesOf(content)));
    if (handled.bytes === "pass") reached[from === "downstream" ? "upstream" : "downstream"].push(bytes);
    ({ ending } = handled);
  }
  return { upstream: textOf(reached.upstream), downstream: textOf(reached.downstream), ending };
}

/** Why a promise was rejected; empty where it was not. */
export function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => "", String);
}

function textOf(pieces: readonly Uint8Array[]): string {
  return Buffer.concat(pieces).toString("latin1");
}
