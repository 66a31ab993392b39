// Values of the component model as Wasmtime's C API lays them out: 32 bytes each, a kind and what it is of. A guest
// chooses the types of what it imports, so a kind is looked at before anything behind it is read.
import { read, type Pointer } from "bun:ffi";
import type { LinearMemory } from "./linear-memories.ts";
import { ANSWER_MAX_BYTES } from "./direct-entry.ts";
import { address, OUT, type NativeMemory } from "./native-memory.ts";
import { required, type WasmtimeApi } from "./wasmtime-library.ts";

const BOOL = 0;
const U8 = 2;
const U32 = 6;
const U64 = 8;
const STRING = 12;
const LIST = 13;
const RECORD = 14;
const TUPLE = 15;
const ENUM = 17;
const OPTION = 18;
const RESULT_KIND = 19;
const RESOURCE = 21;

const VALUE_BYTES = 32;
/** Where in a value it is, behind its kind. */
const OF = 8;
const WORD_SHIFT = 2;
const ENTRY_BYTES = 48;

/** Offsets in the small area: what a guest is called with, what it answers, and a value that is being made. */
export const ARGUMENTS = 0;
export const ANSWER = 256;
const MADE = 320;
const SPARE = 384;
/** The two values of an argument that is a place. */
const PAIR = 448;

/** Reads what a guest calls the host with. Throws where it is of another type than the agreement says. */
export class Arguments {
  readonly #memory: NativeMemory;
  #pointer: Pointer = address(0);
  #guest: LinearMemory | undefined;
  /** Elements of lists that were read since `at`: each came as a value of its own. */
  listed = 0;

  constructor(memory: NativeMemory) {
    this.#memory = memory;
  }

  /** Those at `pointer`, of a guest whose bytes lie in `guest`. */
  at(pointer: Pointer, guest: LinearMemory | undefined): this {
    this.#pointer = pointer;
    this.#guest = guest;
    this.listed = 0;
    return this;
  }

