// A client that always has a request under way, on one connection, and knows whether one was lost.
import { connect, type Socket } from "node:net";

/** Sends the next request as soon as a reply is whole, until a reply says `Connection: close`. */
export class BusyClient {
  answered = 0;
  /** A request was sent and its reply did not come whole. */
  isLost = false;
  /** A reply said that the connection ends. */
  wasTold = false;
  readonly ended: Promise<void>;
  readonly #request: string;
  readonly #replyBytes: number;
  #text = "";
  #isStopping = false;

  constructor(port: number, path: string, replyBytes: number) {
    this.#request = `GET ${path} HTTP/1.1\r\nHost: app\r\n\r\n`;
    this.#replyBytes = replyBytes;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    socket.on("connect", () => socket.write(this.#request));
    socket.on("data", (chunk) => this.#take(chunk.toString("latin1"), socket));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.isLost = !this.wasTold && !this.#isStopping;
      resolve();
    });
  }

  /** Sends no more once the reply that is awaited is whole. */
  stop(): void {
    this.#isStopping = true;
  }

  #take(text: string, socket: Socket): void {
    this.#text += text;
    const headEnd = this.#text.indexOf("\r\n\r\n");
    if (headEnd < 0 || this.#text.length < headEnd + 4 + this.#replyBytes) return;
    this.answered++;
    this.wasTold = /\r\nconnection: close\r\n/iu.test(this.#text.slice(0, headEnd + 2));
    this.#text = "";
    if (this.wasTold || this.#isStopping) socket.end();
    else socket.write(this.#request);
  }
}
