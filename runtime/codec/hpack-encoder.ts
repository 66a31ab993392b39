// HPACK, sending (RFC 7541). What came back often is sent as an index; what is unique to a message is not, as it would
// push out what is useful. Nothing is Huffman-coded: inside a mesh the bytes saved cost more than they are worth.
import type { HeaderMap } from "../exchange/headers.ts";
import { HTTP2_ONLY } from "./hpack-block.ts";
import { CONNECTION, HOST, HTTP2_SETTINGS, KIND, kindOfName, STATIC_COUNT, STATIC_FIELDS, TE } from "./hpack-static.ts";
import { ENTRY_BYTES, FieldTable } from "./hpack-table.ts";

/** The head of a request, as `Exchange` has it. */
export interface RequestHead {
  readonly method: string;
  /** Path and query, or `*`. Not sent with CONNECT. */
  readonly path: string;
  readonly scheme: string;
  readonly authority: string;
  readonly headers: HeaderMap;
}

/** What a field takes at most beside its name and value: a byte for its kind and two lengths of up to four. */
const FIELD_BYTES = 12;
const STRIDE = 4;
const TABLE_DEFAULT_BYTES = 4096;
/** Direct-mapped; an entry that another pushes out is sent again. */
const BUCKETS = 256;
/** Shorter cookies could be guessed byte by byte by who sees the size of what is sent (RFC 7541 §7.1.3). */
const COOKIE_MIN_BYTES = 20;

/** Parsed fields that are remembered, and the most bytes that each may take. */
const KNOWN = 8;
const KNOWN_MAX_BYTES = 1024;
/** Static entry of `:path: /`, whose name a literal refers to. */
const PATH = 4;

interface Known {
  readonly id: number;
  readonly version: number;
  readonly marks: Uint8Array;
  readonly encoded: Buffer;
}

const INDEXING = 0x40;
const WITHOUT = 0;
const NEVER = 0x10;

/** Fields whose values are secrets: never indexed, here and on every later hop (RFC 7541 §7.1.3). */
const SECRET = new Set(["authorization", "proxy-authorization"]);
/** Fields whose values belong to one message: inserted, they would push out what repeats. */
const UNIQUE = new Set([
  "age",
  "baggage",
  "content-length",
  "content-md5",
  "content-range",
  "date",
  "etag",
  "expires",
  "grpc-message",
  "grpc-status-details-bin",
  "grpc-timeout",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-unmodified-since",
  "last-modified",
  "location",
  "range",
  "set-cookie",
  "traceparent",
  "tracestate",
  "x-b3-parentspanid",
  "x-b3-spanid",
  "x-b3-traceid",
  "x-envoy-upstream-service-time",
  "x-request-id",
]);

/** First static entry of each name, and of each name and value. */
const STATIC_NAMES = new Map<string, number>();
const STATIC_PAIRS = new Map<string, number>();
for (const [at, [name, value]] of STATIC_FIELDS.entries()) {
  if (!STATIC_NAMES.has(name)) STATIC_NAMES.set(name, at + 1);
  STATIC_PAIRS.set(`${name}: ${value}`, at + 1);
}

/** The line that is being encoded, its name in lower case. */
let line: Buffer = Buffer.allocUnsafeSlow(16 * 1024);

/** One direction of one connection. */
export class HpackEncoder {
  readonly #table = new FieldTable(TABLE_DEFAULT_BYTES);
  readonly #ownMaxBytes: number;
  #peerMaxBytes = TABLE_DEFAULT_BYTES;
  /** The smallest size since the last block, -1 where it did not change (RFC 7541 §4.2). */
  #smallestBytes = -1;
  /** Hash of each entry by its slot, and the insertion that a hash was last seen at. */
  readonly #hashes = new Int32Array(BUCKETS);
  readonly #insertions = new Int32Array(BUCKETS).fill(-1);
  /** Hashes of fields that were sent once: the second time a field is inserted. */
  readonly #sent = new Int32Array(BUCKETS);

  #out: Buffer = line;
  #position = 0;

  /** What became of fields that came again, by their id. */
  readonly #known: (Known | undefined)[] = [];
  #authority = "";
  /** Insertion of `:authority` with that value, -1 where there was none. */
  #authorityAt = -1;

