// The string code of HPACK (RFC 7541 §5.2, Appendix B). The code is canonical: its lengths say all of it. One look-up
// decodes one or two symbols of together up to twelve bits, which is nearly all text; longer ones are found by their length.

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
const SHORT_BITS = 12;
const SHORT_MASK = (1 << SHORT_BITS) - 1;
const LONG_BITS = 30;

/**
 * By the next twelve bits: one symbol, or two where both fit, in bits 0 to 7 and 8 to 15; how many in bits 16 and 17; bits
 * they take from bit 18 on. 0 where the code is longer.
 */
const SHORT = new Int32Array(1 << SHORT_BITS);
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
      SHORT.fill((bits << 18) | (1 << 16) | symbol, code << (SHORT_BITS - bits), (code + 1) << (SHORT_BITS - bits));
    code++;
  }
  LAST[bits] = code;
}
// A second symbol where its code fits behind the first's.
for (let window = 0; window <= SHORT_MASK; window++) {
  const one = SHORT[window] ?? 0;
  const bits = one >>> 18;
  const next = SHORT[(window << bits) & SHORT_MASK] ?? 0;
  const nextBits = LENGTHS[next & 255] ?? LONG_BITS;
  if (one === 0 || next === 0 || bits + nextBits > SHORT_BITS) continue;
  SHORT[window] = ((bits + nextBits) << 18) | (2 << 16) | ((next & 255) << 8) | (one & 255);
}

/** Where `decodeLong` stopped. */
let longAt = 0;
let longBits = 0;
let longCount = 0;

/** Bytes that a decoded string may take at most: the shortest code has five bits. One more may be written behind it. */
export function huffmanMaxBytes(lengthBytes: number): number {
  return (lengthBytes * 13) >>> 3;
}

/**
 * Decodes the bytes from `start` to `end` into `out`, which has room for `huffmanMaxBytes` and one. Returns the position
 * after the last byte written, or its bitwise complement where a control character other than tab was among them; -1 for
 * a string that holds EOS, an unfinished code, or padding that is longer than seven bits or not all ones (RFC 7541 §5.2).
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number, out: Buffer, position: number): number {
  let at = start;
  let to = position;
  /** The low `count` bits are those that were read and not yet used. */
  let bits = 0;
  let count = 0;
  let isClean = true;
  const last = end - 1;
  for (;;) {
    if (count < SHORT_BITS) {
      if (at >= last) {
        if (at === end) break;
        bits = (bits << 8) | (bytes[at++] ?? 0);
        count += 8;
        if (count < SHORT_BITS) break;
      } else {
        bits = (bits << 16) | ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
        at += 2;
        count += 16;
      }
    }
    const entry = SHORT[(bits >>> (count - SHORT_BITS)) & SHORT_MASK] ?? 0;
    if (entry !== 0) {
      // Always two bytes: a second that there is not is overwritten.
      out[to] = entry;
      out[to + 1] = entry >>> 8;
      to += (entry >>> 16) & 3;
      count -= entry >>> 18;
      continue;
    }
    const symbol = decodeLong(bytes, at, end, bits & ((1 << count) - 1), count);
    if (symbol < 0) return -1;
    if (symbol === 127 || (symbol < 32 && symbol !== 9)) isClean = false;
    out[to++] = symbol;
    at = longAt;
    bits = longBits;
    count = longCount;
  }
  to = decodeLast(bits, count, out, to);
  return isClean || to < 0 ? to : ~to;
}

/** Fewer than twelve bits are left: whole codes, then padding, which is the beginning of EOS. */
function decodeLast(bits: number, left: number, out: Buffer, position: number): number {
  let count = left;
  let to = position;
  for (;;) {
    const missing = SHORT_BITS - count;
    const entry = SHORT[((bits << missing) | ((1 << missing) - 1)) & SHORT_MASK] ?? 0;
    const length = LENGTHS[entry & 255] ?? LONG_BITS;
    if (entry === 0 || length > count) break;
    out[to++] = entry;
    count -= length;
  }
  const ones = (1 << count) - 1;
  return count <= 7 && (bits & ones) === ones ? to : -1;
}

/** One symbol of more than twelve bits, `count` of which are in `bits`; -1 where there is none. */
function decodeLong(bytes: Buffer, start: number, end: number, bits: number, available: number): number {
  let at = start;
  let count = available;
  // A double: up to 27 bits are there, and 30 may be needed before a byte's end.
  let value = bits;
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
  longAt = at;
  longCount = count - length;
  longBits = value % 2 ** longCount;
  return found;
}
