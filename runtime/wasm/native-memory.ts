// Memory that is not the garbage collector's: what a C library reads and writes lies at addresses that stay.
import { CString, dlopen, FFIType, toArrayBuffer, type Pointer } from "bun:ffi";

const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x4022;
const MADV_DONTNEED = 4;
/** Of a process on 64 bits. */
const ADDRESS_MAX = 2 ** 48;

/** glibc's and musl's names of the C library. */
const LIBRARIES: readonly string[] = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

const AREA_BYTES = 4096;
/** Offset in the small area for what a function returns by a pointer; read before the next call. */
export const OUT = 512;
const TEXT_MIN_BYTES = 256 * 1024;
/** A larger area does not outlive the call that needed it. */
const TEXT_KEPT_MAX_BYTES = 4 * 1024 * 1024;
/** A longer text is read where it lies, which takes an object more. */
const READ_MAX_BYTES = 4096;
/** Bytes that one UTF-16 unit takes at most in UTF-8. */
const UTF8_BYTES_MAX = 3;
const WORD = 2 ** 32;

/** A small area for arguments and results, one for texts on their way, and the system's calls for more. */
export class NativeMemory {
  readonly #libc: ReturnType<typeof open>;
  readonly #area: number;
  /** The small area, four bytes each. */
  readonly words: Uint32Array;
  #text = 0;
  #textBytes: Buffer = Buffer.alloc(0);
  #textUsed = 0;
  /** Where short texts are read from, once they were copied there. */
  readonly #read: number;
  readonly #readBytes: Buffer;
  /** Areas that were too small; arguments of the call under way may name what lies there. */
  readonly #retired: { readonly start: number; readonly bytes: number }[] = [];

