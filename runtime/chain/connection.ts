// What the chain of a connection runs: native and sandboxed filters look alike from here.
import type { Side } from "../../sdk/wit/world.ts";
import type { Ending, Watched } from "../../sdk/handled-connection.ts";
import type { Failure } from "../exchange/failure.ts";
import type { Edits } from "./edits.ts";

/** What a handler decided about a connection or some of its bytes; nothing of it is checked or applied yet. */
export type ConnectionDecided =
  | {
      readonly kind: "decided";
      /** What becomes of the bytes; `more` is of first bytes that do not tell yet. */
      readonly bytes: "pass" | "drop" | "more";
      /** What goes to each side, before the bytes where those pass. Nobody else holds it. */
      readonly written: Readonly<Record<Side, readonly Uint8Array[]>>;
      readonly edits: Edits;
      /** One of the filter's upstreams. */
      readonly route: string | undefined;
      readonly ending: Ending | undefined;
      readonly watched: readonly Watched[];
    }
  /** The message is for logs. */
  | { readonly kind: "failed"; readonly message: string };

/** The calls of one filter about one connection, one at a time. */
export interface ConnectionCalls {
  /** `head` holds what the filter reads of it. */
  open(head: string): ConnectionDecided | Promise<ConnectionDecided>;
  /** `bytes` are read during the call only. */
  chunk(source: Side, bytes: Uint8Array, isEnd: boolean): ConnectionDecided | Promise<ConnectionDecided>;
  /** It is over, and nothing is asked any more; what waits is given up. With a head the filter is told. */
  end(head: string | undefined): ConnectionDecided | Promise<ConnectionDecided> | undefined;
  /** Fuel of the call that ended last. */
  readonly fuelUsed: number;
}

/** What a filter decided, checked. Edits were applied to the session already. */
export type ConnectionVerdict =
  | {
      readonly kind: "proceed";
      readonly bytes: "pass" | "drop" | "more";
      readonly written: Readonly<Record<Side, readonly Uint8Array[]>>;
      /** In the place of the route's. */
      readonly cluster: string | undefined;
      readonly watched: readonly Watched[];
    }
  | {
      readonly kind: "close";
      readonly isReset: boolean;
      readonly reason: string;
      readonly written: Readonly<Record<Side, readonly Uint8Array[]>>;
    }
  | { readonly kind: "failed"; readonly failure: Failure };

/** One filter at one connection. */
export interface ConnectionRun {
  begin(): ConnectionVerdict | Promise<ConnectionVerdict>;
  /** The first bytes, or the next ones of a side. */
  chunk(source: Side, bytes: Uint8Array, isEnd: boolean): ConnectionVerdict | Promise<ConnectionVerdict>;
  /** Called once, whatever became of it. `undefined` where the filter was not told. */
  end(): ConnectionVerdict | Promise<ConnectionVerdict> | undefined;
  /** How long first bytes are waited for. */
  readonly deadlineMs: number;
  readonly fuelUsed: number;
}

/** Nothing goes to either side. */
export const NOTHING_WRITTEN: Readonly<Record<Side, readonly Uint8Array[]>> = { downstream: [], upstream: [] };
