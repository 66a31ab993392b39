// Compression for filters: whole bodies at once, or piece by piece. What decompresses has a bound on what comes out, since a
// kilobyte can hold a megabyte of nothing.
import { answered, quote, readCount, readRequest, refused, type HostAnswer, type HostFunction } from "./answer.ts";
import type { Result } from "../exchange/failure.ts";
import { FORMATS, ZlibStream, type Coding, type Flush, type Format } from "./zlib-stream.ts";

const INPUT_MAX_BYTES = 1024 * 1024;
const PIECE_MAX_BYTES = 4 * 1024 * 1024;
const OUTPUT_MAX_BYTES = 64 * 1024 * 1024;
const OPEN_NS = 20_000;
const OUT_NS_PER_BYTE = 3;

interface FormatFigures {
  readonly levelMax: number;
  readonly levelDefault: number;
  /** Nanoseconds for a byte at a level; measured with JSON and with noise, the slower of both and half as much again. */
  readonly costOf: (level: number) => number;
  /** What a stream holds, at most. */
  readonly compressorBytes: number;
  readonly decompressorBytes: number;
}

const KIB = 1024;
const DEFLATE: FormatFigures = {
  levelMax: 9,
  levelDefault: 6,
  costOf: (level) => 10 + level * 3,
  compressorBytes: 270 * KIB,
  decompressorBytes: 48 * KIB,
};
const FIGURES: Readonly<Record<Format, FormatFigures>> = {
  gzip: DEFLATE,
  deflate: DEFLATE,
  "deflate-raw": DEFLATE,
  // Beyond 6 a megabyte takes a tenth of a second and more.
  br: {
    levelMax: 6,
    levelDefault: 4,
    costOf: (level) => 5 + level * 4,
    compressorBytes: 1500 * KIB,
    decompressorBytes: 17_000 * KIB,
  },
  zstd: {
    levelMax: 9,
    levelDefault: 3,
    costOf: (level) => 3 + level * 2.5,
    compressorBytes: 3000 * KIB,
    decompressorBytes: 8600 * KIB,
  },
};

/** `compress`: request = format [ SP level ]; the payload compressed. */
export function compress(request: string, payload: Uint8Array): HostAnswer<Uint8Array> {
  if (payload.length > INPUT_MAX_BYTES)
    return refused(`body is ${payload.length} bytes, limit is ${INPUT_MAX_BYTES}; more is compressed piece by piece`);
  const coding = readCoding("compress", readRequest(request).words);
  if (!coding.ok) return refused(coding.error);
  return runOnce(coding.value, payload, Number.POSITIVE_INFINITY);
}

/** `decompress`: request = format SP most-bytes; the payload decompressed. */
export function decompress(request: string, payload: Uint8Array): HostAnswer<Uint8Array> {
  const { words } = readRequest(request);
  const maxBytes = readCount(words[1], 0, PIECE_MAX_BYTES);
  if (maxBytes === undefined) return refused(`output is ${quote(words[1])} bytes, must be 0 to ${PIECE_MAX_BYTES}`);
  const coding = readCoding("decompress", words);
  if (!coding.ok) return refused(coding.error);
  return runOnce(coding.value, payload, maxBytes);
}

function runOnce(coding: Coding, payload: Uint8Array, outputMaxBytes: number): HostAnswer<Uint8Array> {
  const stream = ZlibStream.open(coding);
  try {
    const output = stream.write(payload, "end", outputMaxBytes);
    const costNs = OPEN_NS + costOf(coding, payload.length, output);
    return output.ok ? answered(output.value, costNs) : refused(output.error, costNs);
  } finally {
    stream.close();
  }
}

interface Open {
  readonly coding: Coding;
  readonly stream: ZlibStream;
  readonly heldBytes: number;
  leftBytes: number;
}

/** The streams of one instance. What they hold together has a bound: the one that was not used longest is closed for another. */
export class OpenStreams {
  readonly #heldMaxBytes: number;
  readonly #open = new Map<number, Open>();
  #lastNumber = 0;
  #heldBytes = 0;

  constructor(heldMaxBytes: number) {
    this.#heldMaxBytes = heldMaxBytes;
  }

