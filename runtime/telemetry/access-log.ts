// One line for each exchange and each connection that was passed on, written in the background. A log never stops traffic:
// what its file does not take is dropped and counted.
import { closeSync, fstatSync, openSync, write, writeSync } from "node:fs";
import type { Exchange } from "../exchange/exchange.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import { renderAccessLine, renderInstant, writeAccessLine } from "./access-line.ts";
import { renderTail } from "./access-tail.ts";
import { LineBuffer } from "./line-buffer.ts";

/** Lines are written when this much has gathered, or after `FLUSH_AFTER_MS`. */
const FLUSH_BYTES = 96 * 1024;
const FLUSH_AFTER_MS = 200;
/** Beyond this (a pipe that nobody reads) lines are dropped and counted: a log never stops traffic. */
const PENDING_MAX_BYTES = 4 * 1024 * 1024;

/** What a pipe takes in one piece from several writers (PIPE_BUF). A file takes any write in one piece. */
const PIPE_MAX_BYTES = 4096;

/** Lines gather in buffers of this size. */
const BUFFER_BYTES = 128 * 1024;

/** Writes lines in the background, in order, one write at a time. */
export class AccessLog {
  /** Lines that were dropped because the file took none. */
  droppedLines = 0;
  readonly #fd: number;
  readonly #ownsFd: boolean;
  /** No write is longer. */
  readonly #writeMaxBytes: number;
  /** Where the next line goes. */
  #line = new LineBuffer(BUFFER_BYTES);
  /** What waits for the file, before the lines in `#line`. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #spare: LineBuffer | undefined = undefined;
  #isWriting = false;
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;

  /**
   * `path` is a file to append to; `-` is standard output. `isAlone`: no other process writes there; otherwise each write is
   * whole lines that no other's can divide, and on a pipe a line longer than 4096 bytes is cut. Throws where the file cannot
   * be opened.
   */
  constructor(path: string, isAlone = true) {
    this.#ownsFd = path !== "-" && path !== "/dev/stdout";
    this.#fd = this.#ownsFd ? openSync(path, "a") : 1;
    this.#writeMaxBytes = isAlone || fstatSync(this.#fd).isFile() ? Number.POSITIVE_INFINITY : PIPE_MAX_BYTES;
  }

  log(exchange: Exchange, nowMonoMs: number): void {
    if (!this.#hasRoom()) return;
    const start = this.#line.at;
    if (writeAccessLine(this.#line, exchange, nowMonoMs)) this.#added(start);
    else this.#add(renderAccessLine(exchange, nowMonoMs));
  }

  logTcp(session: TcpSession, nowMonoMs: number): void {
    if (this.#hasRoom()) this.#add(renderTcpLine(session, nowMonoMs));
  }

  #hasRoom(): boolean {
    if (this.#waitingBytes + this.#line.at <= PENDING_MAX_BYTES) return true;
    this.droppedLines++;
    return false;
  }

  #add(text: string): void {
    if (this.#line.at + text.length > BUFFER_BYTES) this.#queueLines();
    if (text.length > BUFFER_BYTES) {
      const line = text.length <= this.#writeMaxBytes ? text : `${text.slice(0, this.#writeMaxBytes - 4)}...\n`;
      this.#queue(Buffer.from(line, "latin1"));
      return this.#flush();
    }
    const start = this.#line.at;
    this.#line.text(text);
    return this.#added(start);
  }

  /** A line was written from `start` on. */
  #added(start: number): void {
    const line = this.#line;
    if (line.at - start > this.#writeMaxBytes) {
      line.at = start + this.#writeMaxBytes - 4;
      line.text("...\n");
    }
    if (line.at >= FLUSH_BYTES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_AFTER_MS);
  }

  /** Writes what is left and closes the file. */
  close(): void {
    clearTimeout(this.#timer);
    this.#queueLines();
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const bytes of waiting) {
      for (let offset = 0; offset < bytes.length;) {
        offset += writeSync(this.#fd, bytes, offset, this.#endOfWrite(bytes, offset) - offset);
      }
    }
    if (this.#ownsFd) closeSync(this.#fd);
  }

  #queue(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  #queueLines(): void {
    const line = this.#line;
    if (line.at === 0) return;
    this.#queue(line.bytes.subarray(0, line.at));
    this.#line = this.#spare ?? new LineBuffer(BUFFER_BYTES);
    this.#line.clear();
    this.#spare = undefined;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // While the file takes its time, lines gather in as few buffers as they need.
    if (this.#isWriting) return;
    const line = this.#line;
    if (this.#waiting.length === 0) this.#queueLines();
    const bytes = this.#waiting.shift();
    if (bytes === undefined) return;
    this.#waitingBytes -= bytes.length;
    this.#isWriting = true;
    this.#write(bytes, 0, line === this.#line ? undefined : line);
  }

  /** `buffer` is free again once its bytes are written. */
  #write(bytes: Buffer, offset: number, buffer: LineBuffer | undefined): void {
    write(this.#fd, bytes, offset, this.#endOfWrite(bytes, offset) - offset, null, (error, written) => {
      // A full pipe takes a part; anything else is the end of these lines.
      if (error === null && offset + written < bytes.length) return this.#write(bytes, offset + written, buffer);
      this.#isWriting = false;
      this.#spare ??= buffer;
      if (this.#waiting.length > 0 || this.#line.at >= FLUSH_BYTES) this.#flush();
      else if (this.#line.at > 0) this.#timer ??= setTimeout(() => this.#flush(), FLUSH_AFTER_MS);
      return undefined;
    });
  }

  /** After the last whole line that one write takes. */
  #endOfWrite(bytes: Buffer, offset: number): number {
    if (bytes.length - offset <= this.#writeMaxBytes) return bytes.length;
    return bytes.lastIndexOf("\n", offset + this.#writeMaxBytes - 1) + 1;
  }
}

/** Istio's default format for a connection that was passed on, as Envoy fills it in, and what filters add to it. */
export function renderTcpLine(session: TcpSession, nowMonoMs: number): string {
  const { downstream, flags } = session;
  const serverName = session.serverName === "" ? downstream.tls?.serverName : session.serverName;
  return (
    `[${renderInstant(session.startedAtMs)}] "- - -" 0 ${flags} - ${orDash(session.details)} "${orDash(session.upstreamFailure)}" ` +
    `${session.bytesReceived} ${session.bytesSent} ${Math.round(nowMonoMs - session.startedMonoMs)} - "-" "-" "-" "-" ` +
    `"${orDash(session.upstreamHost)}" ${orDash(session.cluster)} ${orDash(session.upstreamLocalAddress)} ` +
    `${downstream.localAddress} ${downstream.remoteAddress} ${orDash(serverName)} ${orDash(session.routeName)}${renderTail(session)}\n`
  );
}

function orDash(value: string | undefined): string {
  return value === undefined || value === "" ? "-" : value;
}
