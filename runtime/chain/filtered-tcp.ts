// A connection that is passed on, with filters between its two sides. To the listener it is the connection, to the proxy of
// its bytes it is the downstream's socket: neither of them knows of filters. Bytes go down the chain, answers come up.
import type { Side } from "../../sdk/wit/world.ts";
import { LARGE_CHUNK_BYTES } from "../codec/chunk.ts";
import type { Transport } from "../codec/socket-writer.ts";
import { TcpProxy, type TcpPlan } from "../codec/tcp-proxy.ts";
import type { Clock } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import type { Observer } from "../exchange/observer.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import type { RunObserver } from "./chain.ts";
import type { ConnectionVerdict } from "./connection.ts";
import { TcpStage, type Line, type TcpLink } from "./tcp-stage.ts";

/** What it stands between. */
export interface FilteredTcpParts {
  readonly transport: Transport;
  readonly session: TcpSession;
  /** Where it goes, unless a filter says otherwise. */
  readonly plan: TcpPlan;
  /** Where it goes that a filter sends to that cluster. */
  readonly planFor: (cluster: string) => TcpPlan | undefined;
  readonly links: readonly TcpLink[];
  readonly clock: Clock;
  readonly observer: Pick<Observer, "tcpOpened" | "tcpEnded">;
  /** Told of the filters' calls. */
  readonly runs: RunObserver;
  /** Called once, when all is over. */
  readonly over: () => void;
}

/** Bytes from a side that may wait for filters before that side rests. */
const WAITING_BYTES = 64 * 1024;
const NO_BYTES = new Uint8Array(0);
/** What a termination detail may be made of: it stands between spaces in the access log. */
const UNPRINTABLE = /[^\w.:/-]+/gu;

export class FilteredTcp implements Transport, Line {
  readonly #parts: FilteredTcpParts;
  readonly #stages: readonly TcpStage[];
  #plan: TcpPlan | undefined;
  #proxy: TcpProxy | undefined = undefined;
  #hasProxyEnded = false;
  #received = 0;
  #sent = 0;

  // Towards the downstream.
  #unsent: Uint8Array[] = [];
  #ending: "shutdown" | "end" = "shutdown";
  /** The upstream's end was given to the filters, came through them, and was sent on. */
  #isEndTaken = false;
  #isEndDue = false;
  #isShut = false;
  /** The proxy was told that there is no room. */
  #hasRefused = false;

  // Towards the upstream.
  #hasEnded = false;
  #isEndPassed = false;
  #isProxyFull = false;
  #isPaused = false;

  /** Sides whose own answers have to be taken before more is read of them. */
  readonly #mustTake: Record<Side, boolean> = { downstream: false, upstream: false };
  /** A filter ends it: what is below that filter is over. */
  #isClosing = false;
  #isGone = false;
  #isOver = false;

  constructor(parts: FilteredTcpParts) {
    this.#parts = parts;
    this.#plan = parts.plan;
    const { session, clock, runs } = parts;
    this.#stages = parts.links.map((link) => new TcpStage(link, session, this, runs, clock));
  }

  /** Asks the first filter; called once the listener knows that the connection is its own. */
  start(): void {
    this.#begin(0);
  }

  // As the listener sees it.

  data(chunk: Buffer): void {
    this.#received += chunk.length;
    this.#proxy?.touch();
    this.#count();
    this.#pass(-1, "downstream", chunk, false, false);
  }

  drained(): void {
    const { transport } = this.#parts;
    while (this.#unsent.length > 0) {
      const [first = NO_BYTES] = this.#unsent;
      const sent = transport.write(first, 0, first.length);
      if (sent < 0) return;
      if (sent < first.length) {
        this.#unsent[0] = first.subarray(sent);
        return;
      }
      this.#unsent.shift();
    }
    this.#mustTake.downstream = false;
    this.#shut();
    this.moved();
  }

  ended(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#pass(-1, "downstream", NO_BYTES, true, false);
  }