  get text(): readonly (readonly [string, HostFunction<string>])[] {
    return [
      ["compress-open", (request) => this.#start("compress", request)],
      ["decompress-open", (request) => this.#start("decompress", request)],
      ["stream-close", (request) => this.#close(Number(request))],
    ];
  }

  get bytes(): readonly (readonly [string, HostFunction<Uint8Array>])[] {
    return [["stream-write", (request, payload) => this.#write(request, payload)]];
  }

  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  stop(): void {
    for (const number of this.#open.keys()) this.#close(number);
  }

  /** `compress-open`: request = format [ SP level ]; `decompress-open`: request = format SP most-bytes. Answers the stream's number. */
  #start(kind: Coding["kind"], request: string): HostAnswer<string> {
    const { words } = readRequest(request);
    const coding = readCoding(kind, words);
    if (!coding.ok) return refused(coding.error);
    const leftBytes = kind === "compress" ? Number.POSITIVE_INFINITY : readCount(words[1], 0, OUTPUT_MAX_BYTES);
    if (leftBytes === undefined) return refused(`output is ${quote(words[1])} bytes, must be 0 to ${OUTPUT_MAX_BYTES}`);
    const { compressorBytes, decompressorBytes } = FIGURES[coding.value.format];
    const heldBytes = kind === "compress" ? compressorBytes : decompressorBytes;
    for (const oldest of this.#open.keys()) {
      if (this.#heldBytes + heldBytes <= this.#heldMaxBytes) break;
      this.#close(oldest);
    }
    const number = ++this.#lastNumber;
    this.#open.set(number, { coding: coding.value, stream: ZlibStream.open(coding.value), heldBytes, leftBytes });
    this.#heldBytes += heldBytes;
    return answered(String(number), OPEN_NS);
  }

  /** `stream-write`: request = number SP `none`, `sync` or `end`; answers what is out by now. With `end` the stream is closed. */
  #write(request: string, payload: Uint8Array): HostAnswer<Uint8Array> {
    const [word, flush] = readRequest(request).words;
    const number = Number(word);
    const open = this.#open.get(number);
    if (open === undefined) return refused(`stream ${quote(word)} is not open, or was closed for others`);
    if (flush !== "none" && flush !== "sync" && flush !== "end")
      return refused(`${quote(flush)} is none of none, sync and end`);
    if (payload.length > INPUT_MAX_BYTES)
      return refused(`piece is ${payload.length} bytes, limit is ${INPUT_MAX_BYTES}`);
    // The newest is last.
    this.#open.delete(number);
    this.#open.set(number, open);
    const output = this.#run(open, payload, flush);
    const costNs = costOf(open.coding, payload.length, output);
    if (flush === "end" || !output.ok) this.#close(number);
    return output.ok ? answered(output.value, costNs) : refused(output.error, costNs);
  }

  #run(open: Open, payload: Uint8Array, flush: Flush): Result<Uint8Array, string> {
    const output = open.stream.write(payload, flush, Math.min(open.leftBytes, PIECE_MAX_BYTES));
    if (output.ok) open.leftBytes -= output.value.length;
    return output;
  }

  /** `stream-close`: request = number. */
  #close(number: number): HostAnswer<string> {
    const open = this.#open.get(number);
    if (open !== undefined) {
      this.#open.delete(number);
      this.#heldBytes -= open.heldBytes;
      open.stream.close();
    }
    return answered("", OPEN_NS);
  }
}

function readCoding(kind: Coding["kind"], words: readonly string[]): Result<Coding, string> {
  const format = FORMATS.find((each) => each === words[0]);
  if (format === undefined) return { ok: false, error: `format is ${quote(words[0])}, must be ${FORMATS.join(", ")}` };
  if (kind === "decompress") return { ok: true, value: { kind, format } };
  const { levelMax, levelDefault } = FIGURES[format];
  const level = words[1] === undefined ? levelDefault : readCount(words[1], 1, levelMax);
  if (level === undefined) return { ok: false, error: `level is ${quote(words[1])}, must be 1 to ${levelMax}` };
  return { ok: true, value: { kind, format, level } };
}

function costOf(coding: Coding, inputBytes: number, output: Result<Uint8Array, string>): number {
  const outputBytes = output.ok ? output.value.length : PIECE_MAX_BYTES;
  const perByte = coding.kind === "compress" ? FIGURES[coding.format].costOf(coding.level) : OUT_NS_PER_BYTE;
  return inputBytes * perByte + outputBytes * OUT_NS_PER_BYTE;
}
