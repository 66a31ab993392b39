// One value that somebody waits for, told by a call. A promise would cost a turn of the microtask queue for each of the hands
// that a decision goes through.

/** A value that comes later, or has come. It has one taker. */
export class Pledge<Value> {
  #taker: ((value: Value) => void) | undefined = undefined;
  #told: { readonly value: Value } | undefined = undefined;
  #isSettled = false;

  /** The value is there; the first counts. Whoever takes it is told before this returns, and must not throw. */
  settle(value: Value): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    if (this.#taker === undefined) this.#told = { value };
    else this.#taker(value);
  }

  /** Tells `taker` once: now where the value is there already. */
  take(taker: (value: Value) => void): void {
    if (this.#told === undefined) this.#taker = taker;
    else taker(this.#told.value);
  }
}

/** The same for those who wait by promises. */
export function promiseOf<Value>(pledged: Pick<Pledge<Value>, "take">): Promise<Value> {
  return new Promise((resolve) => pledged.take(resolve));
}
