// Bytes from one connection to another, both ways, as they are. A chunk goes to the other socket in one write; what that
// does not take waits, and the socket it came from is paused, so that each direction holds one turn's chunks at most. FIN
// crosses as FIN and RST as RST, so that neither side takes a cut stream for a whole one.
import type { Clock } from "../exchange/exchange.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import { freeChunk } from "./chunk.ts";
import type { Transport } from "./socket-writer.ts";

/** The side that connects; `upstream/tcp.ts` carries it out. */
export interface TcpUpstream {
  /** Begins to connect; each try tells `TcpProxy` what became of it. */
  start(proxy: TcpProxy): void;
  /** The session is over. */
  over(): void;
}

/** Where a connection goes that is not read. */
export interface TcpPlan {
  readonly idleTimeoutMs: number;
  /** The side that connects, for one session; it fills in what it knows of its destination. */
  readonly upstreamFor: (session: TcpSession) => TcpUpstream;
}

export interface TcpProxyOptions {
  readonly session: TcpSession;
  readonly upstream: TcpUpstream;
  /** No byte moved for this long: closed. `0` is never. */
  readonly idleTimeoutMs: number;
  readonly clock: Clock;
  readonly ended: (session: TcpSession) => void;
}

/** Bytes that may wait for an upstream that is still connecting, before the downstream is paused. */
const EARLY_MAX_BYTES = 64 * 1024;

/** How long the last bytes of a client that has gone may wait for the upstream to take them. */
const LINGER_MS = 30_000;

/** One direction: from a source, to a transport. */
class Pipe {
  /** The last byte was taken from the source: FIN follows what waits. */
  isEnded = false;
  /** FIN was sent. */
  isShut = false;
  /** The target has sent its own FIN: ours closes the socket. */
  isTargetEnded = false;
  readonly #source: Transport;
  #target: Transport | undefined = undefined;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isPaused = false;

  constructor(source: Transport, target: Transport | undefined) {
    this.#source = source;
    this.#target = target;
  }

  write(chunk: Buffer): void {
    let sent = 0;
    if (this.#target !== undefined && this.#waiting.length === 0) {
      sent = this.#target.write(chunk, 0, chunk.length);
      if (sent === chunk.length) {
        freeChunk(chunk);
        return;
      }
      // The socket is gone; its `closed` follows.
      if (sent < 0) return;
    }
    this.#waiting.push(chunk.subarray(sent));
    this.#waitingBytes += chunk.length - sent;
    if (this.#target !== undefined || this.#waitingBytes > EARLY_MAX_BYTES) this.#pause();
  }

  /** The source sent FIN. */
  end(): void {
    this.isEnded = true;
    this.#shut();
  }

  /** The target is open, or has room again. */
  drained(target: Transport): void {
    this.#target = target;
    while (this.#waiting.length > 0) {
      const [first = EMPTY] = this.#waiting;
      const sent = target.write(first, 0, first.length);
      if (sent < 0) return;
      this.#waitingBytes -= sent;
      if (sent < first.length) {
        this.#waiting[0] = first.subarray(sent);
        return;
      }
      this.#waiting.shift();
      freeChunk(first);
    }
    this.#shut();
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#source.resume();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#source.pause();
  }

  #shut(): void {
    if (!this.isEnded || this.isShut || this.#waiting.length > 0 || this.#target === undefined) return;
    this.isShut = true;
    if (this.isTargetEnded) this.#target.end();
    else this.#target.shutdown();
  }
}

const EMPTY = Buffer.alloc(0);

/** One session. The listener calls `data`, `drained`, `ended`, `closed` and `sweep`; the upstream side the rest. */
export class TcpProxy {
  readonly session: TcpSession;
  readonly #transport: Transport;
  readonly #options: TcpProxyOptions;
  readonly #up: Pipe;
  #upstream: Transport | undefined = undefined;
  #down: Pipe | undefined = undefined;
  #isOver = false;
  /** The downstream is gone in order, and the last of its bytes wait for the upstream. */
  #lingers: ReturnType<typeof setTimeout> | undefined = undefined;
  /** Monotonic; the last time a byte moved, to the sweep's precision. */
  #activeAtMs: number;

