// Bodies on their way through the proxy's compression.
import {
  BodyTooLargeError,
  compress,
  createCompressor,
  createDecompressor,
  type BodyTransform,
  type ByteStream,
  type CompressionFormat,
} from "../../sdk/index.ts";

/** Replies up to this are compressed at once: one call, and no stream to keep open. */
const AT_ONCE_MAX_BYTES = 256 * 1024;

/** What open streams hold, about (`sdk/compression.ts` has a bound on it, and closes others' beyond). */
const HELD_BYTES: Readonly<Record<string, number>> = { gzip: 300_000, br: 1_600_000, zstd: 3_100_000 };
const HELD_MAX_BYTES = 48_000_000;
let heldBytes = 0;

/** Whether one more body of unknown length, or a long one, can be compressed now. */
export function hasRoom(format: CompressionFormat, lengthBytes: number | undefined): boolean {
  return isShort(lengthBytes) || heldBytes + (HELD_BYTES[format] ?? 0) <= HELD_MAX_BYTES;
}

function isShort(lengthBytes: number | undefined): lengthBytes is number {
  return lengthBytes !== undefined && lengthBytes <= AT_ONCE_MAX_BYTES;
}

/** Compresses a body; `lengthBytes` is its length where it was told. */
export function compressing(format: CompressionFormat, level: number, lengthBytes: number | undefined): BodyTransform {
  return isShort(lengthBytes) ? compressingWhole(format, level, lengthBytes) : compressingPieces(format, level);
}

function compressingWhole(format: CompressionFormat, level: number, lengthBytes: number): BodyTransform {
  const whole = new Uint8Array(lengthBytes);
  let filled = 0;
  return {
    chunk(bytes) {
      whole.set(bytes, filled);
      filled += bytes.length;
      return "";
    },
    end: () => compress(format, whole, { level }),
  };
}

function compressingPieces(format: CompressionFormat, level: number): BodyTransform {
  const held = HELD_BYTES[format] ?? 0;
  let stream: ByteStream | undefined;
  const open = (): ByteStream => {
    if (stream === undefined) heldBytes += held;
    return (stream ??= createCompressor(format, { level }));
  };
  const release = (): void => {
    if (stream !== undefined) heldBytes -= held;
  };
  return {
    chunk: (bytes) => open().write(bytes),
    end() {
      const rest = open().end();
      release();
      return rest;
    },
    cancel() {
      release();
      stream?.close();
    },
  };
}

/** Decompresses a request's body, `maxBytes` of it at most. */
export function decompressing(format: CompressionFormat, maxBytes: number): BodyTransform {
  let stream: ByteStream | undefined;
  /** The proxy refuses what becomes too long; it is the client's fault, and is told so. */
  const attempt = (run: () => Uint8Array): Uint8Array => {
    try {
      return run();
    } catch (error) {
      if (String(error).includes("output is more than"))
        throw new BodyTooLargeError(`body becomes more than ${maxBytes} bytes`);
      throw error;
    }
  };
  return {
    chunk(bytes) {
      const opened = (stream ??= createDecompressor(format, { maxBytes }));
      return attempt(() => opened.write(bytes));
    },
    end() {
      const opened = stream;
      return opened === undefined ? "" : attempt(() => opened.end());
    },
    cancel: () => stream?.close(),
  };
}
