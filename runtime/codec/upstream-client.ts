// What the pool and an attempt know of a connection to an upstream, whichever protocol it speaks.
import type { Exchange } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import type { Reply } from "../exchange/reply.ts";

/** Who sent a request. Each is called at most once. */
export interface Requester {
  /** The reply's head is here; its body waits to be piped. */
  replied(reply: Reply): void;
  /** The connection is free of this exchange; `isReusable` says whether it may take another. */
  released(isReusable: boolean): void;
  /** No reply will come; the connection was released before. */
  failed(failure: Failure): void;
}

/** One request under way on a connection. */
export interface Sending {
  /** Gives up on it, silently: nothing of its requester is called any more. */
  abandon(): void;
  /** The reply's head went out and its rest must not look whole. */
  broken(cause: Failure): void;
}

/** The client side of one connection. Its owner calls `data`, `drained`, `ended`, `closed` and `sweep`. */
export interface UpstreamClient {
  /** Requests sent on it. */
  readonly requests: number;
  /** `127.0.0.1:54321` */
  readonly localAddress: string;
  readonly isOpen: boolean;
  /** How long the upstream says that it may be idle, milliseconds; 0 or nothing where it does not say. */
  readonly idleMaxMs?: number;
  /** Requests that it takes now, beside those that are under way. */
  readonly room: number;
  /** No request is under way. */
  readonly isIdle: boolean;
  /** It may say of a request that nobody looked at it, whatever its method (RFC 9113 §8.7). */
  readonly mayRefuse: boolean;
  /** Sends a request; there must be room. */
  send(exchange: Exchange, requester: Requester): Sending;
  /** Takes no more requests, and closes when those under way are over. */
  retire(): void;
  /** Closes it: in peace where it is idle. */
  close(): void;
  data(chunk: Buffer): void;
  drained(): void;
  ended(): void;
  /** `isReset` where the upstream or the network ended it, not a FIN. */
  closed(isReset: boolean): void;
  /** `nowMs` is monotonic. */
  sweep(nowMs: number): void;
}
