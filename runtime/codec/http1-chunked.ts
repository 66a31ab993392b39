// The chunked transfer coding (RFC 9112 §7.1), both ways; decoded strictly: a size that two parsers could read differently
// is refused.
import { HeaderMap } from "../exchange/headers.ts";
import { HeadParser, INCOMPLETE, type HeadLimits } from "./http1-grammar.ts";
import type { SocketWriter } from "./socket-writer.ts";

/** Takes decoded pieces. */
export interface ChunkedSink {
  /** Bytes of the body, valid during the call. */
  chunk(bytes: Buffer, start: number, end: number): void;
}

/** Bytes of a size line beyond the size itself (extensions, which are dropped): more is an attack (CVE-2023-39326). */
const EXTENSION_MAX_BYTES = 1024;
const CR = 13;
const LF = 10;

type State = "size" | "extension" | "size_lf" | "data" | "data_cr" | "data_lf" | "trailers" | "done";

/** One body's decoder. `feed` it until `isDone`; what it leaves belongs to the next message. */
export class ChunkedDecoder {
  isDone = false;
  /** Why the coding is refused; empty while it is fine. */
  problem = "";
  /** Fields after the last chunk, where there were any. */
  trailers: HeaderMap | undefined = undefined;

  readonly #limits: HeadLimits;
  #state: State = "size";
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  #tail: Buffer | undefined = undefined;

  constructor(limits: HeadLimits) {
    this.#limits = limits;
  }

  /** Position after what was taken: `end` unless the body is done or refused. */
  feed(bytes: Buffer, start: number, end: number, sink: ChunkedSink): number {
    let at = start;
    while (at < end && !this.isDone && this.problem === "") {
      if (this.#state === "data") {
        const taken = Math.min(this.#size, end - at);
        sink.chunk(bytes, at, at + taken);
        at += taken;
        this.#size -= taken;
        if (this.#size === 0) this.#state = "data_cr";
      } else if (this.#state === "trailers") {
        at = this.#trailers(bytes, at, end);
      } else {
        this.#step(bytes[at] ?? 0);
        at++;
      }
    }
    return at;
  }

  #step(byte: number): void {
    switch (this.#state) {
      case "size":
        return this.#sizeByte(byte);
      case "extension":
        if (byte === CR) this.#state = "size_lf";
        else if ((byte < 32 && byte !== 9) || byte === 127)
          this.problem = "a chunk extension holds a control character";
        else if (++this.#extensionBytes > EXTENSION_MAX_BYTES)
          this.problem = `chunk extensions are longer than ${EXTENSION_MAX_BYTES} bytes`;
        return undefined;
      case "size_lf":
        if (byte !== LF) this.problem = "a chunk size is not followed by CRLF";
        else this.#state = this.#size === 0 ? "trailers" : "data";
        this.#digits = 0;
        return undefined;
      case "data_cr":
        if (byte === CR) this.#state = "data_lf";
        else this.problem = "a chunk is not followed by CRLF";
        return undefined;
      case "data_lf":
        if (byte === LF) this.#state = "size";
        else this.problem = "a chunk is not followed by CRLF";
        return undefined;
      case "data":
      case "trailers":
      case "done":
        return undefined;
    }
  }

  #sizeByte(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      // 12 hex digits are 2^48 bytes: beyond any body, and exact in a double.
      if (++this.#digits > 12) this.problem = "a chunk size has more than 12 digits";
      else this.#size = this.#size * 16 + digit;
    } else if (this.#digits === 0) {
      this.problem = "a chunk size is not hexadecimal";
    } else if (byte === CR) {
      this.#state = "size_lf";
    } else if (byte === 59) {
      this.#extensionBytes = 0;
      this.#state = "extension";
    } else {
      this.problem = "a chunk size is not hexadecimal";
    }
  }

  #trailers(bytes: Buffer, start: number, end: number): number {
    // Nearly always there are none: the empty line comes with the last chunk.
    if (this.#tail === undefined && end - start >= 2 && bytes[start] === CR && bytes[start + 1] === LF) {
      this.#finish();
      return start + 2;
    }
    const held = this.#tail?.length ?? 0;
    const all =
      held === 0
        ? Buffer.from(bytes.subarray(start, end))
        : Buffer.concat([this.#tail ?? bytes, bytes.subarray(start, end)]);
    // Parsed again only when a line ended, so that a trailer sent byte by byte costs no more than its lines.
    if (held > 0 && all.length < this.#limits.headMaxBytes && bytes.subarray(start, end).indexOf(LF) < 0) {
      this.#tail = all;
      return end;
    }
    const parser = new HeadParser();
    const after = parser.parseTrailers(all, 0, this.#limits);
    if (after === INCOMPLETE) {
      this.#tail = all;
      return end;
    }
    if (after < 0) {
      this.problem = parser.problem;
      return end;
    }
    if (parser.count > 0) {
      this.trailers = new HeaderMap();
      this.trailers.load(all, parser.offsets, parser.marks, parser.count);
    }
    this.#finish();
    return start + after - held;
  }

  #finish(): void {
    this.isDone = true;
    this.#state = "done";
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** One chunk (RFC 9112 §7.1). An empty one is not written: it would end the body. */
export function writeChunk(writer: SocketWriter, chunk: Buffer, start: number, end: number): boolean {
  if (end === start) return true;
  writer.writeText(`${(end - start).toString(16)}\r\n`);
  const hasRoom = writer.write(chunk, start, end);
  writer.writeText("\r\n");
  return hasRoom;
}

/** The last chunk and the trailers, where they fit. */
export function writeLastChunk(writer: SocketWriter, trailers: HeaderMap | undefined): void {
  writer.writeText("0\r\n");
  if (trailers === undefined || !writer.writeHead("", trailers, "\r\n")) writer.writeText("\r\n");
}
