// The interface `host` without the glue: the canonical ABI of its functions, written out (component model, "Canonical ABI").
// The glue keeps a task for every call of an import and finds each by a search through all of them, so that a call took
// 100 µs after some thousands and memory grew with each; these functions are synchronous and need none of it.
import { HOST_INTERFACE, SIDES, type LogLevel, type Side } from "../../sdk/wit/world.ts";
import type { HostAnswer } from "../host/answer.ts";
import { knownAt } from "./direct-entry.ts";

/** What the functions do, their strings lifted; bytes are the guest's, and valid during the call only. Those that throw trap the guest. */
export interface HostCalls {
  log(level: LogLevel, message: string, fields: string): void;
  start(call: number, kind: string, request: string, payload: Uint8Array): number;
  stop(operation: number): void;
  emit(call: number, to: Side, bytes: Uint8Array): void;
  settle(call: number, answer: string): void;
  text(name: string, request: string, payload: Uint8Array): HostAnswer<string>;
  bytes(name: string, request: string, payload: Uint8Array): HostAnswer<Uint8Array>;
}

type Imports = Readonly<Record<string, Bun.WebAssembly.ModuleImports>>;
type CoreFunction = (...values: number[]) => number;

const NOTHING = new Uint8Array(0);
/** What guests start; the host says of anything else that it is not offered. */
const OPERATION_KINDS = ["fetch", "sleep", "body"] as const;
const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];
/** Bytes that one UTF-16 unit takes at most in UTF-8. */
const UTF8_BYTES_MAX = 3;

/** The lowered functions of one module that imports the interface. */
export class DirectHost {
  readonly #calls: HostCalls;
  #memory: WebAssembly.Memory | undefined;
  #reallocate: CoreFunction | undefined;
  /** A view of the memory, made again when it has grown: growing detaches the old one. */
  #bytes: Buffer = Buffer.alloc(0);

  constructor(calls: HostCalls) {
    this.#calls = calls;
  }

  /** What the module is linked against in the place of the glue's functions. */
  get imports(): Bun.WebAssembly.ModuleImports {
    return {
      log: (level: number, message: number, messageLength: number, fields: number, fieldsLength: number) =>
        this.#calls.log(LEVELS[level] ?? "info", this.#text(message, messageLength), this.#text(fields, fieldsLength)),
      start: (
        call: number,
        kind: number,
        kindLength: number,
        request: number,
        requestLength: number,
        payload: number,
        payloadLength: number,
      ) =>
        this.#calls.start(
          call >>> 0,
          this.#kind(kind, kindLength),
          this.#text(request, requestLength),
          this.#view(payload, payloadLength),
        ),
      stop: (operation: number) => this.#calls.stop(operation >>> 0),
      emit: (call: number, side: number, start: number, length: number) => {
        const to = SIDES[side];
        if (to === undefined) throw new Error(`emits to side ${side}`);
        this.#calls.emit(call >>> 0, to, this.#view(start, length));
      },
      settle: (call: number, answer: number, length: number) =>
        this.#calls.settle(call >>> 0, this.#text(answer, length)),
      text: (...at: number[]) => this.#answer(at, (...asked) => this.#lowerText(this.#calls.text(...asked))),
      bytes: (...at: number[]) => this.#answer(at, (...asked) => this.#lowerBytes(this.#calls.bytes(...asked))),
    };
  }

  /** Called once the module is linked: its own memory, or the one that it was given, and its allocator. */
  linked(exports: Readonly<Record<string, unknown>>, imports: Imports): void {
    this.#memory = [exports, ...Object.values(imports)].flatMap((namespace) => memoriesOf(namespace)).at(0);
    const reallocate = exports["cabi_realloc"];
    if (isFunction(reallocate)) this.#reallocate = reallocate;
  }

  /** name, request, payload, each by pointer and length, and where the result goes. */
  #answer(at: readonly number[], run: (name: string, request: string, payload: Uint8Array) => Lowered): void {
    const [name = 0, nameLength = 0, request = 0, requestLength = 0, payload = 0, payloadLength = 0, result = 0] = at;
    const { isError, start, length } = run(
      this.#text(name, nameLength),
      this.#text(request, requestLength),
      this.#view(payload, payloadLength),
    );
    const bytes = this.#view(result, 12);
    const words = new DataView(bytes.buffer, bytes.byteOffset, 12);
    words.setUint8(0, isError ? 1 : 0);
    words.setUint32(4, start, true);
    words.setUint32(8, length, true);
  }

  #lowerText({ result }: HostAnswer<string>): Lowered {
    return { isError: !result.ok, ...this.#lower(result.ok ? result.value : result.error) };
  }

  #lowerBytes({ result }: HostAnswer<Uint8Array>): Lowered {
    if (!result.ok) return { isError: true, ...this.#lower(result.error) };
    const { length } = result.value;
    const start = this.#allocate(length);
    this.#view(start, length).set(result.value);
    return { isError: false, start, length };
  }

  #lower(text: string): { readonly start: number; readonly length: number } {
    const capacity = text.length * UTF8_BYTES_MAX;
    const start = this.#allocate(capacity);
    this.#check(start, capacity);
    return { start, length: this.#bytes.utf8Write(text, start, capacity) };
  }

  /** The guest frees what it is handed. */
  #allocate(size: number): number {
    if (size === 0) return 1;
    if (this.#reallocate === undefined) throw new Error("has no allocator");
    return this.#reallocate(0, 0, 1, size) >>> 0;
  }

  #kind(start: number, length: number): string {
    const from = start >>> 0;
    const size = length >>> 0;
    this.#check(from, size);
    return knownAt(this.#bytes, from, size, OPERATION_KINDS) ?? this.#bytes.utf8Slice(from, from + size);
  }

  #text(start: number, length: number): string {
    const from = start >>> 0;
    const size = length >>> 0;
    this.#check(from, size);
    return this.#bytes.utf8Slice(from, from + size);
  }

  #view(start: number, length: number): Uint8Array {
    const from = start >>> 0;
    const size = length >>> 0;
    this.#check(from, size);
    return size === 0 ? NOTHING : new Uint8Array(this.#bytes.buffer, from, size);
  }

  /** Looks at the memory as it is now, and throws where so many bytes do not lie in it. */
  #check(start: number, length: number): void {
    if (this.#memory === undefined) throw new Error("calls its host before it is linked");
    // A detached view has no length, and to ask for that costs less than to ask the memory for its buffer.
    if (this.#bytes.length === 0) this.#bytes = Buffer.from(this.#memory.buffer);
    if (start + length > this.#bytes.length) throw new Error("points beyond its memory");
  }
}

/** A result that lies in the guest's memory. */
interface Lowered {
  readonly isError: boolean;
  readonly start: number;
  readonly length: number;
}

/** Whether a module imports the interface by its name. */
export function importsHost(imports: Imports): boolean {
  return Object.hasOwn(imports, HOST_INTERFACE);
}

function memoriesOf(namespace: unknown): readonly WebAssembly.Memory[] {
  if (typeof namespace !== "object" || namespace === null) return [];
  return Object.values(namespace).filter((value) => value instanceof WebAssembly.Memory);
}

function isFunction(value: unknown): value is CoreFunction {
  return typeof value === "function";
}
