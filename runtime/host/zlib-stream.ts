// A compressor or decompressor that works at once: bytes in, bytes out, no event loop. Node's streams are asynchronous; below
// each is a handle that is not, which Bun has as well (undocumented: compression.test.ts holds it to what is used here).
import {
  constants,
  createBrotliCompress,
  createBrotliDecompress,
  createDeflate,
  createDeflateRaw,
  createGunzip,
  createGzip,
  createInflate,
  createInflateRaw,
  createZstdCompress,
  createZstdDecompress,
  zstdCompressSync,
} from "node:zlib";
import type { Result } from "../exchange/failure.ts";

export const FORMATS = ["gzip", "deflate", "deflate-raw", "br", "zstd"] as const;
export type Format = (typeof FORMATS)[number];

/** What to make. */
export type Coding =
  | { readonly kind: "compress"; readonly format: Format; readonly level: number }
  | { readonly kind: "decompress"; readonly format: Format };

export type Flush = "none" | "sync" | "end";

const BUFFER_BYTES = 65_536;
const PART_MAX_BYTES = 65_536;
/**
 * What compresses data makes it shorter, by little where it cannot. Blocks without content cost 150 ns a byte and may be of any
 * number; this is more than decoders hold back.
 */
const IDLE_MAX_BYTES = 256 * 1024;
/** Where output is written; nothing of it stays here. */
const scratch = new Uint8Array(BUFFER_BYTES);
/** RFC 8878 §3.1.1.1.2: what every decoder should support, and no more. */
const ZSTD_WINDOW_LOG_MAX = 23;
/** Compressors remember 256 KiB: brotli and zstd would take ten times as much for some per cent. */
const WINDOW_LOG = 18;

const PROBE = Buffer.from("whole");
const PROBE_FRAME = new Uint8Array(zstdCompressSync(PROBE));

/** The native part of a stream of `node:zlib`. */
interface NativeHandle {
  onerror: (message: string) => void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputLength: number,
    output: Uint8Array,
    outputAt: number,
    outputLength: number,
  ): void;
  close(): void;
}

export class ZlibStream {
  readonly #handle: NativeHandle;
  /** After each write: room left in the output, bytes left of the input. */
  readonly #left: Uint32Array;
  readonly #coding: Coding;
  #error: string | undefined = undefined;
  /** Bytes that were read and that no output came of, so far. */
  #idleBytes = 0;

  private constructor(handle: NativeHandle, left: Uint32Array, coding: Coding) {
    this.#handle = handle;
    this.#left = left;
    this.#coding = coding;
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- No event target.
    handle.onerror = (message) => {
      this.#error = message;
    };
  }

  /** Throws where the runtime has no such handle. */
  static open(coding: Coding): ZlibStream {
    const stream: object =
      coding.kind === "compress" ? createCompressor(coding.format, coding.level) : createDecompressor(coding.format);
    const handle: unknown = Reflect.get(stream, "_handle");
    const left: unknown = Reflect.get(stream, "_writeState");
    if (!isHandle(handle) || !(left instanceof Uint32Array)) throw new Error("this runtime cannot compress at once");
    return new ZlibStream(handle, left, coding);
  }

  /** The output for these bytes, up to so many; or what is wrong with them. */
  write(input: Uint8Array, flush: Flush, outputMaxBytes: number): Result<Uint8Array, string> {
    const { kind, format } = this.#coding;
    if (flush !== "end" || kind === "compress" || format !== "zstd") return this.#run(input, flush, outputMaxBytes);
    const output = this.#run(input, "none", outputMaxBytes);
    if (!output.ok) return output;
    // Zstandard's decoder does not mind that a frame has no end. One more frame is only read as one behind an end.
    const probed = this.#run(PROBE_FRAME, "none", BUFFER_BYTES);
    const isWhole = probed.ok && Buffer.compare(probed.value, PROBE) === 0;
    return isWhole ? output : { ok: false, error: "unexpected end of file" };
  }

  #run(input: Uint8Array, flush: Flush, outputMaxBytes: number): Result<Uint8Array, string> {
    const pieces: Uint8Array[] = [];
    let produced = 0;
    let at = 0;
    for (;;) {
      // A part at a time, or what makes no output would be found only when all of it was read.
      const length = Math.min(input.length - at, PART_MAX_BYTES);
      const isLast = at + length === input.length;
      this.#handle.writeSync(this.#flag(isLast ? flush : "none"), input, at, length, scratch, 0, scratch.length);
      if (this.#error !== undefined) return { ok: false, error: this.#error };
      const [room = 0, rest = 0] = this.#left;
      const written = scratch.length - room;
      const consumed = length - rest;
      if (written > 0) pieces.push(scratch.slice(0, written));
      produced += written;
      if (produced > outputMaxBytes) return { ok: false, error: `output is more than ${outputMaxBytes} bytes` };
      at += consumed;
      this.#idleBytes = Math.max(0, this.#idleBytes + consumed - written);
      if (this.#coding.kind === "decompress" && this.#idleBytes > IDLE_MAX_BYTES)
        return { ok: false, error: `${this.#idleBytes} bytes come to nothing` };
      // Room left: all is out. Nothing moved: what is left of the input is behind the end.
      if ((room > 0 && rest === 0 && isLast) || (written === 0 && consumed === 0))
        return { ok: true, value: join(pieces, produced) };
    }
  }

  close(): void {
    this.#handle.close();
  }

  #flag(flush: Flush): number {
    const { format } = this.#coding;
    if (format === "br") {
      if (flush === "end") return constants.BROTLI_OPERATION_FINISH;
      return flush === "sync" ? constants.BROTLI_OPERATION_FLUSH : constants.BROTLI_OPERATION_PROCESS;
    }
    if (format === "zstd") {
      if (flush === "end") return constants.ZSTD_e_end;
      return flush === "sync" ? constants.ZSTD_e_flush : constants.ZSTD_e_continue;
    }
    if (flush === "end") return constants.Z_FINISH;
    return flush === "sync" ? constants.Z_SYNC_FLUSH : constants.Z_NO_FLUSH;
  }
}

function createCompressor(format: Format, level: number): object {
  switch (format) {
    case "gzip":
      return createGzip({ level });
    case "deflate":
      return createDeflate({ level });
    case "deflate-raw":
      return createDeflateRaw({ level });
    case "br":
      return createBrotliCompress({
        params: { [constants.BROTLI_PARAM_QUALITY]: level, [constants.BROTLI_PARAM_LGWIN]: WINDOW_LOG },
      });
    case "zstd":
      return createZstdCompress({
        params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_windowLog]: WINDOW_LOG },
      });
  }
}

function createDecompressor(format: Format): object {
  switch (format) {
    case "gzip":
      return createGunzip();
    case "deflate":
      return createInflate();
    case "deflate-raw":
      return createInflateRaw();
    case "br":
      return createBrotliDecompress();
    case "zstd":
      return createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } });
  }
}

function isHandle(value: unknown): value is NativeHandle {
  return typeof value === "object" && value !== null && "writeSync" in value && "close" in value;
}

function join(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const [first] = pieces;
  if (pieces.length === 1 && first !== undefined) return first;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}
