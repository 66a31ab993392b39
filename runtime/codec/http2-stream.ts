// One stream of either side: a body that comes in and a body that goes out, each with a window of its own (RFC 9113 §5.2).
// What comes in is credited to the peer as its reader takes it, so a stalled reader stops its own stream and holds one
// window of memory at most; what goes out and has no window waits here, one chunk of it, and its source is asked to wait.
import type { Body, BodySink } from "../exchange/body.ts";
import type { Failure } from "../exchange/failure.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { ErrorCode, WINDOW_MAX_BYTES } from "./http2-frames.ts";
import type { FrameWriter } from "./http2-writer.ts";

/** What a stream asks of its connection. */
export interface StreamConnection {
  readonly writer: FrameWriter;
  /** What the peer still takes over all streams. */
  sendWindow: number;
  /** What each new stream may be sent. */
  readonly peerStreamWindow: number;
  /** What the peer may send on each stream, at first and once its reader has taken half of that. */
  readonly firstStreamWindow: number;
  readonly openStreamWindow: number;
  /** So many bytes more (or, below 0, less) wait for a window. False where that is too much. */
  hold(bytes: number): boolean;
  /** Bytes of the connection's own window are free again. */
  credit(bytes: number): void;
  /** DATA went out. */
  dataSent(frames: number): void;
  /** The stream has bytes that no window takes. */
  block(stream: Http2Stream): void;
  /** The stream's source waits until the socket has taken what it was given. */
  awaitDrain(stream: Http2Stream): void;
  /** Trailers, which end the stream; empty ones end it without a head of their own. */
  sendTrailers(stream: Http2Stream, trailers: HeaderMap): void;
  /** Both directions are over, or it was reset: forgets it. */
  forget(stream: Http2Stream): void;
  /** Sends RST_STREAM and forgets it. */
  reset(stream: Http2Stream, code: number): void;
}

/** What came in that its reader has not taken. Most streams have none: each field here is one less in each of them. */
class Inbox {
  /** Kept for a reader that is not there yet. */
  chunks: Buffer[] = [];
  /** Handed to a reader that asked to wait, or kept; the peer was not credited for it. */
  withheldBytes = 0;
  isReaderWaiting = false;
  isDiscarding = false;
  /** What the end brought before there was a reader. */
  trailers: HeaderMap | undefined = undefined;
  cut: Failure | undefined = undefined;
}

/** What goes out and waits for a window; most streams never wait. */
class Outbox {
  readonly chunks: Buffer[] = [];
  bytes = 0;
  /** Bytes of the first chunk that were sent. */
  sentOfFirst = 0;
  /** The end follows. */
  isEnding = false;
  trailers: HeaderMap | undefined = undefined;
}

/** What both sides' streams share. */
export abstract class Http2Stream implements Body, BodySink {
  readonly id: number;
  lengthBytes: number | undefined = undefined;
  /** Monotonic, set by the sweep; 0 where a byte moved since. */
  activeAtMs = 0;
  /** Bytes of content, without padding. */
  receivedBytes = 0;
  sentBytes = 0;
  /** The peer has ended its direction. */
  isInEnded = false;
  /** END_STREAM is on its way to the peer. */
  isOutEnded = false;
  isClosed = false;
  /** What the peer still takes on this stream; below 0 after it made its windows smaller (RFC 9113 §6.9.2). */
  sendWindow: number;
  /** What is being sent. */
  source: Body | undefined = undefined;
  /** In its connection's list of those that wait for a window. */
  isBlocked = false;

  protected readonly connection: StreamConnection;
  /** `content-length`, which DATA must add up to (RFC 9113 §8.1.1); below 0 where none was said. */
  protected expectedBytes = -1;

  #receiveWindow: number;
  /** What `#receiveWindow` is when nothing was received. */
  #window: number;
  /** Taken by the reader, not yet credited to the peer. */
  #uncredited = 0;
  #sink: BodySink | undefined = undefined;
  #inbox: Inbox | undefined = undefined;
  #outbox: Outbox | undefined = undefined;

  constructor(connection: StreamConnection, id: number) {
    this.connection = connection;
    this.id = id;
    this.sendWindow = connection.peerStreamWindow;
    this.#receiveWindow = connection.firstStreamWindow;
    this.#window = connection.firstStreamWindow;
  }

  /** What was sent waits for a window. */
  get hasPending(): boolean {
    return this.#outbox !== undefined && this.#outbox.bytes > 0;
  }

  // The body that comes in.

