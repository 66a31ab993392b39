// Compression, done by the proxy.
import { requireHost } from "./host.ts";

/** Names as `Content-Encoding` has them, and deflate without its header. */
export type CompressionFormat = "gzip" | "deflate" | "deflate-raw" | "br" | "zstd";

/** How hard it tries: gzip and deflate 1 to 9 (default 6), br 1 to 6 (default 4), zstd 1 to 9 (default 3). */
export interface CompressionLevel {
  readonly level?: number;
}

/** What may come out: beyond that the bytes are refused, since a kilobyte can hold a megabyte of nothing. */
export interface DecompressionLimit {
  /** Default: 1 MiB; at most 4 MiB at once, 64 MiB piece by piece. */
  readonly maxBytes?: number;
}

/** A body on its way: bytes in, bytes out. Beyond what a filter may hold, the stream that was not used longest is closed. */
export interface ByteStream {
  /** What is out by now for these bytes, up to 1 MiB of them; often none. */
  write(bytes: Uint8Array): Uint8Array;
  /** What is in is out: for a reader who waits. */
  flush(): Uint8Array;
  /** The rest; then it is closed. Throws where the bytes that came were not all. */
  end(): Uint8Array;
  /** Lets go of it before its end. */
  close(): void;
}

const DECOMPRESSED_MAX_BYTES = 1024 * 1024;
const NOTHING = new Uint8Array();

/** The bytes, compressed; up to 1 MiB of them. */
export function compress(format: CompressionFormat, bytes: Uint8Array, { level }: CompressionLevel = {}): Uint8Array {
  return requireHost().bytes("compress", level === undefined ? format : `${format} ${level}`, bytes);
}

/** The bytes as they were. Throws where they are not of the format, or become too many. */
export function decompress(
  format: CompressionFormat,
  bytes: Uint8Array,
  { maxBytes = DECOMPRESSED_MAX_BYTES }: DecompressionLimit = {},
): Uint8Array {
  return requireHost().bytes("decompress", `${format} ${maxBytes}`, bytes);
}

/** Compresses piece by piece. */
export function createCompressor(format: CompressionFormat, { level }: CompressionLevel = {}): ByteStream {
  return open("compress-open", level === undefined ? format : `${format} ${level}`);
}

/** Decompresses piece by piece. */
export function createDecompressor(
  format: CompressionFormat,
  { maxBytes = DECOMPRESSED_MAX_BYTES }: DecompressionLimit = {},
): ByteStream {
  return open("decompress-open", `${format} ${maxBytes}`);
}

function open(name: string, request: string): ByteStream {
  const number = requireHost().text(name, request);
  const write = (flush: string, bytes: Uint8Array): Uint8Array =>
    requireHost().bytes("stream-write", `${number} ${flush}`, bytes);
  return {
    write: (bytes) => write("none", bytes),
    flush: () => write("sync", NOTHING),
    end: () => write("end", NOTHING),
    close: () => void requireHost().text("stream-close", number),
  };
}
