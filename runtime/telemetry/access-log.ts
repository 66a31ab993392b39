// One line for each exchange, in Istio's default format, so that parsers made for it read ours.
import { closeSync, fstatSync, openSync, write, writeSync } from "node:fs";
import type { Exchange } from "../exchange/exchange.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";

/** Lines are written when this much has gathered, or after `FLUSH_AFTER_MS`. */
const FLUSH_BYTES = 32 * 1024;
const FLUSH_AFTER_MS = 200;
/** Beyond this (a pipe that nobody reads) lines are dropped and counted: a log never stops traffic. */
const PENDING_MAX_BYTES = 4 * 1024 * 1024;

/** What a pipe takes in one piece from several writers (PIPE_BUF). A file takes any write in one piece. */
const PIPE_MAX_BYTES = 4096;

/** Writes lines in the background, in order, one write at a time. */
export class AccessLog {
  /** Lines that were dropped because the file took none. */
  droppedLines = 0;
  readonly #fd: number;
  readonly #ownsFd: boolean;
  /** No write is longer. */
  readonly #writeMaxBytes: number;
  #pending = "";
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
    if (this.#hasRoom()) this.#add(renderAccessLine(exchange, nowMonoMs));
  }

  logTcp(session: TcpSession, nowMonoMs: number): void {
    if (this.#hasRoom()) this.#add(renderTcpLine(session, nowMonoMs));
  }

  #hasRoom(): boolean {
    if (this.#pending.length <= PENDING_MAX_BYTES) return true;
    this.droppedLines++;
    return false;
  }

  #add(line: string): void {
    this.#pending += line.length <= this.#writeMaxBytes ? line : `${line.slice(0, this.#writeMaxBytes - 4)}...\n`;
    if (this.#pending.length >= FLUSH_BYTES) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_AFTER_MS);
  }

  /** Writes what is left and closes the file. */
  close(): void {
    clearTimeout(this.#timer);
    const bytes = Buffer.from(this.#pending, "latin1");
    this.#pending = "";
    for (let offset = 0; offset < bytes.length;) {
      offset += writeSync(this.#fd, bytes, offset, this.#endOfWrite(bytes, offset) - offset);
    }
    if (this.#ownsFd) closeSync(this.#fd);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isWriting || this.#pending === "") return;
    this.#isWriting = true;
    const bytes = Buffer.from(this.#pending, "latin1");
    this.#pending = "";
    this.#write(bytes, 0);
  }

  #write(bytes: Buffer, offset: number): void {
    write(this.#fd, bytes, offset, this.#endOfWrite(bytes, offset) - offset, null, (error, written) => {
      // A full pipe takes a part; anything else is the end of these lines.
      if (error === null && offset + written < bytes.length) return this.#write(bytes, offset + written);
      this.#isWriting = false;
      if (this.#pending.length > 0) this.#timer ??= setTimeout(() => this.#flush(), FLUSH_AFTER_MS);
      return undefined;
    });
  }

  /** After the last whole line that one write takes. */
  #endOfWrite(bytes: Buffer, offset: number): number {
    if (bytes.length - offset <= this.#writeMaxBytes) return bytes.length;
    return bytes.lastIndexOf("\n", offset + this.#writeMaxBytes - 1) + 1;
  }
}

/** Istio's `EnvoyTextLogFormat`; a value that is not there is `-`. */
export function renderAccessLine(exchange: Exchange, nowMonoMs: number): string {
  const { headers, downstream, decision } = exchange;
  const isLocal = exchange.repliedMonoMs === 0;
  const path = exchange.originalPath === "" ? exchange.path : exchange.originalPath;
  const serviceTime = isLocal ? "-" : Math.round(exchange.repliedMonoMs - exchange.sentMonoMs);
  return (
    `[${renderInstant(exchange.startedAtMs)}] "${exchange.method} ${path} ${exchange.protocol}" ${exchange.status} ${exchange.flags} ` +
    `${exchange.details === "" ? "-" : exchange.details} - "-" ${exchange.bytesReceived} ${exchange.bytesSent} ` +
    `${Math.round(nowMonoMs - exchange.startedMonoMs)} ${serviceTime} "${headers.get("x-forwarded-for") ?? "-"}" ` +
    `"${headers.get("user-agent") ?? "-"}" "${exchange.requestId === "" ? "-" : exchange.requestId}" "${exchange.authority}" ` +
    `"${exchange.upstreamHost === "" ? "-" : exchange.upstreamHost}" ${decision?.cluster ?? "-"} ` +
    `${exchange.upstreamLocalAddress === "" ? "-" : exchange.upstreamLocalAddress} ${downstream.localAddress} ${downstream.remoteAddress} ${orDash(downstream.tls?.serverName)} ` +
    `${decision === undefined || decision.routeName === "" ? "-" : decision.routeName}\n`
  );
}

/** The same format for a connection that was passed on, as Envoy fills it in. */
export function renderTcpLine(session: TcpSession, nowMonoMs: number): string {
  const { downstream, flags } = session;
  const serverName = session.serverName === "" ? downstream.tls?.serverName : session.serverName;
  return (
    `[${renderInstant(session.startedAtMs)}] "- - -" 0 ${flags} - - "${orDash(session.upstreamFailure)}" ` +
    `${session.bytesReceived} ${session.bytesSent} ${Math.round(nowMonoMs - session.startedMonoMs)} - "-" "-" "-" "-" ` +
    `"${orDash(session.upstreamHost)}" ${orDash(session.cluster)} ${orDash(session.upstreamLocalAddress)} ` +
    `${downstream.localAddress} ${downstream.remoteAddress} ${orDash(serverName)} ${orDash(session.routeName)}\n`
  );
}

function orDash(value: string | undefined): string {
  return value === undefined || value === "" ? "-" : value;
}

let lastSecond = -1;
let lastSecondText = "";

/** RFC 3339 with milliseconds. The part up to the second is rendered once a second. */
function renderInstant(atMs: number): string {
  const whole = Math.floor(atMs);
  const second = Math.floor(whole / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastSecondText = new Date(second * 1000).toISOString().slice(0, 20);
  }
  return `${lastSecondText}${String(whole - second * 1000).padStart(3, "0")}Z`;
}