  pipe(sink: BodySink): void {
    const inbox = this.#inbox;
    if (inbox?.cut !== undefined) return sink.abort(inbox.cut);
    this.#sink = sink;
    if (inbox !== undefined) {
      const { chunks } = inbox;
      inbox.chunks = [];
      for (const chunk of chunks) if (!sink.write(chunk, 0, chunk.length)) inbox.isReaderWaiting = true;
      if (!inbox.isReaderWaiting) this.#creditWithheld(inbox);
    }
    if (this.isInEnded) this.#endSink(inbox?.trailers);
    return undefined;
  }

  resume(): void {
    const inbox = this.#inbox;
    if (inbox === undefined || !inbox.isReaderWaiting) return;
    inbox.isReaderWaiting = false;
    this.#creditWithheld(inbox);
  }

  cancel(): void {
    this.#sink = undefined;
    const inbox = (this.#inbox ??= new Inbox());
    inbox.chunks = [];
    inbox.isReaderWaiting = false;
    inbox.isDiscarding = true;
    this.#releaseWithheld();
    this.unwanted();
  }

  /** A DATA frame begins. False where it is larger than the window that the peer was given. */
  admits(lengthBytes: number): boolean {
    this.#receiveWindow -= lengthBytes;
    return this.#receiveWindow >= 0;
  }

  /** A piece of a DATA frame. */
  receive(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    this.activeAtMs = 0;
    this.receivedBytes += length;
    if (this.expectedBytes >= 0 && this.receivedBytes > this.expectedBytes) {
      this.connection.credit(length);
      return this.broke(ErrorCode.PROTOCOL_ERROR, `more DATA than content-length: ${this.expectedBytes} bytes`);
    }
    if (!this.admitsContent()) return this.connection.credit(length);
    if (this.#inbox?.isDiscarding === true) return this.connection.credit(length);
    if (this.#sink === undefined) {
      const inbox = (this.#inbox ??= new Inbox());
      inbox.chunks.push(Buffer.from(bytes.subarray(start, end)));
      inbox.withheldBytes += length;
      return undefined;
    }
    if (!this.#sink.write(bytes, start, end)) (this.#inbox ??= new Inbox()).isReaderWaiting = true;
    const inbox = this.#inbox;
    if (inbox !== undefined && inbox.isReaderWaiting && !this.isClosed) inbox.withheldBytes += length;
    else this.credit(length);
    return undefined;
  }

  /** The peer has ended its direction. */
  receiveEnd(trailers: HeaderMap | undefined): void {
    if (this.expectedBytes >= 0 && this.receivedBytes !== this.expectedBytes) {
      return this.broke(
        ErrorCode.PROTOCOL_ERROR,
        `${this.receivedBytes} bytes of DATA, content-length: ${this.expectedBytes}`,
      );
    }
    this.activeAtMs = 0;
    this.isInEnded = true;
    if (this.#sink !== undefined) this.#endSink(trailers);
    else if (trailers !== undefined) (this.#inbox ??= new Inbox()).trailers = trailers;
    this.settle();
    return undefined;
  }

  /** The rest of what comes in will not come. */
  protected cutIn(cause: Failure): void {
    // What came whole stays for its reader.
    if (this.isInEnded) return;
    const sink = this.#sink;
    this.#sink = undefined;
    const inbox = (this.#inbox ??= new Inbox());
    inbox.chunks = [];
    this.#releaseWithheld();
    inbox.cut = cause;
    sink?.abort(cause);
  }

  /** Gives bytes back to the peer, in halves of a window, so that most frames cost no WINDOW_UPDATE. */
  credit(bytes: number): void {
    this.connection.credit(bytes);
    this.#uncredited += bytes;
    if (this.isInEnded || this.isClosed || this.#uncredited * 2 < this.#window) return;
    const window = Math.max(this.#window, this.connection.openStreamWindow);
    const increment = this.#uncredited + window - this.#window;
    this.#window = window;
    this.#receiveWindow += increment;
    this.connection.writer.windowUpdate(this.id, increment);
    this.#uncredited = 0;
  }

  // The body that goes out.

  write(chunk: Buffer, start: number, end: number): boolean {
    if (this.isClosed || this.isOutEnded) return true;
    this.activeAtMs = 0;
    let from = start;
    if (!this.hasPending) {
      from += this.#send(chunk, start, end);
      if (from === end) {
        if (!this.connection.writer.isCongested) return true;
        this.connection.awaitDrain(this);
        if (!this.connection.hold(0)) this.overfull();
        return false;
      }
    }
    if (this.isClosed) return true;
    const outbox = (this.#outbox ??= new Outbox());
    outbox.chunks.push(Buffer.from(chunk.subarray(from, end)));
    outbox.bytes += end - from;
    this.connection.block(this);
    if (!this.connection.hold(end - from)) this.overfull();
    return false;
  }

  end(trailers: HeaderMap | undefined): void {
    if (this.isClosed || this.isOutEnded) return;
    this.activeAtMs = 0;
    const outbox = this.#outbox;
    if (outbox !== undefined && outbox.bytes > 0) {
      outbox.isEnding = true;
      outbox.trailers = trailers;
    } else {
      this.#endOut(trailers);
    }
  }

  abstract abort(cause: Failure): void;

  /** A window has grown. False where the stream still waits for one. */
  pump(): boolean {
    const outbox = this.#outbox;
    if (outbox === undefined) return true;
    for (let first = outbox.chunks[0]; first !== undefined; first = outbox.chunks[0]) {
      const sent = this.#send(first, outbox.sentOfFirst, first.length);
      // What was sent may have ended the connection, and with it what waits.
      if (this.isClosed) return true;
      if (sent === 0 && first.length > 0) return false;
      this.activeAtMs = 0;
      outbox.bytes -= sent;
      this.connection.hold(-sent);
      outbox.sentOfFirst += sent;
      if (outbox.sentOfFirst < first.length) return false;
      outbox.chunks.shift();
      outbox.sentOfFirst = 0;
    }
    if (outbox.isEnding) this.#endOut(outbox.trailers);
    else if (this.connection.writer.isCongested) this.connection.awaitDrain(this);
    else this.source?.resume();
    return true;
  }

  /** The peer takes more. False where its window would be larger than there may be (RFC 9113 §6.9.1). */
  grow(increment: number): boolean {
    this.sendWindow += increment;
    return this.sendWindow <= WINDOW_MAX_BYTES;
  }

  // Its life.

  /** Nobody wants the rest of what comes in. */
  protected abstract unwanted(): void;
  /** Too much waits for the peer on its connection, and this stream's bytes came last. */
  protected abstract overfull(): void;
  /** Whether what comes in may be so long. */
  protected abstract admitsContent(): boolean;
  /** The peer broke a rule that concerns this stream alone: resets it. */
  abstract broke(code: ErrorCode, message: string): void;
  /** The peer reset it. */
  abstract wasReset(code: number): void;
  /** Its connection is gone, or will not serve it. */
  abstract lost(cause: Failure): void;
  /** END_STREAM was written. */
  protected abstract outEnded(): void;
  /** Both directions ended as they should. */
  protected abstract finished(): void;

  /** For the connection: forgets what waits. */
  drop(): void {
    this.isClosed = true;
    const waitingBytes = this.#outbox?.bytes ?? 0;
    this.#outbox = undefined;
    if (waitingBytes > 0) this.connection.hold(-waitingBytes);
    this.#releaseWithheld();
  }

  /** END_STREAM went out with a head. */
  protected markOutEnded(): void {
    this.isOutEnded = true;
    this.outEnded();
    this.settle();
  }

  protected settle(): void {
    if (this.isClosed || !this.isInEnded || !this.isOutEnded) return;
    this.connection.forget(this);
    this.finished();
  }

  #endSink(trailers: HeaderMap | undefined): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.end(trailers);
  }

  #endOut(trailers: HeaderMap | undefined): void {
    if (trailers === undefined) this.connection.writer.endData(this.id);
    else this.connection.sendTrailers(this, trailers);
    this.markOutEnded();
  }

  #send(bytes: Buffer, start: number, end: number): number {
    const { connection } = this;
    const length = Math.min(end - start, this.sendWindow, connection.sendWindow);
    if (length <= 0) return 0;
    this.sendWindow -= length;
    connection.sendWindow -= length;
    this.sentBytes += length;
    connection.dataSent(connection.writer.data(this.id, bytes, start, start + length));
    return length;
  }

  #creditWithheld(inbox: Inbox): void {
    const bytes = inbox.withheldBytes;
    inbox.withheldBytes = 0;
    if (bytes > 0) this.credit(bytes);
  }

  /** The stream's own window matters no more; the connection's does. */
  #releaseWithheld(): void {
    const inbox = this.#inbox;
    if (inbox === undefined || inbox.withheldBytes === 0) return;
    const bytes = inbox.withheldBytes;
    inbox.withheldBytes = 0;
    this.connection.credit(bytes);
  }
}
