// A bounded memory of what was expensive to make: what was not asked for the longest goes first.

/** Values by key; at most `sizeMax`, which weigh `weightMax` together. */
export class Lru<Value> {
  readonly #sizeMax: number;
  readonly #weightMax: number;
  readonly #kept = new Map<string, { readonly value: Value; readonly weight: number }>();
  #weight = 0;

  constructor(sizeMax: number, weightMax: number = Number.POSITIVE_INFINITY) {
    this.#sizeMax = sizeMax;
    this.#weightMax = weightMax;
  }

  get(key: string): Value | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    // A map keeps its keys in the order in which they came.
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return kept.value;
  }

  /** Keeps a value in the place of others; one that weighs more than all may is not kept. */
  set(key: string, value: Value, weight = 0): void {
    this.#delete(key);
    this.#kept.set(key, { value, weight });
    this.#weight += weight;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#sizeMax && this.#weight <= this.#weightMax) break;
      this.#delete(oldest);
    }
  }

  get size(): number {
    return this.#kept.size;
  }

  #delete(key: string): void {
    this.#weight -= this.#kept.get(key)?.weight ?? 0;
    this.#kept.delete(key);
  }
}
