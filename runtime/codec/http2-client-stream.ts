// One request to an upstream over HTTP/2, and its reply.
import { EMPTY_BODY } from "../exchange/body.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { failure, type Failure } from "../exchange/failure.ts";
import { HeaderMap } from "../exchange/headers.ts";
import { Reply } from "../exchange/reply.ts";
import { loadBlock, type FieldBlock } from "./hpack-block.ts";
import { ErrorCode } from "./http2-frames.ts";
import { Http2Stream, type StreamConnection } from "./http2-stream.ts";
import type { Requester, Sending } from "./upstream-client.ts";

/** Interim replies before the final one; more is an upstream that never answers. */
const INTERIM_MAX = 100;

/** A request and its reply. Reads as the reply's body, and is where the request's body goes. */
export class ClientStream extends Http2Stream implements Sending {
  isReplied = false;
  readonly #exchange: Exchange;
  #requester: Requester | undefined;
  #isTunnel = false;
  #interims = 0;

  constructor(connection: StreamConnection, id: number, exchange: Exchange, requester: Requester) {
    super(connection, id);
    this.#exchange = exchange;
    this.#requester = requester;
    this.source = exchange.body;
  }

  /** The request's head went out; with `isEnd` there is nothing else of it. */
  sent(isEnd: boolean): void {
    if (isEnd) this.markOutEnded();
    this.#exchange.body.pipe(this);
  }

  /** A head came: of an interim reply or of the reply. */
  replyIn(block: FieldBlock, isEnd: boolean): void {
    const problem = this.#problemOf(block, isEnd);
    if (problem !== "") return this.broke(ErrorCode.PROTOCOL_ERROR, problem);
    const { status } = block;
    const headers = new HeaderMap();
    loadBlock(block, headers);
    this.activeAtMs = 0;
    if (status < 200) {
      this.#exchange.interims?.interim(status, headers);
      return undefined;
    }
    const { method, upgrade } = this.#exchange;
    const isBodiless = method === "HEAD" || status === 204 || status === 304;
    this.isReplied = true;
    this.#isTunnel = upgrade !== "" && status < 300;
    this.expectedBytes = isBodiless ? 0 : block.contentLength;
    if (isBodiless || isEnd) this.lengthBytes = 0;
    else this.lengthBytes = block.contentLength >= 0 ? block.contentLength : undefined;
    // Past the codec an accepted upgrade is what HTTP/1.1 calls it (RFC 8441 §5.1).
    const said = this.#isTunnel && upgrade !== "connect" ? 101 : status;
    this.#requester?.replied(new Reply(said, "", headers, isEnd ? EMPTY_BODY : this));
    if (isEnd) this.receiveEnd(undefined);
    return undefined;
  }

  /** Nobody asks any more. */
  abandon(): void {
    this.#requester = undefined;
    this.connection.reset(this, ErrorCode.CANCEL);
  }

  broken(cause: Failure): void {
    this.connection.reset(this, ErrorCode.CANCEL);
    this.#fail(cause);
  }

  /** The request's body will not become whole: the upstream must not take it for whole. */
  override abort(cause: Failure): void {
    if (this.isClosed) return;
    this.broken(cause);
  }

  override broke(code: ErrorCode, message: string): void {
    if (this.isClosed) return;
    this.connection.reset(this, code);
    this.#fail(failure("upstream_protocol", message));
  }

  override wasReset(code: number): void {
    // Refused is said before anything was done with the request (RFC 9113 §8.7).
    const retry = code === ErrorCode.REFUSED_STREAM && !this.isReplied ? "always" : "never";
    this.#fail(failure("upstream_reset", `the upstream reset the stream with code ${code}`, retry));
  }

  override lost(cause: Failure): void {
    this.#fail(cause);
  }

  override receiveEnd(trailers: HeaderMap | undefined): void {
    if (!this.isReplied) return this.broke(ErrorCode.PROTOCOL_ERROR, "the end of a stream before its HEADERS");
    super.receiveEnd(trailers);
    // An early reply: the request's rest is unwanted. In a tunnel each direction ends for itself.
    if (this.isClosed || this.isOutEnded || this.#isTunnel) return undefined;
    this.connection.reset(this, ErrorCode.CANCEL);
    this.#exchange.body.cancel();
    return this.#release();
  }

  protected override unwanted(): void {
    if (this.isClosed) return;
    this.connection.reset(this, ErrorCode.CANCEL);
    if (!this.isOutEnded) this.#exchange.body.cancel();
    this.#release();
  }

  protected override overfull(): void {
    // Of an upstream's connection nothing is too much.
  }

  protected override admitsContent(): boolean {
    if (this.isReplied) return true;
    this.broke(ErrorCode.PROTOCOL_ERROR, "DATA before HEADERS");
    return false;
  }

  protected override outEnded(): void {
    // The reply is still to come.
  }

  protected override finished(): void {
    this.#release();
  }

  #problemOf(block: FieldBlock, isEnd: boolean): string {
    const { status } = block;
    if (block.malformed !== "") return block.malformed;
    if (block.isTooLarge) return "the reply's head is beyond its limits";
    if (status < 200) {
      if (status === 101) return "101 has no meaning in HTTP/2";
      if (isEnd) return "an interim reply that ends its stream";
      return ++this.#interims > INTERIM_MAX ? "too many interim replies" : "";
    }
    const isBodiless = this.#exchange.method === "HEAD" || status === 204 || status === 304;
    return isEnd && !isBodiless && block.contentLength > 0 ? "content-length without DATA" : "";
  }

  #fail(cause: Failure): void {
    if (this.isInEnded) {
      // The reply is whole; only the rest of the request is lost.
      if (!this.isOutEnded) this.#exchange.body.cancel();
      return this.#release();
    }
    const requester = this.#requester;
    this.#requester = undefined;
    requester?.released(true);
    if (this.isReplied) this.cutIn(cause);
    else requester?.failed(cause);
    return undefined;
  }

  #release(): void {
    const requester = this.#requester;
    this.#requester = undefined;
    requester?.released(true);
  }
}
