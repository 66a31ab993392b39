// Frames out of a stream of bytes, wherever its chunks begin and end. A framer makes a handler of bytes, for `downstream` or
// `upstream` of one connection, of a handler of frames: it keeps what has no end yet, so each side needs its own.
import type { BytesHandler, Passed } from "./connection.ts";
import { bytesOf, textOf, type Content } from "./content.ts";
import { Passage } from "./passage.ts";

/** Takes a frame, whole. What it returns goes on in the frame's place, as of a handler of bytes. */
export type FrameHandler = (frame: Uint8Array) => Passed | Promise<Passed>;

export interface FramerOptions {
  /** A longer frame fails the call. Default 64 KiB. */
  readonly maxBytes?: number;
}

/**
 * Where the frame ends that begins at `start`; `undefined` where that is not known yet, and more bytes are waited for. Up to
 * `searched` there is no end. With `isLast` no more will come: a frame that is then unknown goes on unseen.
 */
export type FindEnd = (bytes: Uint8Array, start: number, searched: number, isLast: boolean) => number | undefined;

const MAX_BYTES = 64 * 1024;

/** Frames of any kind. */
export function frames(findEnd: FindEnd, { maxBytes = MAX_BYTES }: FramerOptions, handle: FrameHandler): BytesHandler {
  let held: Uint8Array = new Uint8Array();

  function run(passage: Passage, searched: number, isLast: boolean): Passed | Promise<Passed> {
    const { bytes } = passage;
    for (let from = searched; passage.at < bytes.length; from = passage.at) {
      const end = findEnd(bytes, passage.at, from, isLast);
      if ((end ?? bytes.length) - passage.at > maxBytes)
        throw new RangeError(`a frame has more than ${maxBytes} bytes`);
      if (end === undefined) break;
      const { mark } = passage;
      const passed = handle(bytes.subarray(passage.at, end));
      if (passed instanceof Promise) {
        return passed.then((late: Passed) => {
          place(passage, end, mark, late);
          return passage.isClosing ? passage.finish() : run(passage, passage.at, isLast);
        });
      }
      place(passage, end, mark, passed);
      if (passage.isClosing) return passage.finish();
    }
    if (isLast) passage.pass(bytes.length);
    held = passage.hold();
    return passage.finish();
  }

  return function takeFrames(chunk, isEnd, flow) {
    return run(new Passage(held, chunk, flow), held.length, isEnd);
  };
}

function place(passage: Passage, end: number, mark: number, passed: Passed): void {
  passage.order(mark);
  if (passed === undefined || passed === null) {
    // Of a connection that ends, the frame that ended it does not go on.
    if (passage.isClosing) passage.drop(end);
    else passage.pass(end);
    return;
  }
  passage.drop(end);
  passage.write(passed);
}

/** Frames that end with `delimiter`, which is a part of them; the last one may lack it. */
export function delimited(
  { delimiter, ...options }: FramerOptions & { readonly delimiter: Content },
  handle: FrameHandler,
): BytesHandler {
  const mark = bytesOf(delimiter);
  const [first] = mark;
  if (first === undefined) throw new TypeError("delimiter must have at least one byte");
  const findEnd: FindEnd = (bytes, start, searched, isLast) => {
    // The delimiter may have begun in what was looked at.
    let at = bytes.indexOf(first, Math.max(start, searched - mark.length + 1));
    while (at >= 0 && at + mark.length <= bytes.length) {
      if (isAt(bytes, at, mark)) return at + mark.length;
      at = bytes.indexOf(first, at + 1);
    }
    return isLast ? bytes.length : undefined;
  };
  return frames(findEnd, options, handle);
}

/** Lines of text: `handle` gets each as UTF-8 without its LF or CRLF, and the bytes with it. */
export function lines(
  options: FramerOptions,
  handle: (line: string, frame: Uint8Array) => Passed | Promise<Passed>,
): BytesHandler {
  return delimited({ ...options, delimiter: "\n" }, (frame) => {
    let end = frame.length;
    if (frame[end - 1] === LF) end--;
    if (frame[end - 1] === CR) end--;
    return handle(textOf(frame.subarray(0, end)), frame);
  });
}

const LF = 10;
const CR = 13;

/** How a frame says its length. */
export interface LengthPrefix extends FramerOptions {
  /** Bytes of the number. */
  readonly lengthBytes: 1 | 2 | 3 | 4;
  /** Bytes before it. Default `0`. */
  readonly offsetBytes?: number;
  /** Default `big`. */
  readonly endian?: "big" | "little";
  /** Added to the number, for the bytes behind it: `-4` where four bytes of length count themselves. Default `0`. */
  readonly adjustBytes?: number;
}

/** Frames that begin with their length; the whole frame is handed on. One that is cut by the stream's end goes on unseen. */
export function lengthPrefixed(prefix: LengthPrefix, handle: FrameHandler): BytesHandler {
  const { lengthBytes, offsetBytes = 0, endian = "big", adjustBytes = 0 } = prefix;
  const headBytes = offsetBytes + lengthBytes;
  const findEnd: FindEnd = (bytes, start) => {
    if (bytes.length < start + headBytes) return undefined;
    let length = 0;
    for (let index = 0; index < lengthBytes; index++) {
      const position = endian === "big" ? index : lengthBytes - 1 - index;
      length = length * 256 + (bytes[start + offsetBytes + position] ?? 0);
    }
    const frameBytes = headBytes + length + adjustBytes;
    // A frame that ended before its own head would never get past it.
    if (frameBytes < headBytes) throw new RangeError(`a frame says that it has ${frameBytes} bytes`);
    const { maxBytes = MAX_BYTES } = prefix;
    if (frameBytes > maxBytes) throw new RangeError(`a frame has more than ${maxBytes} bytes`);
    return start + frameBytes <= bytes.length ? start + frameBytes : undefined;
  };
  return frames(findEnd, prefix, handle);
}

function isAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let index = 0; index < wanted.length; index++) if (bytes[at + index] !== wanted[index]) return false;
  return true;
}
