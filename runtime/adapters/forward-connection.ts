// A connection to a server of the forward protocol: one message at a time, each with its acknowledgement. What goes wrong
// closes it, and the next message opens another.
import { decode } from "@msgpack/msgpack";
import type { Socket } from "bun";
import type { Schedule } from "../exchange/exchange.ts";
import type { Result } from "../exchange/failure.ts";

export interface ForwardParts {
  readonly host: string;
  readonly port: number;
  /** Opening it, and each message with its acknowledgement. */
  readonly timeoutMs: number;
  readonly schedule: Schedule;
}

type Outcome = Result<undefined, string>;

/** Bytes of an acknowledgement. */
const ACK_MAX_BYTES = 4096;
const DONE: Outcome = { ok: true, value: undefined };

export class ForwardConnection {
  readonly #parts: ForwardParts;
  #socket: Socket | undefined = undefined;
  /** What is still to be written of the message. */
  #unsent: Uint8Array | undefined = undefined;
  #received: Buffer = Buffer.alloc(0);
  /** The message that waits: what acknowledges it, and who is told. */
  #waiting: { readonly chunk: string | undefined; readonly settle: (outcome: Outcome) => void } | undefined = undefined;

  constructor(parts: ForwardParts) {
    this.#parts = parts;
  }

  /** Sends one message; resolves when its chunk was acknowledged, or it was written where it has none. */
  async send(message: Uint8Array, chunk: string | undefined): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const callOff = this.#parts.schedule(
      () => this.#fail(`has not answered within ${this.#parts.timeoutMs} ms`),
      this.#parts.timeoutMs,
    );
    this.#waiting = { chunk, settle: resolve };
    this.#unsent = message;
    void this.#open();
    const outcome = await promise;
    callOff();
    return outcome;
  }

  close(): void {
    this.#socket?.terminate();
    this.#socket = undefined;
  }

  async #open(): Promise<void> {
    if (this.#socket !== undefined) return this.#flush();
    const { host, port } = this.#parts;
    try {
      const socket = await Bun.connect({
        hostname: host,
        port,
        socket: {
          data: (_, bytes) => this.#read(bytes),
          drain: () => this.#flush(),
          close: () => this.#fail("closed the connection"),
          error: (_, error) => this.#fail(error.message),
        },
      });
      // Given up meanwhile.
      if (this.#waiting === undefined) socket.terminate();
      else this.#socket = socket;
      this.#flush();
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
    return undefined;
  }

  #flush(): void {
    const { chunk } = this.#waiting ?? {};
    if (this.#unsent === undefined || this.#socket === undefined) return;
    const written = this.#socket.write(this.#unsent);
    this.#unsent = written >= this.#unsent.length ? undefined : this.#unsent.subarray(Math.max(0, written));
    if (this.#unsent === undefined && chunk === undefined) this.#settle(DONE);
  }

  /** `{"ack": chunk}`; it may come in pieces. */
  #read(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    if (this.#received.length > ACK_MAX_BYTES) return this.#fail("answered something that is no acknowledgement");
    let decoded: unknown;
    try {
      decoded = decode(this.#received);
    } catch {
      // Not whole yet.
      return undefined;
    }
    this.#received = Buffer.alloc(0);
    const ack = typeof decoded === "object" && decoded !== null && "ack" in decoded ? decoded.ack : undefined;
    if (ack === this.#waiting?.chunk) this.#settle(DONE);
    else this.#fail("acknowledged something else");
    return undefined;
  }

  #settle(outcome: Outcome): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.settle(outcome);
  }

  #fail(error: string): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#unsent = undefined;
    this.#received = Buffer.alloc(0);
    this.#settle({ ok: false, error });
    socket?.terminate();
  }
}