  /** `tableMaxBytes` bounds the memory of the table, whatever the peer offers. */
  constructor(tableMaxBytes: number = TABLE_DEFAULT_BYTES) {
    this.#ownMaxBytes = tableMaxBytes;
    this.setPeerTableMax(TABLE_DEFAULT_BYTES);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block says what became of it. */
  setPeerTableMax(bytes: number): void {
    this.#peerMaxBytes = bytes;
    const size = Math.min(this.#peerMaxBytes, this.#ownMaxBytes);
    if (size === this.#table.maxBytes) return;
    this.#smallestBytes = this.#smallestBytes < 0 ? size : Math.min(this.#smallestBytes, size);
    this.#table.resize(size);
  }

  /**
   * Writes the block of a request from `start`; returns the position after it, -1 when `out` may have too little room,
   * with nothing changed. `protocol` makes a CONNECT an extended one (RFC 8441). Fields of one hop are left out, `Host`
   * gives way to `authority`.
   */
  encodeRequest(out: Buffer, start: number, head: RequestHead, protocol: string = ""): number {
    const { method, path, scheme, authority, headers } = head;
    const strings = method.length + path.length + scheme.length + authority.length + protocol.length;
    if (!this.#begin(out, start, headers, strings)) return -1;
    const hasPath = method !== "CONNECT" || protocol !== "";
    if (method === "GET") out[this.#position++] = 0x82;
    else if (method === "POST") out[this.#position++] = 0x83;
    else this.#text(":method", method, INDEXING);
    if (hasPath) {
      if (scheme === "http") out[this.#position++] = 0x86;
      else if (scheme === "https") out[this.#position++] = 0x87;
      else this.#text(":scheme", scheme, INDEXING);
    }
    this.#writeAuthority(authority);
    if (hasPath) this.#writePath(path);
    if (protocol !== "") this.#text(":protocol", protocol, INDEXING);
    this.#fields(headers, true);
    return this.#position;
  }

  /** As `encodeRequest`, for a reply or an interim reply. */
  encodeReply(out: Buffer, start: number, status: number, headers: HeaderMap): number {
    if (!this.#begin(out, start, headers, 3)) return -1;
    if (status === 200) out[this.#position++] = 0x88;
    else this.#text(":status", String(status), INDEXING);
    this.#fields(headers, false);
    return this.#position;
  }

  /** As `encodeRequest`, for trailers of either direction. */
  encodeTrailers(out: Buffer, start: number, headers: HeaderMap): number {
    if (!this.#begin(out, start, headers, 0)) return -1;
    this.#fields(headers, false);
    return this.#position;
  }

  /** False where the block as literals might not fit: once something was inserted there is no way back. */
  #begin(out: Buffer, start: number, headers: HeaderMap, strings: number): boolean {
    const { offsets, count, added } = headers;
    // Five pseudo-header fields of eleven bytes at most, and two size updates.
    let needed = strings + 5 * (FIELD_BYTES + 11) + 12 + count * FIELD_BYTES + added.length * FIELD_BYTES;
    if (count > 0) needed += (offsets[(count - 1) * STRIDE + 3] ?? 0) - (offsets[0] ?? 0);
    for (let index = 0; index < added.length; index++) needed += added[index]?.length ?? 0;
    if (start + needed > out.length) return false;
    if (needed > line.length) line = Buffer.allocUnsafeSlow(needed);
    this.#out = out;
    this.#position = start;
    if (this.#smallestBytes >= 0) {
      if (this.#smallestBytes < this.#table.maxBytes) this.#integer(0x20, 31, this.#smallestBytes);
      this.#integer(0x20, 31, this.#table.maxBytes);
      this.#smallestBytes = -1;
    }
    return true;
  }

  #writeAuthority(authority: string): void {
    const table = this.#table;
    const index = (table.inserted - this.#authorityAt) & 0x7fffffff;
    if (authority === this.#authority && this.#authorityAt >= 0 && index <= table.count)
      return this.#integer(0x80, 127, STATIC_COUNT + index);
    const before = table.inserted;
    this.#text(":authority", authority, INDEXING);
    if (table.inserted !== before) {
      this.#authority = authority;
      this.#authorityAt = before;
    }
    return undefined;
  }

  /** Paths are mostly unique, so none is inserted; one that is not costs its bytes again. */
  #writePath(path: string): void {
    const out = this.#out;
    if (path === "/") {
      out[this.#position++] = 0x84;
      return;
    }
    out[this.#position++] = PATH;
    this.#integer(0, 127, path.length);
    this.#position += out.latin1Write(path, this.#position);
  }

  #fields(headers: HeaderMap, isRequest: boolean): void {
    if (headers.count > 0) this.#parsed(headers, isRequest);
    const { added } = headers;
    for (let index = 0; index < added.length; index += 2) this.#added(added[index] ?? "", added[index + 1] ?? "");
  }

  /** Parsed fields; what became of those that came again is copied while neither they nor the table changed. */
  #parsed(headers: HeaderMap, isRequest: boolean): void {
    const { marks, source, count } = headers;
    const id = source?.id ?? 0;
    const known = id === 0 ? undefined : this.#known[id & (KNOWN - 1)];
    if (
      known !== undefined &&
      known.id === id &&
      known.version === this.#table.version &&
      isSame(known.marks, marks, count)
    ) {
      this.#position += known.encoded.copy(this.#out, this.#position, 0, known.encoded.length);
      return;
    }
    const start = this.#position;
    const { version } = this.#table;
    this.#each(headers, isRequest);
    if (id === 0 || version !== this.#table.version || this.#position - start > KNOWN_MAX_BYTES) return;
    this.#known[id & (KNOWN - 1)] = {
      id,
      version,
      marks: source?.marks === marks ? marks : marks.slice(0, count),
      encoded: Buffer.from(this.#out.subarray(start, this.#position)),
    };
  }

  #each(headers: HeaderMap, isRequest: boolean): void {
    const { bytes, offsets, marks, count, source } = headers;
    const neverIndexed = source?.neverIndexed;
    for (let field = 0; field < count; field++) {
      const mark = marks[field] ?? 0;
      if (mark !== 0 && !(mark === HTTP2_ONLY && isRequest)) continue;
      const start = offsets[field * STRIDE] ?? 0;
      const valueStart = offsets[field * STRIDE + 2] ?? 0;
      const nameEnd = lowerCase(bytes, start, offsets[field * STRIDE + 1] ?? 0);
      const valueEnd = nameEnd + 2 + bytes.copy(line, nameEnd + 2, valueStart, offsets[field * STRIDE + 3] ?? 0);
      this.#line(nameEnd, valueEnd, (neverIndexed?.[field] ?? 0) !== 0, mark === HTTP2_ONLY);
    }
  }

  /** A field that the proxy added. Those that are new with each message skip the table. */
  #added(name: string, value: string): void {
    if (!UNIQUE.has(name)) {
      const nameEnd = line.latin1Write(name.toLowerCase(), 0);
      this.#line(nameEnd, nameEnd + 2 + line.latin1Write(value, nameEnd + 2), false, false);
      return;
    }
    const index = STATIC_NAMES.get(name) ?? 0;
    this.#integer(WITHOUT, 15, index);
    if (index === 0) {
      this.#integer(0, 127, name.length);
      this.#position += this.#out.latin1Write(name, this.#position);
    }
    this.#integer(0, 127, value.length);
    this.#position += this.#out.latin1Write(value, this.#position);
  }

  /** Encodes the field in `line`, its value two bytes after its name. */
  #line(nameEnd: number, valueEnd: number, isNever: boolean, isTe: boolean): void {
    const kind = kindOfName(line, 0, nameEnd) & KIND;
    if (kind === HOST || kind === CONNECTION || kind === HTTP2_SETTINGS || (kind === TE && !isTe)) return;
    const name = line.latin1Slice(0, nameEnd);
    let mode = INDEXING;
    if (isNever || SECRET.has(name) || (name === "cookie" && valueEnd - nameEnd - 2 < COOKIE_MIN_BYTES)) mode = NEVER;
    else if (UNIQUE.has(name)) mode = WITHOUT;
    this.#field(name, nameEnd, valueEnd, mode);
  }

  #text(name: string, value: string, mode: number): void {
    const nameEnd = line.latin1Write(name, 0);
    this.#field(name, nameEnd, nameEnd + 2 + line.latin1Write(value, nameEnd + 2), mode);
  }

  #field(name: string, nameEnd: number, valueEnd: number, mode: number): void {
    let nameIndex = STATIC_NAMES.get(name) ?? 0;
    if (nameIndex !== 0 && valueEnd - nameEnd < 20) {
      const pair = STATIC_PAIRS.get(`${name}: ${line.latin1Slice(nameEnd + 2, valueEnd)}`);
      if (pair !== undefined && mode !== NEVER) return this.#integer(0x80, 127, pair);
    }
    let chosen = mode;
    if (mode === INDEXING) {
      const hash = hashOf(nameEnd, valueEnd);
      const found = this.#find(hash, nameEnd, valueEnd);
      if (found > 0) return this.#integer(0x80, 127, STATIC_COUNT + found);
      if (!this.#mayInsert(hash, valueEnd)) chosen = WITHOUT;
      else {
        this.#literal(nameIndex, nameEnd, valueEnd, INDEXING);
        this.#insert(hash, nameEnd, valueEnd);
        return undefined;
      }
    }
    return this.#literal(nameIndex, nameEnd, valueEnd, chosen);
  }

  /** Index among the dynamic entries, 0 where the field is not there. */
  #find(hash: number, nameEnd: number, valueEnd: number): number {
    const bucket = hash & (BUCKETS - 1);
    const insertion = this.#insertions[bucket] ?? -1;
    if (insertion < 0 || this.#hashes[bucket] !== hash) return 0;
    const table = this.#table;
    const index = (table.inserted - insertion) & 0x7fffffff;
    if (index === 0 || index > table.count) return 0;
    const slot = table.slotOf(index);
    const start = table.slots[slot] ?? 0;
    if ((table.slots[slot + 1] ?? 0) - start !== nameEnd || (table.slots[slot + 2] ?? 0) - start !== valueEnd) return 0;
    for (let at = 0; at < valueEnd; at++) {
      if (table.bytes[start + at] !== line[at] && at !== nameEnd && at !== nameEnd + 1) return 0;
    }
    return index;
  }

  /** A field is inserted the second time it is sent, unless it would push out half of the table. */
  #mayInsert(hash: number, valueEnd: number): boolean {
    if ((valueEnd + ENTRY_BYTES) * 2 > this.#table.maxBytes) return false;
    const bucket = hash & (BUCKETS - 1);
    if (this.#sent[bucket] === hash) return true;
    this.#sent[bucket] = hash;
    return false;
  }

  #insert(hash: number, nameEnd: number, valueEnd: number): void {
    const insertion = this.#table.inserted;
    if (!this.#table.insert(line, 0, nameEnd, valueEnd, 0)) return;
    this.#hashes[hash & (BUCKETS - 1)] = hash;
    this.#insertions[hash & (BUCKETS - 1)] = insertion;
  }

  #literal(nameIndex: number, nameEnd: number, valueEnd: number, mode: number): void {
    this.#integer(mode, mode === INDEXING ? 63 : 15, nameIndex);
    if (nameIndex === 0) this.#string(0, nameEnd);
    this.#string(nameEnd + 2, valueEnd);
  }

  #string(start: number, end: number): void {
    this.#integer(0, 127, end - start);
    this.#position += line.copy(this.#out, this.#position, start, end);
  }

  /** RFC 7541 §5.1, below the bits of `first`. */
  #integer(first: number, prefix: number, value: number): void {
    const out = this.#out;
    if (value < prefix) {
      out[this.#position++] = first | value;
      return;
    }
    out[this.#position++] = first | prefix;
    let rest = value - prefix;
    while (rest >= 128) {
      out[this.#position++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    out[this.#position++] = rest;
  }
}

function isSame(known: Uint8Array, marks: Uint8Array, count: number): boolean {
  if (known === marks) return true;
  for (let field = 0; field < count; field++) if (known[field] !== marks[field]) return false;
  return true;
}

/** Copies a name into `line` in lower case; returns its end. */
function lowerCase(bytes: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    line[at - start] = byte >= 65 && byte <= 90 ? byte | 0x20 : byte;
  }
  return end - start;
}

/** FNV-1a over name and value, and the name's length. */
function hashOf(nameEnd: number, valueEnd: number): number {
  let hash = 0x811c9dc5 ^ nameEnd;
  for (let at = 0; at < valueEnd; at++) {
    if (at === nameEnd) at += 2;
    hash = Math.imul(hash ^ (line[at] ?? 0), 0x01000193);
  }
  return hash;
}
