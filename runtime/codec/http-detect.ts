// HTTP/1.1 and HTTP/2 with prior knowledge on one port: the first bytes tell them apart (RFC 9113 §3.3).
import type { Downstream } from "../exchange/exchange.ts";
import type { Connection } from "../listener/listener.ts";
import { Http1Server, type Front } from "./http1-server.ts";
import { PREFACE } from "./http2-frames.ts";
import { Http2Server } from "./http2-server.ts";
import type { Transport } from "./socket-writer.ts";

/** The part of the preface that no request of HTTP/1.1 begins with. */
const TELLING_BYTES = 16;

/** A connection whose first bytes are still to come; then whichever codec they ask for. */
export class HttpDetect implements Connection {
  readonly #transport: Transport;
  readonly #downstream: Downstream;
  readonly #front: Front;
  readonly #openedAtMs: number;
  #codec: Connection | undefined = undefined;
  #first: Buffer | undefined = undefined;

  constructor(transport: Transport, downstream: Downstream, front: Front) {
    this.#transport = transport;
    this.#downstream = downstream;
    this.#front = front;
    this.#openedAtMs = front.clock.monotonic();
  }

  data(chunk: Buffer): void {
    if (this.#codec !== undefined) return this.#codec.data(chunk);
    const first = this.#first === undefined ? chunk : Buffer.concat([this.#first, chunk]);
    const length = Math.min(first.length, TELLING_BYTES);
    const isHttp2 = PREFACE.compare(first, 0, length, 0, length) === 0;
    if (isHttp2 && length < TELLING_BYTES) {
      this.#first = first;
      return undefined;
    }
    this.#first = undefined;
    return this.#choose(isHttp2).data(first);
  }

  drained(): void {
    this.#codec?.drained();
  }

  ended(): void {
    if (this.#codec === undefined) this.#transport.end();
    else this.#codec.ended();
  }

  closed(isReset: boolean): void {
    this.#codec?.closed(isReset);
  }

  sweep(nowMs: number): void {
    if (this.#codec !== undefined) return this.#codec.sweep(nowMs);
    // A connection that says nothing is an idle one of HTTP/1.1.
    const { idleTimeoutMs, headTimeoutMs } = this.#front.limits;
    const waitMs = this.#first === undefined ? idleTimeoutMs : headTimeoutMs;
    if (this.#front.isDraining || (waitMs > 0 && nowMs - this.#openedAtMs >= waitMs)) this.#transport.terminate();
    return undefined;
  }

  #choose(isHttp2: boolean): Connection {
    const Codec = isHttp2 ? Http2Server : Http1Server;
    this.#codec = new Codec(this.#transport, this.#downstream, this.#front);
    return this.#codec;
  }
}
