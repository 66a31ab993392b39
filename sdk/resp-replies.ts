// Redis' protocol, from the server (RESP2 and RESP3): where each reply ends, however it was cut and however large it is.
// Nothing is held but a line that has no end yet.
import type { BytesHandler } from "./connection.ts";
import { Passage } from "./passage.ts";
import { latin1, LineReader, RespError } from "./resp-line.ts";

/** One reply, which has just ended. */
export interface RespReply {
  /** Its first byte: `+`, `-`, `:`, `$`, `*`, `>` … */
  readonly type: string;
  /** Of an aggregate, its first three elements where they are texts or numbers, each cut at 64 bytes; else the reply itself. */
  readonly texts: readonly string[];
}

/** Told of each reply; what it writes to the downstream goes behind the reply. */
export type ReplyHandler = (reply: RespReply) => void;

const TEXTS_MAX = 3;
const TEXT_MAX_BYTES = 64;
const LINE_MAX_BYTES = 64 * 1024;
const DEPTH_MAX = 64;
const ELEMENTS_MAX = 1024 * 1024 * 1024;
const BULK_MAX_BYTES = 512 * 1024 * 1024;
const CRLF_BYTES = 2;
/** Types that say a length, and the largest one. */
const LENGTHS_MAX: Readonly<Partial<Record<string, number>>> = {
  $: BULK_MAX_BYTES,
  "=": BULK_MAX_BYTES,
  "!": BULK_MAX_BYTES,
  "*": ELEMENTS_MAX,
  "~": ELEMENTS_MAX,
  ">": ELEMENTS_MAX,
  "%": ELEMENTS_MAX,
  "|": ELEMENTS_MAX,
};

/** Whether a reply of that type, which begins, goes nowhere. */
export type DropReply = (type: string) => boolean;

/** Replies of one connection's server. */
export function respReplies(handle: ReplyHandler, mustDrop: DropReply = () => false): BytesHandler {
  let held: Uint8Array = new Uint8Array();
  /** Elements that are left of each aggregate under way, the outermost first; below 0 of attributes, which are no value. */
  const open: { left: number; readonly isValue: boolean }[] = [];
  /** Bytes that are left of a text under way, and those of them that are wanted. */
  let bytesLeft = 0;
  let wantedLeft = 0;
  let type = "";
  let texts: string[] = [];
  let isDropped = false;

  function seeOff(passage: Passage, end: number): void {
    if (isDropped) passage.drop(end);
    else passage.pass(end);
  }

  /** A value ended; true where it was the whole reply. */
  function ended(): boolean {
    for (;;) {
      const parent = open.at(-1);
      if (parent === undefined) return true;
      if (--parent.left > 0) return false;
      open.pop();
      // Attributes precede the value that they are about.
      if (!parent.isValue) return false;
    }
  }

  function note(text: string): void {
    if (open.length <= 1 && texts.length < TEXTS_MAX) texts.push(text);
  }

  /** Sees off bytes of a text; false where more has to come first. */
  function goOn(passage: Passage): boolean {
    const end = Math.min(passage.bytes.length, passage.at + bytesLeft);
    const wanted = Math.min(wantedLeft, end - passage.at);
    if (wanted > 0) {
      texts.push((texts.pop() ?? "") + latin1(passage.bytes, passage.at, passage.at + wanted));
      wantedLeft -= wanted;
    }
    bytesLeft -= end - passage.at;
    seeOff(passage, end);
    return bytesLeft === 0;
  }

  /** Reads one line, and what it begins; `undefined` where more has to come first, true where a value ended with it. */
  function readLine(passage: Passage): boolean | undefined {
    const reader = new LineReader(passage.bytes, passage.at);
    const kind = latin1(passage.bytes, passage.at, passage.at + 1);
    const max = LENGTHS_MAX[kind];
    const line = max === undefined ? reader.line(LINE_MAX_BYTES, TEXT_MAX_BYTES + 1) : "";
    const length = max === undefined ? 0 : reader.number(-1, max);
    if (line === undefined || length === undefined) return undefined;
    if (open.length === 0) {
      type = kind;
      texts = [];
      isDropped = mustDrop(kind);
    }
    seeOff(passage, reader.at);
    switch (kind) {
      case "+":
      case "-":
      case ":":
      case ",":
      case "#":
      case "_":
      case "(":
        note(line.slice(1));
        return true;
      case "$":
      case "=":
      case "!":
        return beginText(length);
      case "*":
      case "~":
      case ">":
        return beginAggregate(length, true);
      case "%":
        return beginAggregate(length * 2, true);
      case "|":
        return beginAggregate(length * 2, false);
      default:
        throw new RespError(`${JSON.stringify(line.slice(0, 20))} begins no reply`);
    }
  }

  function beginText(length: number): boolean {
    if (length < 0) return true;
    const isNoted = open.length <= 1 && texts.length < TEXTS_MAX;
    if (isNoted) texts.push("");
    bytesLeft = length + CRLF_BYTES;
    wantedLeft = isNoted ? Math.min(length, TEXT_MAX_BYTES) : 0;
    return false;
  }

  function beginAggregate(elements: number, isValue: boolean): boolean {
    if (elements <= 0) return isValue;
    if (open.length >= DEPTH_MAX) throw new RespError(`a reply is nested more than ${DEPTH_MAX} deep`);
    open.push({ left: elements, isValue });
    return false;
  }

  return function takeReplies(chunk, isEnd, flow) {
    const passage = new Passage(held, chunk, flow);
    held = chunk.subarray(0, 0);
    while (passage.at < passage.bytes.length) {
      let hasEnded: boolean | undefined = true;
      if (bytesLeft > 0) {
        if (!goOn(passage)) break;
      } else hasEnded = readLine(passage);
      if (hasEnded === undefined) break;
      if (!hasEnded || !ended()) continue;
      const { mark } = passage;
      handle({ type, texts });
      passage.order(mark);
    }
    if (isEnd) passage.pass(passage.bytes.length);
    else held = passage.hold();
    return passage.finish();
  };
}