  word(index: number): number {
    return read.u32(this.#pointer, this.#of(index, U32));
  }

  text(index: number): string {
    const offset = this.#of(index, STRING);
    return this.#memory.text(address(read.ptr(this.#pointer, offset + 8)), read.u32(this.#pointer, offset));
  }

  /** The name of an enumeration's case. */
  name(index: number): string {
    const offset = this.#of(index, ENUM);
    return this.#memory.text(address(read.ptr(this.#pointer, offset + 8)), read.u32(this.#pointer, offset));
  }

  /** Whether an argument is a place: the component was compiled with those. */
  isPlace(index: number): boolean {
    return read.u8(this.#pointer, index * VALUE_BYTES) === TUPLE;
  }

  /** A copy of bytes, which a guest hands over as a place in its memory or as a list. */
  bytes(index: number): Uint8Array {
    const isPlace = this.isPlace(index);
    const offset = this.#of(index, isPlace ? TUPLE : LIST);
    const size = read.u32(this.#pointer, offset);
    if (size === 0) return new Uint8Array();
    const values = address(read.ptr(this.#pointer, offset + 8));
    if (isPlace) return this.#bytesAt(values, size);
    this.listed += size;
    const copied = new Uint8Array(size * VALUE_BYTES);
    this.#memory.copyOut(values, copied);
    const bytes = new Uint8Array(size);
    for (let at = 0, from = OF; at < size; at++, from += VALUE_BYTES) bytes[at] = copied[from] ?? 0;
    return bytes;
  }

  resource(index: number): Pointer {
    return address(read.ptr(this.#pointer, this.#of(index, RESOURCE)));
  }

  /** A pair of a pointer and a length. */
  #bytesAt(pair: Pointer, size: number): Uint8Array {
    if (size !== 2 || read.u8(pair, 0) !== U32 || read.u8(pair, VALUE_BYTES) !== U32)
      throw new Error("was called with another type than filter.wit says");
    const start = read.u32(pair, OF);
    const length = read.u32(pair, VALUE_BYTES + OF);
    if (start + length > (this.#guest?.sizeBytes ?? 0)) throw new Error("points beyond its memory");
    const bytes = new Uint8Array(length);
    this.#memory.copyOut(address((this.#guest?.base ?? 0) + start), bytes);
    return bytes;
  }

  #of(index: number, kind: number): number {
    const offset = index * VALUE_BYTES;
    if (read.u8(this.#pointer, offset) !== kind) throw new Error("was called with another type than filter.wit says");
    return offset + OF;
  }
}

/** Makes values that Wasmtime takes over; one at a time. */
export class Values {
  readonly #memory: NativeMemory;
  readonly #api: WasmtimeApi;

  constructor(memory: NativeMemory, api: WasmtimeApi) {
    this.#memory = memory;
    this.#api = api;
  }

  /** Copies the value that was made to where Wasmtime expects a result. */
  moveTo(pointer: Pointer): void {
    this.#memory.copyIn(pointer, this.#made());
  }

  flag(value: boolean): void {
    this.#set(BOOL, value ? 1 : 0);
  }

  word(value: number): void {
    this.#set(U32, value);
  }

  long(value: bigint): void {
    this.#set(U64, Number(value & 0xffffffffn), Number(value >> 32n));
  }

  text(text: string): void {
    this.#set(STRING);
    this.#name(MADE + OF, text);
  }

  bytes(bytes: Uint8Array): void {
    this.#set(LIST);
    this.#api.wasmtime_component_vallist_new_uninit(this.#memory.at(MADE + OF), bytes.length);
    if (bytes.length === 0) return;
    const values = new Uint8Array(bytes.length * VALUE_BYTES);
    for (let at = 0, to = 0; at < bytes.length; at++, to += VALUE_BYTES) {
      values[to] = U8;
      values[to + OF] = bytes[at] ?? 0;
    }
    this.#memory.copyIn(required(this.#memory.pointerAt(MADE + OF + 8)), values);
  }

  emptyList(): void {
    this.#set(LIST);
    this.#api.wasmtime_component_vallist_new_uninit(this.#memory.at(MADE + OF), 0);
  }

  none(): void {
    this.#set(OPTION);
  }

  /** The result that holds the value that was made, or nothing. */
  result(isOk: boolean, hasValue: boolean): void {
    const held = hasValue ? required(this.#api.wasmtime_component_val_new(this.#memory.at(MADE))) : 0;
    this.#set(RESULT_KIND, isOk ? 1 : 0);
    this.#memory.setVector(MADE + OF, isOk ? 1 : 0, held);
  }

  pairOfLongs(first: bigint, second: bigint): void {
    this.#set(TUPLE);
    this.#api.wasmtime_component_valtuple_new_uninit(this.#memory.at(MADE + OF), 2);
    const pair = new Uint8Array(BigUint64Array.of(BigInt(U64), first, 0n, 0n, BigInt(U64), second, 0n, 0n).buffer);
    this.#memory.copyIn(required(this.#memory.pointerAt(MADE + OF + 8)), pair);
  }

  /** The record of a wall clock. */
  time(seconds: bigint, nanoseconds: number): void {
    this.#set(RECORD);
    this.#api.wasmtime_component_valrecord_new_uninit(this.#memory.at(MADE + OF), 2);
    const entries = required(this.#memory.pointerAt(MADE + OF + 8));
    const fields: readonly (readonly [string, number, bigint])[] = [
      ["seconds", U64, seconds],
      ["nanoseconds", U32, BigInt(nanoseconds)],
    ];
    for (const [index, [name, kind, value]] of fields.entries()) {
      this.#name(SPARE, name);
      const at = entries + index * ENTRY_BYTES;
      const words = BigUint64Array.of(0n, 0n, BigInt(kind), value, 0n, 0n);
      const vector = new BigUint64Array(new Uint8Array(this.#memory.words.buffer, SPARE, 16).slice().buffer);
      words.set(vector, 0);
      this.#memory.copyIn(at, new Uint8Array(words.buffer));
    }
  }

  /** A resource of the host's that the guest owns from now on. */
  resource(context: Pointer, type: number, representation: number): void {
    const host = required(this.#api.wasmtime_component_resource_host_new(true, representation, type));
    const error = this.#api.wasmtime_component_resource_host_to_any(context, host, this.#memory.at(OUT));
    this.#api.wasmtime_component_resource_host_delete(host);
    if (error !== null) {
      this.#api.wasmtime_error_delete(error);
      throw new Error("a resource could not be made");
    }
    const any = required(this.#memory.pointerAt(OUT));
    this.#set(RESOURCE);
    this.#memory.setVector(MADE + OF - 8, RESOURCE, any);
  }

  /** Writes an argument of a call: a number. */
  argumentWord(index: number, value: number): void {
    this.#argument(index, U32, value);
  }

  argumentBool(index: number, value: boolean): void {
    this.#argument(index, BOOL, value ? 1 : 0);
  }

  argumentText(index: number, text: string): void {
    this.#memory.words[(ARGUMENTS + index * VALUE_BYTES) >>> WORD_SHIFT] = STRING;
    this.#memory.setText(ARGUMENTS + index * VALUE_BYTES + OF, text);
  }

  /** The name of a case, which lies somewhere for good. */
  argumentName(index: number, name: { readonly address: number; readonly length: number }): void {
    this.#memory.words[(ARGUMENTS + index * VALUE_BYTES) >>> WORD_SHIFT] = ENUM;
    this.#memory.setVector(ARGUMENTS + index * VALUE_BYTES + OF, name.length, name.address);
  }

  argumentBytes(index: number, bytes: Uint8Array): void {
    this.#memory.words[(ARGUMENTS + index * VALUE_BYTES) >>> WORD_SHIFT] = LIST;
    const { address: start, bytes: values } = this.#memory.place(bytes.length * VALUE_BYTES);
    for (let at = 0, to = 0; at < bytes.length; at++, to += VALUE_BYTES) {
      values[to] = U8;
      values[to + OF] = bytes[at] ?? 0;
    }
    this.#memory.setVector(ARGUMENTS + index * VALUE_BYTES + OF, bytes.length, start);
  }

  /** Bytes that lie in the guest's memory. */
  argumentPlace(index: number, start: number, length: number): void {
    const words = this.#memory.words;
    words[(ARGUMENTS + index * VALUE_BYTES) >>> WORD_SHIFT] = TUPLE;
    this.#memory.setVector(ARGUMENTS + index * VALUE_BYTES + OF, 2, this.#memory.at(PAIR));
    const pair = PAIR >>> WORD_SHIFT;
    const second = pair + (VALUE_BYTES >>> WORD_SHIFT);
    words[pair] = U32;
    words[pair + 2] = start;
    words[second] = U32;
    words[second + 2] = length;
  }

  /** The number that a guest answered. Throws where it answered something else. */
  takeWord(): number {
    const index = ANSWER >>> WORD_SHIFT;
    if (((this.#memory.words[index] ?? 0) & 0xff) === U32) return this.#memory.words[index + 2] ?? 0;
    this.#dropAnswer();
    throw new Error("answered with another type than filter.wit says");
  }

  /** The text that a guest answered, and lets go of it. Throws where it answered something else. */
  takeAnswer(): string {
    const index = ANSWER >>> WORD_SHIFT;
    const kind = (this.#memory.words[index] ?? 0) & 0xff;
    const length = this.#memory.words[index + 2] ?? 0;
    const isLong = kind === STRING && length > ANSWER_MAX_BYTES;
    const text =
      kind === STRING && !isLong ? this.#memory.text(this.#memory.pointerAt(ANSWER + OF + 8), length) : undefined;
    this.#dropAnswer();
    if (isLong) throw new Error(`answered ${length} bytes, limit is ${ANSWER_MAX_BYTES}`);
    if (text === undefined) throw new Error("answered with another type than filter.wit says");
    return text;
  }

  /** The error of a result that a guest answered; `undefined` where it was well. */
  takeError(): string | undefined {
    const index = ANSWER >>> WORD_SHIFT;
    if (((this.#memory.words[index] ?? 0) & 0xff) !== RESULT_KIND) {
      this.#dropAnswer();
      throw new Error("answered with another type than filter.wit says");
    }
    const isOk = ((this.#memory.words[index + 2] ?? 0) & 0xff) === 1;
    const held = this.#memory.pointerAt(ANSWER + OF + 8);
    let error = isOk ? undefined : "";
    if (!isOk && held !== null && read.u8(held, 0) === STRING)
      error = this.#memory.text(address(read.ptr(held, OF + 8)), read.u32(held, OF));
    this.#dropAnswer();
    return error;
  }

  /** Wasmtime lets go of what stands in the place of an answer before it writes another, so nothing may stay there. */
  #dropAnswer(): void {
    this.#api.wasmtime_component_val_delete(this.#memory.at(ANSWER));
    this.#memory.words[ANSWER >>> WORD_SHIFT] = BOOL;
  }

  #argument(index: number, kind: number, value: number): void {
    const word = (ARGUMENTS + index * VALUE_BYTES) >>> WORD_SHIFT;
    this.#memory.words[word] = kind;
    this.#memory.words[word + 2] = value;
  }

  #name(offset: number, text: string): void {
    this.#memory.setText(OUT, text);
    const length = this.#memory.words[OUT >>> WORD_SHIFT] ?? 0;
    this.#api.wasm_byte_vec_new(this.#memory.at(offset), length, this.#memory.pointerAt(OUT + 8));
  }

  #set(kind: number, low = 0, high = 0): void {
    const word = MADE >>> WORD_SHIFT;
    this.#memory.words.fill(0, word, word + VALUE_BYTES / 4);
    this.#memory.words[word] = kind;
    this.#memory.words[word + 2] = low;
    this.#memory.words[word + 3] = high;
  }

  #made(): Uint8Array {
    return new Uint8Array(this.#memory.words.buffer, MADE, VALUE_BYTES);
  }
}
