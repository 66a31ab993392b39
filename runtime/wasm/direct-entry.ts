// The exports of `handler` without the glue: the canonical ABI of their functions, written out (component model,
// "Canonical ABI"). The glue keeps books on tasks for asynchronous calls, which costs 2 to 15 µs and garbage on every call;
// a synchronous export needs none of it. Strings are UTF-8, as the world demands.
import { HANDLER_INTERFACE, PHASES, SIDES, type Phase, type Side } from "../../sdk/wit/world.ts";

type Core = Readonly<Record<string, unknown>>;
type CoreFunction = (...values: number[]) => number;

/** What answers calls, found while the glue links the modules. */
export interface DirectEntry {
  begin(call: number, phase: Phase, head: string): string;
  resume(call: number, operation: number, outcome: string, payload: Uint8Array): string;
  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): string;
}

/** The entry of a module that exports it; `undefined` for every other module. */
export function findEntry(exports: Core, imports: Readonly<Record<string, unknown>>): DirectEntry | undefined {
  const [begin, resume, chunk] = ["begin", "resume", "chunk"].map((name) => exportOf(exports, name));
  const reallocate = exports["cabi_realloc"];
  const memory = [exports, ...Object.values(imports)].flatMap((namespace) => memoriesOf(namespace)).at(0);
  if (begin === undefined || resume === undefined || chunk === undefined) return undefined;
  if (!isFunction(reallocate) || memory === undefined) return undefined;
  return new Entry({ begin, resume, chunk }, reallocate, memory);
}

/** A function, and what lets go of the answer that it left in memory, where the guest does not by itself. */
interface Exported {
  readonly call: CoreFunction;
  readonly release: CoreFunction | undefined;
}

interface Functions {
  readonly begin: Exported;
  readonly resume: Exported;
  readonly chunk: Exported;
}

/** Bytes that one UTF-16 unit takes at most in UTF-8. */
const UTF8_BYTES_MAX = 3;
/** On every engine. */
export const ANSWER_MAX_BYTES: number = 1024 * 1024;
/** Of an allocation of nothing. */
const NOWHERE = 1;

class Entry implements DirectEntry {
  readonly #functions: Functions;
  readonly #reallocate: CoreFunction;
  readonly #memory: WebAssembly.Memory;
  /** Views of the memory, made again when it has grown: growing detaches the old ones. */
  #bytes: Buffer;
  #words: DataView;

  constructor(functions: Functions, reallocate: CoreFunction, memory: WebAssembly.Memory) {
    this.#functions = functions;
    this.#reallocate = reallocate;
    this.#memory = memory;
    this.#bytes = Buffer.from(memory.buffer);
    this.#words = new DataView(memory.buffer);
  }

  begin(call: number, phase: Phase, head: string): string {
    const { begin } = this.#functions;
    const pointer = this.#allocate(head.length * UTF8_BYTES_MAX);
    const length = this.#write(pointer, head);
    return this.#answer(begin.call(call, PHASE_NUMBERS[phase], pointer, length), begin);
  }

  resume(call: number, operation: number, outcome: string, payload: Uint8Array): string {
    const { resume } = this.#functions;
    const text = this.#allocate(outcome.length * UTF8_BYTES_MAX);
    const length = this.#write(text, outcome);
    const data = this.#place(payload);
    return this.#answer(resume.call(call, operation, text, length, data, payload.length), resume);
  }

  chunk(call: number, source: Side, bytes: Uint8Array, isEnd: boolean): string {
    const { chunk } = this.#functions;
    const data = this.#place(bytes);
    return this.#answer(chunk.call(call, SIDE_NUMBERS[source], data, bytes.length, isEnd ? 1 : 0), chunk);
  }

  /** Room of the guest's, which frees what it is handed. */
  #allocate(size: number): number {
    if (size === 0) return NOWHERE;
    const pointer = this.#reallocate(0, 0, 1, size) >>> 0;
    this.#refresh();
    if (pointer + size > this.#bytes.length) throw new Error("allocated beyond its memory");
    return pointer;
  }

  #write(pointer: number, text: string): number {
    if (text === "") return 0;
    return this.#bytes.utf8Write(text, pointer, text.length * UTF8_BYTES_MAX);
  }

  #place(bytes: Uint8Array): number {
    const pointer = this.#allocate(bytes.length);
    if (bytes.length > 0) this.#bytes.set(bytes, pointer);
    return pointer;
  }

  #answer(result: number, { release }: Exported): string {
    this.#refresh();
    const at = result >>> 0;
    const start = this.#words.getUint32(at, true);
    const length = this.#words.getUint32(at + 4, true);
    if (length > ANSWER_MAX_BYTES || start + length > this.#bytes.length) throw new Error("answered beyond its memory");
    const answer = knownAt(this.#bytes, start, length, SHORT_ANSWERS) ?? this.#bytes.utf8Slice(start, start + length);
    release?.(at);
    return answer;
  }

  #refresh(): void {
    // A detached view has no length, and to ask for that costs less than to ask the memory for its buffer.
    if (this.#bytes.length > 0) return;
    this.#bytes = Buffer.from(this.#memory.buffer);
    this.#words = new DataView(this.#memory.buffer);
  }
}

/** What most calls answer. */
const SHORT_ANSWERS = ["proceed\n", "pending\n"] as const;

/** Which of these ASCII texts the bytes are: to compare some letters costs less than to make a string of them. */
export function knownAt<Text extends string>(
  bytes: Uint8Array,
  start: number,
  length: number,
  texts: readonly Text[],
): Text | undefined {
  for (const text of texts) if (text.length === length && isAt(bytes, start, text)) return text;
  return undefined;
}

function isAt(bytes: Uint8Array, start: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) if (bytes[start + index] !== text.charCodeAt(index)) return false;
  return true;
}

const PHASE_NUMBERS = numbersOf(PHASES);
const SIDE_NUMBERS = numbersOf(SIDES);

/** The numbers of an enumeration's cases. */
function numbersOf<Name extends string>(names: readonly Name[]): Readonly<Record<Name, number>> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has an entry for each name
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<Name, number>;
}

function exportOf(exports: Core, name: string): Exported | undefined {
  const call = exports[`${HANDLER_INTERFACE}#${name}`];
  const release = exports[`cabi_post_${HANDLER_INTERFACE}#${name}`];
  return isFunction(call) ? { call, release: isFunction(release) ? release : undefined } : undefined;
}

function memoriesOf(namespace: unknown): readonly WebAssembly.Memory[] {
  if (typeof namespace !== "object" || namespace === null) return [];
  return Object.values(namespace).filter((value) => value instanceof WebAssembly.Memory);
}

function isFunction(value: unknown): value is CoreFunction {
  return typeof value === "function";
}
