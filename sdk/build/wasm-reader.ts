// Reading a WebAssembly binary byte by byte. Everything read here may be hostile: each read is checked against the end.

/** The bytes are not the WebAssembly that they claim to be, or one that is not accepted. Caught at the border, never seen by callers. */
export class WasmFault extends Error {
  override readonly name = "WasmFault";
}

/** A position in a binary. */
export class WasmReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    if (start > end || end > bytes.length) throw new WasmFault(`a part ends at byte ${end}, beyond its whole`);
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  get isAtEnd(): boolean {
    return this.position >= this.end;
  }

  byte(): number {
    const value = this.position < this.end ? this.bytes[this.position] : undefined;
    if (value === undefined) throw new WasmFault(`ends in the middle of something at byte ${this.position}`);
    this.position++;
    return value;
  }

  /** LEB128, 32 bits unsigned. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      // Shifts would wrap at 2^32: the fifth byte is added as a multiple.
      value += shift < 28 ? (byte & 0x7f) << shift : (byte & 0x0f) * 2 ** 28;
      if (byte < 0x80) return value >>> 0;
    }
    throw new WasmFault(`a number at byte ${this.position} is longer than five bytes`);
  }

  /** Passes over one LEB128 number of at most `bytesMax` bytes. */
  skipLeb(bytesMax: number): void {
    for (let count = 0; count < bytesMax; count++) if (this.byte() < 0x80) return;
    throw new WasmFault(`a number at byte ${this.position} is longer than ${bytesMax} bytes`);
  }

  skip(count: number): void {
    if (count > this.end - this.position)
      throw new WasmFault(`ends in the middle of something at byte ${this.position}`);
    this.position += count;
  }

  /** The next `count` bytes as a reader of their own; this one goes on behind them. */
  part(count: number): WasmReader {
    const start = this.position;
    this.skip(count);
    return new WasmReader(this.bytes, start, this.position);
  }

  name(): string {
    const length = this.u32();
    const start = this.position;
    this.skip(length);
    return decoder.decode(this.bytes.subarray(start, this.position));
  }
}

const decoder = new TextDecoder();

/** One section of a module or a component: its id and its payload. */
export interface Section {
  readonly id: number;
  /** Where the section itself begins, id and size included. */
  readonly start: number;
  readonly payload: WasmReader;
}

/** Sections in order. `layer` is 0 for a core module and 1 for a component. */
export function readSections(bytes: Uint8Array, layer: 0 | 1): readonly Section[] {
  const reader = new WasmReader(bytes);
  const isWasm = reader.byte() === 0 && reader.byte() === 0x61 && reader.byte() === 0x73 && reader.byte() === 0x6d;
  if (!isWasm) throw new WasmFault("is not WebAssembly");
  const version = reader.byte() + reader.byte() * 256;
  const found = reader.byte() + reader.byte() * 256;
  if (found !== layer) {
    throw new WasmFault(layer === 1 ? "is a core module, not a component" : "is a component, not a core module");
  }
  if (version !== (layer === 1 ? 0x0d : 1)) throw new WasmFault(`has version ${version}`);
  const sections: Section[] = [];
  while (!reader.isAtEnd) {
    const start = reader.position;
    const id = reader.byte();
    sections.push({ id, start, payload: reader.part(reader.u32()) });
  }
  return sections;
}

/** Bytes that grow while they are written. */
export class WasmWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.length++] = value;
  }

  u32(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 128);
    }
    this.byte(rest);
  }

  bytes(source: Uint8Array, start = 0, end: number = source.length): void {
    this.#reserve(end - start);
    this.#bytes.set(source.subarray(start, end), this.length);
    this.length += end - start;
  }

  name(text: string): void {
    const encoded = new TextEncoder().encode(text);
    this.u32(encoded.length);
    this.bytes(encoded);
  }

  section(id: number, payload: Uint8Array): void {
    this.byte(id);
    this.u32(payload.length);
    this.bytes(payload);
  }

  /** What was written; a view, valid until the next write. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.length);
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + count));
    larger.set(this.#bytes.subarray(0, this.length));
    this.#bytes = larger;
  }
}
