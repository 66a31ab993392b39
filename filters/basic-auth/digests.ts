// SHA-1 (RFC 3174) and MD5 (RFC 1321) over strings of bytes, for password files that use them; neither is fit for anything
// else. Plain arithmetic, since the sandbox has no native cryptography. Pure.

/** The 20 bytes of a SHA-1 digest. */
export function sha1(message: string): string {
  const words = pad(message, true);
  const schedule = new Int32Array(80);
  let [h0, h1, h2, h3, h4] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  for (let block = 0; block < words.length; block += 16) {
    let [a, b, c, d, e] = [h0, h1, h2, h3, h4];
    for (let step = 0; step < 80; step++) {
      const word =
        step < 16
          ? wordAt(words, block + step)
          : rotate(
              wordAt(schedule, step - 3) ^
                wordAt(schedule, step - 8) ^
                wordAt(schedule, step - 14) ^
                wordAt(schedule, step - 16),
              1,
            );
      schedule[step] = word;
      let mixed: number;
      if (step < 20) mixed = ((b & c) | (~b & d)) + 0x5a827999;
      else if (step < 40) mixed = (b ^ c ^ d) + 0x6ed9eba1;
      else if (step < 60) mixed = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
      else mixed = (b ^ c ^ d) + 0xca62c1d6;
      const next = (rotate(a, 5) + mixed + e + word) | 0;
      [e, d, c, b, a] = [d, c, rotate(b, 30), a, next];
    }
    [h0, h1, h2, h3, h4] = [(h0 + a) | 0, (h1 + b) | 0, (h2 + c) | 0, (h3 + d) | 0, (h4 + e) | 0];
  }
  return [h0, h1, h2, h3, h4].map((word) => render(word, true)).join("");
}

/** The 16 bytes of an MD5 digest. Written without calls and destructuring: `$apr1$` runs it a thousand times, interpreted in the sandbox. */
export function md5(message: string): string {
  const words = pad(message, false);
  let a0 = 0x67452301;
  let b0 = 0xefcdab89 | 0;
  let c0 = 0x98badcfe | 0;
  let d0 = 0x10325476;
  for (let block = 0; block < words.length; block += 16) {
    let a = a0;
    let b = b0;
    let c = c0;
    let d = d0;
    for (let step = 0; step < 64; step++) {
      let mixed: number;
      if (step < 16) mixed = (b & c) | (~b & d);
      else if (step < 32) mixed = (d & b) | (~d & c);
      else if (step < 48) mixed = b ^ c ^ d;
      else mixed = c ^ (b | ~d);
      const sum = (a + mixed + (SINES[step] ?? 0) + (words[block + (INDEXES[step] ?? 0)] ?? 0)) | 0;
      const turn = TURNS[step] ?? 0;
      a = d;
      d = c;
      c = b;
      b = (b + ((sum << turn) | (sum >>> (32 - turn)))) | 0;
    }
    a0 = (a0 + a) | 0;
    b0 = (b0 + b) | 0;
    c0 = (c0 + c) | 0;
    d0 = (d0 + d) | 0;
  }
  return render(a0, false) + render(b0, false) + render(c0, false) + render(d0, false);
}

const SINES = Int32Array.from({ length: 64 }, (_, index) => Math.floor(Math.abs(Math.sin(index + 1)) * 2 ** 32));
const TURNS_OF_ROUND = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
const TURNS = Int32Array.from({ length: 64 }, (_, step) => TURNS_OF_ROUND[((step >> 4) << 2) | (step & 3)] ?? 0);
/** Which word each step takes. */
const INDEXES = Int32Array.from({ length: 64 }, (_, step) => {
  const round = step >> 4;
  return (round === 0 ? step : round === 1 ? 5 * step + 1 : round === 2 ? 3 * step + 5 : 7 * step) & 15;
});

/** The message's words in blocks of 16, with the end mark and the length in bits. */
function pad(message: string, isBigEndian: boolean): Int32Array {
  const count = (((message.length + 8) >> 6) + 1) * 16;
  const text = `${message}\u0080${"\0".repeat(count * 4 - message.length - 1)}`;
  const words = new Int32Array(count);
  for (let index = 0, at = 0; index < count; index++, at += 4) {
    const first = text.charCodeAt(at);
    const second = text.charCodeAt(at + 1);
    const third = text.charCodeAt(at + 2);
    const fourth = text.charCodeAt(at + 3);
    words[index] = isBigEndian
      ? (first << 24) | (second << 16) | (third << 8) | fourth
      : first | (second << 8) | (third << 16) | (fourth << 24);
  }
  words[count - (isBigEndian ? 1 : 2)] = message.length * 8;
  return words;
}

function render(word: number, isBigEndian: boolean): string {
  const shifts = isBigEndian ? [24, 16, 8, 0] : [0, 8, 16, 24];
  return String.fromCharCode(...shifts.map((shift) => (word >>> shift) & 0xff));
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function wordAt(words: Int32Array, index: number): number {
  return words[index] ?? 0;
}
