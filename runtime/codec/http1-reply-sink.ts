// Where a reply's body goes on its way to an HTTP/1.1 client: framed, onto the connection.
import type { BodySink } from "../exchange/body.ts";
import type { Protocol } from "../exchange/exchange.ts";
import type { Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import type { Reply } from "../exchange/reply.ts";
import { writeChunk, writeLastChunk } from "./http1-chunked.ts";
import type { SocketWriter } from "./socket-writer.ts";

/** What a reply's sink tells its connection. */
export interface ReplyConnection {
  /** Bytes went out. */
  moved(bytes: number): void;
  /** The reply is out, or (with a failure) was cut. */
  replied(cut: Failure | undefined, trailers?: HeaderMap): void;
}

/** Where a reply's body goes: framed, onto the connection. One for each connection. */
export class ReplySink implements BodySink {
  framing: "length" | "chunked" | "close" = "length";
  readonly #server: ReplyConnection;
  readonly #writer: SocketWriter;
  #reply: Reply | undefined = undefined;

  constructor(server: ReplyConnection, writer: SocketWriter) {
    this.#server = server;
    this.#writer = writer;
    writer.onDrain = () => this.#reply?.body.resume();
  }

  /** The next reply's body, framed by its length or, where it has none, as the client's version can take it. */
  begin(lengthBytes: number | undefined, protocol: Protocol, reply: Reply): void {
    this.#reply = reply;
    if (lengthBytes !== undefined) this.framing = "length";
    else this.framing = protocol === "HTTP/1.1" ? "chunked" : "close";
  }

  /** Everything from here on, as it is, until the upstream's FIN. */
  beginTunnel(reply: Reply): void {
    this.#reply = reply;
    this.framing = "close";
  }

  write(chunk: Buffer, start: number, end: number): boolean {
    this.#server.moved(end - start);
    return this.framing === "chunked"
      ? writeChunk(this.#writer, chunk, start, end)
      : this.#writer.write(chunk, start, end);
  }

  end(trailers: HeaderMap | undefined): void {
    this.#reply = undefined;
    if (this.framing === "chunked") writeLastChunk(this.#writer, trailers);
    this.#server.replied(undefined, trailers);
  }

  abort(cut: Failure): void {
    this.#reply = undefined;
    this.#server.replied(cut);
  }
}
