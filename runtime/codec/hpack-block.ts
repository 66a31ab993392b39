// One decoded header block, laid out as a head of HTTP/1.1, so that `HeaderMap` takes it as it is.
import type { HeaderMap, ParsedFields } from "../exchange/headers.ts";
import { NEVER } from "./hpack-static.ts";

/** Which kind of block it is decides which pseudo-header fields it must and may have (RFC 9113 §8.3). */
export type BlockKind = "request" | "reply" | "trailers";

/** Mark of a field that HTTP/1.1 must not pass on and HTTP/2 may: `te: trailers`. `HeaderMap` takes every mark but 0 as dropped. */
export const HTTP2_ONLY = 2;

/** What `HpackDecoder.decode` returns. Nobody changes it: several exchanges may share one. */
export interface FieldBlock extends ParsedFields {
  /** `name: value CRLF` of each field, one after the other, somewhere in memory that other blocks share; the first is `Host` where a request had `:authority`. */
  readonly bytes: Buffer;
  /**
   * As `HeaderMap.load` takes them, and from `notesAt` on two numbers a field: its note (`hpack-static.ts`), and what it
   * came as: 0 a literal, 1 to 61 that static entry, `ENTRY_BASE` and more the insertion of an entry of `table`.
   */
  readonly offsets: Int32Array;
  /** 0 for each field, `HTTP2_ONLY` for `te: trailers`; may be longer than `count`. */
  readonly marks: Uint8Array;
  /** Field `te: trailers`, -1 where there is none. */
  readonly teField: number;

  /** Pseudo-header fields, empty where absent. */
  readonly method: string;
  readonly path: string;
  /** `http` or `https`; empty for plain CONNECT and for replies. */
  readonly scheme: string;
  /** `:authority`, or `Host` where only that came. */
  readonly authority: string;
  /** `:protocol` of an extended CONNECT (RFC 8441). Whether it is allowed is for the connection to say. */
  readonly protocol: string;
  /** 100 to 999 for replies, else 0. */
  readonly status: number;

  /** `content-length`, -1 where there is none. */
  readonly contentLength: number;
  /** `expect: 100-continue` came; the field is not among the fields. */
  readonly expectsContinue: boolean;
  /** Another expectation came, which RFC 9110 §10.1.1 lets a server answer with 417; nor is it among the fields. */
  readonly expectsUnknown: boolean;
  /** Why the message is malformed (RFC 9113 §8.1.1), for the log: a stream error PROTOCOL_ERROR. The table is in step, the fields are not kept. */
  readonly malformed: string;
  /** Beyond a limit (431 or a stream error). The table is in step, the fields are not kept. */
  readonly isTooLarge: boolean;
}

/** Added to insertions. */
export const ENTRY_BASE = 64;

/** Whether HPACK may not index the field on any hop (RFC 7541 §7.1.3). */
export function isNeverIndexed({ offsets, notesAt }: ParsedFields, field: number): boolean {
  return ((offsets[notesAt + field * 2] ?? 0) & NEVER) !== 0;
}

/** Gives the fields to a map, which shares them until it changes one. */
export function loadBlock(block: FieldBlock, headers: HeaderMap): void {
  headers.loadShared(block);
}
