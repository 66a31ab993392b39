// Redis' protocol, from the client: commands, seen before any byte of them goes on, however they were cut. Of a command no
// more is held than its first arguments; the rest of it, a value of megabytes say, streams by. Strict where Redis is lax:
// what could be read in two ways fails the call.
import type { BytesHandler, Passed } from "./connection.ts";
import { Passage } from "./passage.ts";
import { splitInline } from "./resp-inline.ts";
import { latin1, LineReader, RespError } from "./resp-line.ts";

/** One command. */
export interface RespCommand {
  /** In upper case. */
  readonly name: string;
  /** Its first arguments as Latin-1, without the name; each cut at `argumentMaxBytes`, and none behind one that is cut. */
  readonly args: readonly string[];
  /** How many arguments it has, without the name. */
  readonly count: number;
}

export interface RespOptions {
  /** Arguments that the handler sees. Default `1`. */
  readonly argumentsMax?: number;
  /** Bytes of each, and of the name. Default `256`. */
  readonly argumentMaxBytes?: number;
}

/** Takes one command. Nothing returned is that it goes on, `""` that it does not, and bytes go on in its place. */
export type CommandHandler = (command: RespCommand) => Passed;

/** Redis' own bounds (`proto-max-bulk-len`, inline requests, arguments). */
const BULK_MAX_BYTES = 512 * 1024 * 1024;
const INLINE_MAX_BYTES = 64 * 1024;
const ARGUMENTS_MAX = 1024 * 1024;
const STAR = 42;
const DOLLAR = 36;
const CR = 13;
const LF = 10;
const CRLF_BYTES = 2;

/** Commands of one connection's client. */
export function respCommands(options: RespOptions, handle: CommandHandler): BytesHandler {
  const { argumentsMax = 1, argumentMaxBytes = 256 } = options;
  let held: Uint8Array = new Uint8Array();
  /** What is left of a command that was decided: bytes of the argument under way, then whole arguments. */
  let bytesLeft = 0;
  let argumentsLeft = 0;
  let isDropped = false;
  let isInline = false;

  /** Sees off what is left; false where more has to come first. */
  function goOn(passage: Passage): boolean {
    const { bytes } = passage;
    for (;;) {
      const end = Math.min(bytes.length, passage.at + bytesLeft);
      if (!isInline) checkEnd(bytes, passage.at, end, bytesLeft);
      bytesLeft -= end - passage.at;
      if (isDropped) passage.drop(end);
      else passage.pass(end);
      if (bytesLeft > 0) return false;
      if (argumentsLeft === 0) {
        isDropped = false;
        return true;
      }
      const line = new LineReader(bytes, passage.at);
      const length = lengthAt(line, bytes);
      if (length === undefined) return false;
      argumentsLeft--;
      bytesLeft = line.at - passage.at + length + CRLF_BYTES;
    }
  }

  /** Decides on the command that begins here; false where more has to come first. */
  function decide(passage: Passage): boolean {
    isInline = passage.bytes[passage.at] !== STAR;
    const begun = isInline ? readInline(passage) : readArray(passage);
    if (begun === undefined) return false;
    const { command } = begun;
    bytesLeft = begun.bytesLeft;
    argumentsLeft = begun.argumentsLeft;
    if (command === undefined) return true;
    const { mark } = passage;
    const passed = handle(command);
    passage.order(mark);
    if ((passed === undefined || passed === null) && !passage.isClosing) return true;
    isDropped = true;
    if (passed !== undefined && passed !== null) {
      passage.drop(passage.at);
      passage.write(passed);
    }
    return true;
  }

  function readArray(passage: Passage): Begun | undefined {
    const line = new LineReader(passage.bytes, passage.at);
    const count = line.number(-1, ARGUMENTS_MAX);
    if (count === undefined) return undefined;
    // Redis takes an empty array for nothing at all.
    if (count <= 0) return { command: undefined, bytesLeft: line.at - passage.at, argumentsLeft: 0 };
    const seen: string[] = [];
    const wanted = Math.min(count, argumentsMax + 1);
    let end = line.at;
    while (seen.length < wanted) {
      const length = lengthAt(line, passage.bytes);
      if (length === undefined) return undefined;
      const take = Math.min(length, argumentMaxBytes);
      const isCut = take < length;
      if (line.at + take > passage.bytes.length) return undefined;
      seen.push(latin1(passage.bytes, line.at, line.at + take));
      end = line.at + length + CRLF_BYTES;
      if (isCut || seen.length === wanted) break;
      if (!line.skip(length)) return undefined;
    }
    return { command: commandOf(seen, count), bytesLeft: end - passage.at, argumentsLeft: count - seen.length };
  }

  function readInline(passage: Passage): Begun | undefined {
    const { bytes, at } = passage;
    const end = bytes.indexOf(LF, at) + 1;
    if ((end > 0 ? end : bytes.length) - at > INLINE_MAX_BYTES) throw new RespError("an inline command is too long");
    if (end === 0) return undefined;
    const words = splitInline(latin1(bytes, at, end - 1).replace(/\r$/u, ""));
    if (words.length === 0) return { command: undefined, bytesLeft: end - at, argumentsLeft: 0 };
    const seen = words.slice(0, argumentsMax + 1).map((word) => word.slice(0, argumentMaxBytes));
    return { command: commandOf(seen, words.length), bytesLeft: end - at, argumentsLeft: 0 };
  }

  return function takeCommands(chunk, isEnd, flow) {
    const passage = new Passage(held, chunk, flow);
    held = chunk.subarray(0, 0);
    while (goOn(passage) && passage.at < passage.bytes.length && !passage.isClosing && decide(passage));
    if (passage.isClosing) return passage.finish();
    // A command that the client's end cut is none, and goes nowhere: what is left of it could begin another one to Redis.
    if (isEnd) passage.drop(passage.bytes.length);
    else held = passage.hold();
    return passage.finish();
  };
}

/** The last two of `left` bytes, as far as they are here, are CRLF. Redis does not look, and would read on wherever it pleases. */
function checkEnd(bytes: Uint8Array, at: number, end: number, left: number): void {
  const cr = at + left - CRLF_BYTES;
  if ((cr >= at && cr < end && bytes[cr] !== CR) || (cr + 1 >= at && cr + 1 < end && bytes[cr + 1] !== LF))
    throw new RespError("a text does not end with CRLF");
}

/** The length of an argument. */
function lengthAt(line: LineReader, bytes: Uint8Array): number | undefined {
  const type = bytes[line.at];
  if (type !== undefined && type !== DOLLAR) throw new RespError("an argument is no text");
  return type === undefined ? undefined : line.number(0, BULK_MAX_BYTES);
}

interface Begun {
  /** `undefined` for what Redis passes over. */
  readonly command: RespCommand | undefined;
  /** From where it begins to the end of the argument that was seen last. */
  readonly bytesLeft: number;
  readonly argumentsLeft: number;
}

function commandOf([name = "", ...args]: readonly string[], words: number): RespCommand {
  return { name: name.toUpperCase(), args, count: words - 1 };
}
