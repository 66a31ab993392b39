// The memory of what sockets read. Bun gives each chunk memory of its own, up to half a megabyte, which nobody else holds:
// who has passed a large one on frees it at once, or every chunk would lie in memory that is new to the processor's cache.

/** From here on a chunk is worth freeing; below, that costs more than it brings. */
export const LARGE_CHUNK_BYTES: number = 32 * 1024;

/**
 * Frees a large chunk's memory now instead of at the next collection: the next chunk takes the same memory. Whoever calls
 * this has seen to it that nobody reads the chunk, or a part of it, from here on.
 */
export function freeChunk(chunk: Buffer): void {
  if (chunk.length < LARGE_CHUNK_BYTES) return;
  const { buffer } = chunk;
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}

/** The head that a chunk begins with, apart from what follows: a head outlives its chunk, and must not keep it. */
export function headOf(chunk: Buffer, after: number): Buffer {
  return Buffer.from(chunk.subarray(0, after));
}

/** Who takes chunks. */
interface ChunkTaker {
  data(chunk: Buffer): void;
}

/** Which chunk is worked on: another number for each, 0 between them. */
export let currentChunk = 0;
let chunks = 0;

/** Hands a chunk to who takes it. */
export function feedChunk(taker: ChunkTaker, chunk: Buffer): void {
  const outer = currentChunk;
  chunks = (chunks & 0x3fffffff) + 1;
  currentChunk = chunks;
  try {
    taker.data(chunk);
  } finally {
    currentChunk = outer;
  }
}