  closed(isReset: boolean): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#unsent = [];
    // Once ours was sent, Bun tells of the downstream's FIN by the end of the socket alone.
    if (!isReset && this.#isShut && !this.#isClosing && !this.#hasProxyEnded) {
      if (this.#isEndPassed) this.#proxy?.closed(false);
      else this.ended();
      return;
    }
    this.#stop(0);
    const { session } = this.#parts;
    if (this.#proxy !== undefined) this.#proxy.closed(isReset);
    else {
      if (session.flags === "-") session.flags = "DC";
      this.#openNowhere();
    }
    this.#finish();
  }

  sweep(nowMs: number): void {
    for (const stage of this.#stages) stage.sweep(nowMs);
    this.#proxy?.sweep(nowMs);
  }

  // As the proxy of its bytes sees it: the downstream's socket.

  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.#isGone || this.#isClosing) return -1;
    if (!this.#hasRoom()) {
      this.#hasRefused = true;
      return 0;
    }
    this.#pass(this.#stages.length, "upstream", bytes.subarray(offset, offset + length), false, true);
    return length;
  }

  pause(): void {
    this.#isProxyFull = true;
    this.#rest();
  }

  resume(): void {
    this.#isProxyFull = false;
    this.#mustTake.upstream = false;
    this.moved();
  }

  shutdown(): void {
    this.#end("shutdown");
  }

  end(): void {
    this.#end("end");
  }

  terminate(): void {
    this.#stop(0);
    this.#parts.transport.terminate();
  }

  // As its stages see it.

  forward(stage: TcpStage, source: Side, bytes: Uint8Array, isEnd: boolean, isBorrowed: boolean): void {
    this.#pass(this.#stages.indexOf(stage), source, bytes, isEnd, isBorrowed);
  }

  begun(stage: TcpStage): void {
    this.#begin(this.#stages.indexOf(stage) + 1);
  }

  route(cluster: string): void {
    this.#plan = this.#parts.planFor(cluster);
  }

  answered(source: Side): void {
    const isFull = source === "downstream" ? this.#unsent.length > 0 : this.#isProxyFull;
    if (isFull) this.#mustTake[source] = true;
    this.#rest();
  }

  moved(): void {
    this.#rest();
    if (!this.#hasRefused || !this.#hasRoom()) return;
    this.#hasRefused = false;
    this.#proxy?.drained();
    this.#count();
  }

  close(stage: TcpStage, { isReset, reason, written }: Extract<ConnectionVerdict, { kind: "close" }>): void {
    if (this.#isOver || this.#isClosing) return;
    const { session } = this.#parts;
    const index = this.#stages.indexOf(stage);
    const why = reason === "" ? "" : `:${reason.slice(0, 100).replaceAll(UNPRINTABLE, "_")}`;
    session.flags = "UAEX";
    session.details = `closed_by_filter{${stage.link.filter.name}${why}}`;
    if (isReset) {
      this.#abort();
      return;
    }
    for (const bytes of written.upstream) this.#pass(index, "downstream", bytes, false, false);
    this.#isClosing = true;
    this.#ending = "end";
    this.#isEndTaken = true;
    this.#stop(index);
    for (const bytes of written.downstream) this.#pass(index, "upstream", bytes, false, false);
    this.#pass(index, "upstream", NO_BYTES, true, false);
    if (this.#proxy !== undefined) this.#proxy.close();
    else this.#openNowhere();
    this.#finish();
  }

  fail(stage: TcpStage, _cause: Failure): void {
    if (this.#isOver) return;
    const { session } = this.#parts;
    session.flags = "LR";
    session.details = `filter_failed{${stage.link.filter.name}}`;
    this.#abort();
  }

  #begin(index: number): void {
    if (this.#isGone || this.#isClosing) return;
    const stage = this.#stages[index];
    if (stage !== undefined) {
      stage.begin();
      return;
    }
    const { session, observer, clock } = this.#parts;
    const plan = this.#plan ?? NOWHERE;
    const proxy = new TcpProxy(this, {
      session,
      upstream: plan.upstreamFor(session),
      idleTimeoutMs: plan.idleTimeoutMs,
      clock,
      ended: () => {
        this.#hasProxyEnded = true;
        this.#finish();
      },
    });
    this.#proxy = proxy;
    observer.tcpOpened(session);
    proxy.start();
  }

  /** To the next stage in that direction, or out. */
  #pass(from: number, source: Side, bytes: Uint8Array, isEnd: boolean, isBorrowed: boolean): void {
    const stage = this.#stages[source === "downstream" ? from + 1 : from - 1];
    if (stage !== undefined) stage.take(source, bytes, isEnd, isBorrowed);
    else if (source === "downstream") this.#sendUp(bytes, isEnd);
    else this.#sendDown(bytes, isEnd);
  }

  #sendUp(bytes: Uint8Array, isEnd: boolean): void {
    const proxy = this.#proxy;
    if (proxy === undefined || this.#hasProxyEnded) return;
    if (bytes.length > 0) proxy.data(ownedBuffer(bytes));
    this.#count();
    if (!isEnd) return;
    this.#isEndPassed = true;
    if (this.#isGone) proxy.closed(false);
    else proxy.ended();
  }

  #sendDown(bytes: Uint8Array, isEnd: boolean): void {
    if (this.#isGone) return;
    if (bytes.length > 0) {
      this.#sent += bytes.length;
      this.#proxy?.touch();
      const sent = this.#unsent.length > 0 ? 0 : this.#parts.transport.write(bytes, 0, bytes.length);
      // The socket is gone; its `closed` follows.
      if (sent < 0) return;
      if (sent < bytes.length) this.#unsent.push(new Uint8Array(bytes.subarray(sent)));
      this.#count();
    }
    if (!isEnd) return;
    this.#isEndDue = true;
    this.#shut();
  }

  #end(ending: "shutdown" | "end"): void {
    if (this.#isClosing) return;
    if (ending === "end") this.#ending = ending;
    if (this.#isEndTaken) {
      if (this.#isShut && ending === "end") this.#parts.transport.end();
      return;
    }
    this.#isEndTaken = true;
    this.#pass(this.#stages.length, "upstream", NO_BYTES, true, false);
  }

  #shut(): void {
    if (!this.#isEndDue || this.#isShut || this.#unsent.length > 0 || this.#isGone) return;
    this.#isShut = true;
    if (this.#ending === "end") this.#parts.transport.end();
    else this.#parts.transport.shutdown();
  }

  #hasRoom(): boolean {
    return this.#unsent.length === 0 && !this.#mustTake.upstream && this.#waitingBytes("upstream") < WAITING_BYTES;
  }

  /** The downstream rests while nobody takes what it sends. */
  #rest(): void {
    const mustRest =
      this.#isProxyFull || this.#mustTake.downstream || this.#waitingBytes("downstream") >= WAITING_BYTES;
    if (mustRest === this.#isPaused || this.#isGone) return;
    this.#isPaused = mustRest;
    if (mustRest) this.#parts.transport.pause();
    else this.#parts.transport.resume();
  }

  #waitingBytes(source: Side): number {
    let sum = 0;
    for (const stage of this.#stages) sum += stage.waitingBytes(source);
    return sum;
  }

  #abort(): void {
    this.#stop(0);
    if (this.#proxy === undefined) this.#openNowhere();
    else this.#proxy.abort();
    this.#parts.transport.terminate();
  }

  /** Nobody was connected to, and nobody will be. */
  #openNowhere(): void {
    if (this.#hasProxyEnded) return;
    this.#hasProxyEnded = true;
    this.#parts.observer.tcpOpened(this.#parts.session);
  }

  /** Stages from `index` on ask nothing any more. */
  #stop(index: number): void {
    for (const stage of this.#stages.slice(index)) stage.stop();
  }

  /** The session's bytes are the downstream's own, not what filters made of them. */
  #count(): void {
    const { session } = this.#parts;
    session.bytesReceived = this.#received;
    session.bytesSent = this.#sent;
  }

  /** Both sides are over. */
  #finish(): void {
    if (this.#isOver || !this.#isGone || !this.#hasProxyEnded) return;
    this.#isOver = true;
    const { session, observer, clock, over } = this.#parts;
    this.#count();
    session.endedMonoMs = clock.monotonic();
    observer.tcpEnded(session);
    for (const stage of this.#stages) stage.end();
    over();
  }
}

/** A filter chose a cluster that is not there: snapshots are checked, so that this is for one that went meanwhile. */
const NOWHERE: TcpPlan = {
  idleTimeoutMs: 0,
  upstreamFor: () => ({
    start: (proxy) => {
      proxy.session.flags = "NC";
      proxy.refused();
    },
    over: () => undefined,
  }),
};

/** The proxy frees the memory of large chunks once they are sent: a part of one must not take the rest along. */
function ownedBuffer(bytes: Uint8Array): Buffer {
  const isPart = bytes.byteLength !== bytes.buffer.byteLength;
  if (isPart && bytes.length >= LARGE_CHUNK_BYTES) return Buffer.from(bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
