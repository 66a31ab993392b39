// What a guest on JavaScriptCore is at one moment: its memories and the globals that change. Putting them back after a
// trap takes a copy where a new instance takes ten milliseconds and more, so that a filter which faults often costs
// others little.

/** A copy of a guest's state. */
export class GuestSnapshot {
  readonly #memories: readonly { readonly memory: WebAssembly.Memory; readonly bytes: Uint8Array }[];
  readonly #globals: readonly { readonly global: WebAssembly.Global; readonly value: unknown }[];

  /** Takes it; nothing of the guest may be running. */
  constructor(memories: Iterable<WebAssembly.Memory>, globals: Iterable<WebAssembly.Global>) {
    this.#memories = Array.from(memories, (memory) => ({ memory, bytes: new Uint8Array(memory.buffer).slice() }));
    this.#globals = Array.from(globals)
      .filter((global) => isMutable(global))
      .map((global) => ({ global, value: global.value }));
  }

  /** Puts it back; false where a memory has grown since, which its guest would not know and could not use. */
  restore(): boolean {
    if (this.#memories.some(({ memory, bytes }) => memory.buffer.byteLength !== bytes.length)) return false;
    for (const { memory, bytes } of this.#memories) new Uint8Array(memory.buffer).set(bytes);
    for (const { global, value } of this.#globals) global.value = value;
    return true;
  }
}

function isMutable(global: WebAssembly.Global): boolean {
  try {
    // oxlint-disable-next-line eslint/no-self-assign -- only an assignment tells: one that is constant throws
    global.value = global.value;
    return true;
  } catch {
    return false;
  }
}