  constructor(transport: Transport, options: TcpProxyOptions) {
    this.session = options.session;
    this.#transport = transport;
    this.#options = options;
    this.#up = new Pipe(transport, undefined);
    this.#activeAtMs = options.clock.monotonic();
  }

  /** Begins to connect. Called once, when the listener knows whose connection this is. */
  start(): void {
    this.#options.upstream.start(this);
  }

  data(chunk: Buffer): void {
    this.#activeAtMs = 0;
    this.session.bytesReceived += chunk.length;
    this.#up.write(chunk);
  }

  drained(): void {
    this.#activeAtMs = 0;
    this.#down?.drained(this.#transport);
  }

  ended(): void {
    if (this.#down !== undefined) this.#down.isTargetEnded = true;
    this.#up.end();
    if (this.#down?.isShut ?? false) this.#transport.end();
  }

  /** The downstream's socket is gone. Where it did not end in order, the upstream must not take what it has for whole. */
  closed(isReset: boolean): void {
    if (this.#isOver) return;
    // Once ours was sent, Bun tells of its FIN by the end of the socket alone.
    if (!isReset && (this.#down?.isShut ?? false)) {
      this.#up.end();
      if (this.#up.isShut) this.close();
      else this.#lingers = setTimeout(() => this.close(), LINGER_MS);
      return;
    }
    if (this.session.flags === "-" && this.#upstream !== undefined) this.session.flags = "DC";
    this.#finish();
    this.#upstream?.terminate();
  }

  sweep(nowMs: number): void {
    const { idleTimeoutMs } = this.#options;
    if (this.#activeAtMs === 0) this.#activeAtMs = nowMs;
    else if (idleTimeoutMs > 0 && nowMs - this.#activeAtMs >= idleTimeoutMs) this.close();
  }

  /** Bytes moved that did not come here: filters answered them. */
  touch(): void {
    this.#activeAtMs = 0;
  }

  /** Ends both sides at once, by RST. */
  abort(): void {
    if (this.#isOver) return;
    this.#finish();
    this.#transport.terminate();
    this.#upstream?.terminate();
  }

  /** Nothing more comes of it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** For the upstream side: it is open. */
  opened(upstream: Transport): void {
    if (this.#isOver) {
      upstream.terminate();
      return;
    }
    this.#activeAtMs = 0;
    this.#upstream = upstream;
    this.#down = new Pipe(upstream, this.#transport);
    this.#down.isTargetEnded = this.#up.isEnded;
    this.#up.drained(upstream);
  }

  /** For the upstream side: it will not open. */
  refused(): void {
    if (!this.#isOver) this.close();
  }

  upstreamData(chunk: Buffer): void {
    this.#activeAtMs = 0;
    this.session.bytesSent += chunk.length;
    this.#down?.write(chunk);
  }

  upstreamDrained(): void {
    this.#activeAtMs = 0;
    if (this.#upstream === undefined) return;
    this.#up.drained(this.#upstream);
    if (this.#lingers !== undefined && this.#up.isShut) this.close();
  }

  upstreamEnded(): void {
    this.#up.isTargetEnded = true;
    this.#down?.end();
    if (this.#up.isShut) this.#upstream?.end();
  }

  upstreamClosed(isReset: boolean): void {
    if (this.#isOver) return;
    if (!isReset && this.#up.isShut) this.#down?.end();
    const isOrderly = this.#down?.isEnded ?? false;
    this.#upstream = undefined;
    if (isOrderly) {
      // Its last bytes may wait for a slow downstream: FIN follows them, and the end of the downstream ends the session.
      if (this.#down?.isShut ?? false) this.close();
      return;
    }
    if (this.session.flags === "-") this.session.flags = "UC";
    this.#finish();
    this.#transport.terminate();
  }

  /** Ends both sides in order. */
  close(): void {
    // Ending one side may have told of the other's end meanwhile.
    if (this.#isOver) return;
    this.#finish();
    this.#transport.end();
    this.#upstream?.end();
  }

  /** Ending one side may tell of the other's end before it returns: a session ends, and is counted, once. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#lingers);
    this.#options.upstream.over();
    this.#options.ended(this.session);
  }
}
