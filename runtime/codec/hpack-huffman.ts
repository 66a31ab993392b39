// The string code of HPACK (RFC 7541 §5.2, Appendix B). The code is canonical: its lengths say all of it. One look-up
// decodes a symbol of up to ten bits, which is nearly all text; longer ones are found by their length.

/** Bits of each symbol's code; the last is EOS. */
export const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];

const EOS = 256;
const SHORT_BITS = 10;
const LONG_BITS = 30;

/** By the next ten bits: length of the code × 256 + symbol; 0 where the code is longer. */
const SHORT = new Uint16Array(1 << SHORT_BITS);
/** Symbols in the order of their codes; of each length, its first code, one past its last, and where its symbols begin. */
const SORTED = new Uint16Array(LENGTHS.length);
const FIRST = new Int32Array(LONG_BITS + 1);
const LAST = new Int32Array(LONG_BITS + 1);
const BEGIN = new Int32Array(LONG_BITS + 1);

let code = 0;
let sorted = 0;
for (let bits = 1; bits <= LONG_BITS; bits++) {
  code <<= 1;
  FIRST[bits] = code;
  BEGIN[bits] = sorted;
  for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
    if (LENGTHS[symbol] !== bits) continue;
    SORTED[sorted++] = symbol;
    if (bits <= SHORT_BITS)
      SHORT.fill(bits * 256 + symbol, code << (SHORT_BITS - bits), (code + 1) << (SHORT_BITS - bits));
    code++;
  }
  LAST[bits] = code;
}

/** Bytes that a decoded string may take at most: the shortest code has five bits. */
export function huffmanMaxBytes(lengthBytes: number): number {
  return Math.floor((lengthBytes * 8) / 5);
}

/**
 * Decodes the bytes from `start` to `end` into `out`, which has room for `huffmanMaxBytes`. Returns the position after
 * the last byte written; -1 for a string that holds EOS, an unfinished code, or padding that is longer than seven bits
 * or not all ones (RFC 7541 §5.2).
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number, out: Buffer, position: number): number {
  let at = start;
  let to = position;
  /** The low `count` bits are those that were read and not yet used. */
  let bits = 0;
  let count = 0;
  for (;;) {
    while (count < SHORT_BITS && at < end) {
      bits = (bits << 8) | (bytes[at++] ?? 0);
      count += 8;
    }
    if (count < SHORT_BITS) break;
    const entry = SHORT[(bits >>> (count - SHORT_BITS)) & (SHORT.length - 1)] ?? 0;
    if (entry !== 0) {
      count -= entry >>> 8;
      out[to++] = entry & 255;
      continue;
    }
    // A double: up to 17 bits are there, and 30 may be needed before a byte's end.
    let value = bits & ((1 << count) - 1);
    let length = SHORT_BITS;
    let found = -1;
    while (found < 0 && length < LONG_BITS) {
      length++;
      if (length > count) {
        if (at >= end) return -1;
        value = value * 256 + (bytes[at++] ?? 0);
        count += 8;
      }
      const prefix = Math.floor(value / 2 ** (count - length));
      if (prefix < (LAST[length] ?? 0)) found = SORTED[(BEGIN[length] ?? 0) + prefix - (FIRST[length] ?? 0)] ?? -1;
    }
    if (found < 0 || found === EOS) return -1;
    out[to++] = found;
    count -= length;
    bits = value % 2 ** count;
  }
  // Fewer than ten bits: whole codes, then padding, which is the beginning of EOS.
  for (;;) {
    const missing = SHORT_BITS - count;
    const entry = SHORT[((bits << missing) | ((1 << missing) - 1)) & (SHORT.length - 1)] ?? 0;
    if (entry === 0 || entry >>> 8 > count) break;
    count -= entry >>> 8;
    out[to++] = entry & 255;
  }
  const ones = (1 << count) - 1;
  return count <= 7 && (bits & ones) === ones ? to : -1;
}
