// Randomness that a test chooses: while a filter is mounted with a seed, `Math.random` and `crypto.getRandomValues` follow
// from it, natively and for what the sandbox asks of its host.
import { createRandom, SEED_BYTES } from "../random.ts";

export class FakedRandom {
  readonly #ownRandom = Math.random;

  constructor(seed: number) {
    const bytes = new Uint8Array(SEED_BYTES);
    new DataView(bytes.buffer).setFloat64(0, seed);
    const filler = (): (<View extends ArrayBufferView>(view: View) => View) => {
      const next = createRandom(bytes);
      return (view) => {
        const target = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
        for (let at = 0; at < target.length; at++) target[at] = Math.floor(next() * 256);
        return view;
      };
    };
    Object.defineProperty(crypto, "getRandomValues", { value: filler(), configurable: true });
    // Seeded as the sandbox seeds its own, by the first bytes: the numbers are the same there.
    Math.random = createRandom(filler()(new Uint8Array(SEED_BYTES)));
  }

  restore(): void {
    Math.random = this.#ownRandom;
    Reflect.deleteProperty(crypto, "getRandomValues");
  }
}
