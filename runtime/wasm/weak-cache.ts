// Compiled code by digest, for as long as something uses it: filters that share code share it compiled.

/** Holds values weakly; one that nobody else holds any more is gone from it. */
export class WeakCache<Key, Value extends WeakKey> {
  readonly #values = new Map<Key, WeakRef<Value>>();
  readonly #forgotten = new FinalizationRegistry<Key>((key) => {
    // Another value may have taken its place.
    if (this.#values.get(key)?.deref() === undefined) this.#values.delete(key);
  });

  get(key: Key): Value | undefined {
    return this.#values.get(key)?.deref();
  }

  set(key: Key, value: Value): void {
    this.#values.set(key, new WeakRef(value));
    this.#forgotten.register(value, key);
  }
}
