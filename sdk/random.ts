// Random numbers of a filter, from a seed: the engine in the sandbox was started when the filter was built, and its own
// `Math.random` gives every instance the same numbers. Not for secrets: those are `crypto.getRandomValues`.

/** Bytes of a seed. */
export const SEED_BYTES = 16;
/** Numbers of a seed that is nearly zero are alike at first. */
const SKIPPED = 12;

/** Uniform numbers in [0, 1) of 32 bits (sfc32), the same for the same seed. */
export function createRandom(seed: Uint8Array): () => number {
  const view = new DataView(seed.buffer, seed.byteOffset, SEED_BYTES);
  let [a, b] = [view.getInt32(0, true), view.getInt32(4, true)];
  let [c, counter] = [view.getInt32(8, true), view.getInt32(12, true)];
  function next(): number {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 4_294_967_296;
  }
  for (let skipped = 0; skipped < SKIPPED; skipped++) next();
  return next;
}
