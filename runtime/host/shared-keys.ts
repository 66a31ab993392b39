// Keys as slots hold them: 64 bits of a hash that nobody can aim, in two words.

/** A key's hash; the object is used again for the next key. */
export interface KeyHash {
  low: number;
  high: number;
}

/** Hashes keys of one region. */
export class KeyHasher {
  readonly #seed: bigint;
  readonly #long = new BigUint64Array(1);
  readonly #words = new Int32Array(this.#long.buffer);
  readonly #hash: KeyHash = { low: 0, high: 0 };

  constructor(seed: bigint) {
    this.#seed = seed;
  }

  /** Valid until the next call. */
  hash(key: string): KeyHash {
    this.#long[0] = Bun.hash.wyhash(key, this.#seed);
    const [low = 0, high = 0] = this.#words;
    this.#hash.low = low;
    this.#hash.high = high;
    return this.#hash;
  }
}
