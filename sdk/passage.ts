// Bytes on their way through a framer: what of them goes on, and in which order with what a handler writes. As long as all
// goes on as it came, nothing is copied, and the chunk passes whole.
import type { Flow, Passed } from "./connection.ts";
import type { Content } from "./content.ts";

const EMPTY = new Uint8Array();

/** One chunk, behind what was held of those before. */
export class Passage {
  readonly bytes: Uint8Array;
  /** Where the next frame begins; what is before it was seen off. */
  at = 0;
  /** What lies between here and `at` goes on, and was not written yet. */
  #from = 0;
  readonly #flow: Flow;
  readonly #isOneChunk: boolean;

  constructor(held: Uint8Array, chunk: Uint8Array, flow: Flow) {
    this.bytes = joined(held, chunk);
    this.#isOneChunk = held.length === 0;
    this.#flow = flow;
  }

  get isClosing(): boolean {
    return this.#flow.isClosing;
  }

  /** Where a handler's writes will begin that is called next. */
  get mark(): number {
    return this.#flow.out.length;
  }

  /** Bytes up to `end` go on. */
  pass(end: number): void {
    this.at = end;
  }

  /** Bytes up to `end` do not. */
  drop(end: number): void {
    this.#flush(this.mark);
    this.at = end;
    this.#from = end;
  }

  /** What was seen off so far goes before what a handler wrote since `mark`. */
  order(mark: number): void {
    if (this.mark > mark) this.#flush(mark);
  }

  /** What goes on in the place of a frame, whose bytes were dropped. */
  write(contents: Content | readonly Content[]): void {
    const { out } = this.#flow;
    if (typeof contents === "string" || contents instanceof Uint8Array) out.push(contents);
    else out.push(...contents);
  }

  /** What has no end yet; a copy, as it must not keep the whole chunk. */
  hold(): Uint8Array {
    return this.at === this.bytes.length ? EMPTY : new Uint8Array(this.bytes.subarray(this.at));
  }

  /** What the handler of bytes returns: everything that was seen off. */
  finish(): Passed {
    if (this.#isOneChunk && this.#from === 0 && this.at === this.bytes.length) return undefined;
    return this.bytes.subarray(this.#from, this.at);
  }

  #flush(index: number): void {
    if (this.at > this.#from) this.#flow.out.splice(index, 0, this.bytes.subarray(this.#from, this.at));
    this.#from = this.at;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
