// `begin` without the glue: the canonical ABI of one function, written out (component model, "Canonical ABI"). The glue
// keeps books on tasks for asynchronous calls, which costs 2 µs of 10 and garbage on every call; a synchronous export
// needs none of it. Strings are UTF-8, as the world demands.
import { HANDLER_INTERFACE, PHASES, type Phase } from "../../sdk/wit/world.ts";

type Core = Readonly<Record<string, unknown>>;
type CoreFunction = (...values: number[]) => number;

/** The export that takes heads, found while the glue links the modules. */
export interface DirectEntry {
  begin(call: number, phase: Phase, head: string): string;
}

/** The entry of a module that exports it; `undefined` for every other module. */
export function findEntry(exports: Core, imports: Readonly<Record<string, unknown>>): DirectEntry | undefined {
  const begin = exports[`${HANDLER_INTERFACE}#begin`];
  const release = exports[`cabi_post_${HANDLER_INTERFACE}#begin`];
  const reallocate = exports["cabi_realloc"];
  const memory = [exports, ...Object.values(imports)].flatMap((namespace) => memoriesOf(namespace)).at(0);
  if (!isFunction(begin) || !isFunction(release) || !isFunction(reallocate) || memory === undefined) return undefined;
  return new Entry(begin, release, reallocate, memory);
}

/** Bytes that one UTF-16 unit takes at most in UTF-8. */
const UTF8_BYTES_MAX = 3;
const ANSWER_MAX_BYTES = 1024 * 1024;

class Entry implements DirectEntry {
  readonly #begin: CoreFunction;
  readonly #release: CoreFunction;
  readonly #reallocate: CoreFunction;
  readonly #memory: WebAssembly.Memory;
  /** Views of the memory, made again when it has grown: growing detaches the old ones. */
  #bytes: Uint8Array;
  #words: DataView;

  constructor(begin: CoreFunction, release: CoreFunction, reallocate: CoreFunction, memory: WebAssembly.Memory) {
    this.#begin = begin;
    this.#release = release;
    this.#reallocate = reallocate;
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
    this.#words = new DataView(memory.buffer);
  }

  begin(call: number, phase: Phase, head: string): string {
    const capacity = head.length * UTF8_BYTES_MAX;
    // The guest frees what it is handed.
    const pointer = capacity === 0 ? 1 : this.#reallocate(0, 0, 1, capacity) >>> 0;
    this.#refresh();
    if (pointer + capacity > this.#bytes.length) throw new Error("allocated beyond its memory");
    const { written } = encoder.encodeInto(head, this.#bytes.subarray(pointer, pointer + capacity));
    const result = this.#begin(call, PHASES.indexOf(phase), pointer, written) >>> 0;
    this.#refresh();
    const start = this.#words.getUint32(result, true);
    const length = this.#words.getUint32(result + 4, true);
    if (length > ANSWER_MAX_BYTES || start + length > this.#bytes.length) throw new Error("answered beyond its memory");
    const answer = decoder.decode(this.#bytes.subarray(start, start + length));
    this.#release(result);
    return answer;
  }

  #refresh(): void {
    if (this.#bytes.buffer === this.#memory.buffer) return;
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#words = new DataView(this.#memory.buffer);
  }
}

function memoriesOf(namespace: unknown): readonly WebAssembly.Memory[] {
  if (typeof namespace !== "object" || namespace === null) return [];
  return Object.values(namespace).filter((value) => value instanceof WebAssembly.Memory);
}

function isFunction(value: unknown): value is CoreFunction {
  return typeof value === "function";
}

const encoder = new TextEncoder();
/** A byte order mark is part of a text here, not a mark. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