  constructor() {
    this.#libc = load();
    this.#area = this.reserve(AREA_BYTES, true);
    this.words = new Uint32Array(toArrayBuffer(address(this.#area), 0, AREA_BYTES));
    this.#openTexts(TEXT_MIN_BYTES);
    this.#read = this.reserve(READ_MAX_BYTES, true);
    this.#readBytes = Buffer.from(toArrayBuffer(address(this.#read), 0, READ_MAX_BYTES));
  }

  /** The address of an offset in the small area. */
  at(offset: number): Pointer {
    return address(this.#area + offset);
  }

  /** The pointer that lies at an offset of the small area. */
  pointerAt(offset: number): Pointer | null {
    const value = (this.words[offset >>> 2] ?? 0) + (this.words[(offset >>> 2) + 1] ?? 0) * WORD;
    return value === 0 ? null : address(value);
  }

  /** Writes a size and a pointer, as vectors of the C API begin. */
  setVector(offset: number, size: number, pointer: number): void {
    const index = offset >>> 2;
    this.words[index] = size;
    this.words[index + 1] = 0;
    this.words[index + 2] = pointer % WORD;
    this.words[index + 3] = pointer / WORD;
  }

  /** Forgets the texts that were placed; those of the call before have been read. */
  clearTexts(): void {
    this.#textUsed = 0;
    if (this.#retired.length === 0) return;
    for (const { start, bytes } of this.#retired.splice(0)) this.release(start, bytes);
    if (this.#textBytes.length > TEXT_KEPT_MAX_BYTES) {
      this.release(this.#text, this.#textBytes.length);
      this.#openTexts(TEXT_MIN_BYTES);
    }
  }

  /** Places a text as UTF-8 and writes its size and address as a vector. */
  setText(offset: number, text: string): void {
    const room = text.length * UTF8_BYTES_MAX;
    const start = this.#room(room);
    const length = this.#textBytes.utf8Write(text, start, room);
    this.#textUsed = start + length;
    this.setVector(offset, length, this.#text + start);
  }

  /** UTF-8 at an address. */
  text(from: Pointer | null, length: number): string {
    // CString takes a length of zero for none given.
    if (from === null || length === 0) return "";
    // At run time it is an object around a string.
    if (length > READ_MAX_BYTES) return new CString(from, 0, length).slice();
    this.#libc.memcpy(address(this.#read), from, length);
    return this.#readBytes.utf8Slice(0, length);
  }

  /** Room for so many bytes among the texts. The next larger request may move it. */
  place(length: number): { readonly address: number; readonly bytes: Buffer } {
    const start = this.#room(length);
    this.#textUsed = start + length;
    return { address: this.#text + start, bytes: this.#textBytes.subarray(start, start + length) };
  }

  /** A C string that stays; for names that are said once. */
  static cString(text: string): Buffer {
    return Buffer.from(`${text}\0`);
  }

  /** Copies from an address. */
  copyOut(from: Pointer, to: Uint8Array): void {
    if (to.length > 0) this.#libc.memcpy(to, from, to.length);
  }

  /** Copies to an address. */
  copyIn(to: number, from: Uint8Array): void {
    if (from.length > 0) this.#libc.memcpy(address(to), from, from.length);
  }

  /** Address space, usable at once or not yet; zero where there is none. Pages take memory when they are touched. */
  reserve(bytes: number, isUsable: boolean): number {
    const protection = isUsable ? PROT_READ_WRITE : PROT_NONE;
    const mapped = this.#libc.mmap(null, bytes, protection, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0);
    // It fails with -1, which is above every address.
    return mapped === null || typeof mapped === "bigint" || mapped > ADDRESS_MAX ? 0 : mapped;
  }

  /** Makes a part of reserved space usable, or not; false where the system has no memory left. */
  protect(start: number, bytes: number, isUsable: boolean): boolean {
    return this.#libc.mprotect(address(start), bytes, isUsable ? PROT_READ_WRITE : PROT_NONE) === 0;
  }

  zero(start: number, bytes: number): void {
    this.#libc.memset(address(start), 0, bytes);
  }

  /** Gives the pages back to the system; they read as zero from then on. */
  discard(start: number, bytes: number): void {
    this.#libc.madvise(address(start), bytes, MADV_DONTNEED);
  }

  release(start: number, bytes: number): void {
    this.#libc.munmap(address(start), bytes);
  }

  /** Where `length` bytes may be written. A larger area is taken where the one has no room; what lies there stays until the next call. */
  #room(length: number): number {
    if (this.#textUsed + length <= this.#textBytes.length) return this.#textUsed;
    this.#retired.push({ start: this.#text, bytes: this.#textBytes.length });
    this.#openTexts(Math.max(length, 2 * this.#textBytes.length));
    return 0;
  }

  #openTexts(bytes: number): void {
    this.#text = this.reserve(bytes, true);
    if (this.#text === 0) throw new RangeError(`the system has no memory for ${bytes} bytes of text`);
    this.#textBytes = Buffer.from(toArrayBuffer(address(this.#text), 0, bytes));
    this.#textUsed = 0;
  }
}

/** What Bun's FFI returns for a pointer; a bigint where no number holds it, which no address of a process needs. */
export type Returned = Pointer | bigint | null;

/** What Bun's FFI takes for a pointer is a number. */
export function address(value: number): Pointer {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Bun brands pointers in types alone
  return value as Pointer;
}

function load() {
  for (const [index, name] of LIBRARIES.entries()) {
    try {
      return open(name);
    } catch (error) {
      if (index === LIBRARIES.length - 1) throw error;
    }
  }
  throw new Error("no C library is named");
}

function open(name: string) {
  return dlopen(name, {
    mmap: { args: ["ptr", FFIType.u64_fast, "i32", "i32", "i32", FFIType.i64_fast], returns: "ptr" },
    munmap: { args: ["ptr", FFIType.u64_fast], returns: "i32" },
    mprotect: { args: ["ptr", FFIType.u64_fast, "i32"], returns: "i32" },
    madvise: { args: ["ptr", FFIType.u64_fast, "i32"], returns: "i32" },
    memcpy: { args: ["ptr", "ptr", FFIType.u64_fast], returns: "ptr" },
    memset: { args: ["ptr", "i32", FFIType.u64_fast], returns: "ptr" },
  }).symbols;
}
