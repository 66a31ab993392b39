// A peer's HPACK encoder, which does what it is told: any representation of RFC 7541 §6, any table size, Huffman or not.
// Written for tests: strings and arrays, nothing shared with the proxy's own encoder.
import { LENGTHS } from "../../runtime/codec/hpack-huffman.ts";
import { STATIC_FIELDS } from "../../runtime/codec/hpack-static.ts";

/** How a field is to be sent. `index` falls back to `insert` where no entry is the same. */
export type Representation = "index" | "insert" | "plain" | "never";

/** One field of a block. */
export interface PeerField {
  readonly name: string;
  readonly value: string;
  readonly as: Representation;
  readonly isHuffman: boolean;
}

/** One direction of one connection, as a client or server might send it. */
export class HpackPeer {
  /** Newest first. */
  readonly #entries: (readonly [string, string])[] = [];
  #sizeBytes = 0;
  #maxBytes = 4096;

  /** The size of its table. */
  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Bytes of a table size update, which stands at a block's beginning. */
  resize(maxBytes: number): Buffer {
    this.#maxBytes = maxBytes;
    this.#evict(maxBytes);
    return Buffer.from(integer(0x20, 31, maxBytes));
  }

  /** Bytes of one block. */
  encode(fields: readonly PeerField[]): Buffer {
    return Buffer.concat(fields.map((field) => this.#field(field)));
  }

  #field({ name, value, as, isHuffman }: PeerField): Buffer {
    const entries = [...STATIC_FIELDS, ...this.#entries];
    const pair = entries.findIndex((entry) => entry[0] === name && entry[1] === value) + 1;
    if (as === "index" && pair > 0) return Buffer.from(integer(0x80, 127, pair));
    const index = entries.findIndex((entry) => entry[0] === name) + 1;
    const isInserted = as === "index" || as === "insert";
    const head = isInserted ? integer(0x40, 63, index) : integer(as === "never" ? 0x10 : 0, 15, index);
    if (isInserted) this.#insert(name, value);
    const bytes: Buffer[] = [Buffer.from(head)];
    if (index === 0) bytes.push(text(name, isHuffman));
    bytes.push(text(value, isHuffman));
    return Buffer.concat(bytes);
  }

  #insert(name: string, value: string): void {
    const size = name.length + value.length + 32;
    this.#evict(this.#maxBytes - size);
    if (size > this.#maxBytes) return;
    this.#entries.unshift([name, value]);
    this.#sizeBytes += size;
  }

  #evict(maxBytes: number): void {
    while (this.#sizeBytes > maxBytes) {
      const entry = this.#entries.pop();
      if (entry === undefined) return;
      this.#sizeBytes -= entry[0].length + entry[1].length + 32;
    }
  }
}

/** RFC 7541 §5.1. */
function integer(first: number, prefix: number, value: number): number[] {
  if (value < prefix) return [first | value];
  const bytes = [first | prefix];
  let rest = value - prefix;
  for (; rest >= 128; rest >>>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

function text(value: string, isHuffman: boolean): Buffer {
  const bytes = isHuffman ? encodeHuffman(value) : Buffer.from(value, "latin1");
  return Buffer.concat([Buffer.from(integer(isHuffman ? 128 : 0, 127, bytes.length)), bytes]);
}

/** The text in the string code of RFC 7541, padded. */
export function encodeHuffman(value: string): Buffer {
  let bits = "";
  for (const byte of Buffer.from(value, "latin1")) bits += CODES[byte] ?? "";
  bits += "1".repeat((8 - (bits.length % 8)) % 8);
  return Buffer.from((bits.match(/.{8}/gu) ?? []).map((octet) => Number.parseInt(octet, 2)));
}

/** Codes as text; the code is canonical, so lengths and order say all of it. */
const CODES: string[] = [];
let code = 0;
for (let length = 1; length <= 30; length++) {
  code *= 2;
  for (const [symbol, bits] of LENGTHS.entries()) {
    if (bits === length) CODES[symbol] = (code++).toString(2).padStart(length, "0");
  }
}
