// One decoded header block, laid out as a head of HTTP/1.1, so that `HeaderMap` takes it as it is.
import { namesOf, type HeaderMap, type ParsedFields } from "../exchange/headers.ts";
import type { MessageRules } from "./hpack-rules.ts";
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

const STRIDE = 4;
/** Marks of blocks whose fields are all kept. */
export const NO_MARKS: Uint8Array = new Uint8Array(256);
/** Of blocks that came twice, over all connections. Wraps after 2³⁰, when those of before are long forgotten. */
let lastId = 0;

/** What a block has beside what its rules found. */
export type Fields = Omit<ParsedFields, "id"> & { readonly teField: number };
/** Of a block that is refused. */
export const NO_FIELDS: Fields = {
  bytes: Buffer.alloc(0),
  offsets: new Int32Array(0),
  marks: NO_MARKS,
  count: 0,
  teField: -1,
  notesAt: 0,
  table: 0,
  names: 0,
};

/** The one place that makes blocks, so that all have one shape. */
export function blockOf(rules: MessageRules, fields: Fields, id: number): FieldBlock {
  return {
    bytes: fields.bytes,
    offsets: fields.offsets,
    marks: fields.marks,
    count: fields.count,
    id,
    notesAt: fields.notesAt,
    table: fields.table,
    names: fields.names,
    teField: fields.teField,
    method: rules.method,
    path: rules.path,
    scheme: rules.scheme,
    authority: rules.authority,
    protocol: rules.protocol,
    status: rules.status,
    contentLength: rules.contentLength,
    expectsContinue: rules.expectsContinue,
    expectsUnknown: rules.expectsUnknown,
    malformed: "",
    isTooLarge: false,
  };
}

/** Marks of a block with `te: trailers` or with more fields than `NO_MARKS` has. */
export function marksOf(count: number, te: number): Uint8Array {
  const marks = new Uint8Array(count);
  if (te >= 0) marks[te] = HTTP2_ONLY;
  return marks;
}

/** The block in memory of its own, with an id, by which encoders remember what they made of it. */
export function keepBlock(block: FieldBlock): FieldBlock {
  lastId = (lastId + 1) & 0x3fffffff;
  const { count, notesAt } = block;
  const from = block.offsets[0] ?? 0;
  const end = count === 0 ? from : (block.offsets[count * STRIDE - 1] ?? 0) + 2;
  const bytes = Buffer.allocUnsafeSlow(end - from);
  block.bytes.copy(bytes, 0, from, end);
  const offsets = new Int32Array(count * (STRIDE + 2));
  for (let at = 0; at < count * STRIDE; at++) offsets[at] = (block.offsets[at] ?? 0) - from;
  offsets.set(block.offsets.subarray(notesAt, notesAt + count * 2), count * STRIDE);
  return { ...block, bytes, offsets, notesAt: count * STRIDE, id: lastId, names: namesOf(bytes, offsets, count) };
}
