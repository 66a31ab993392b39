// The memories of Wasmtime's guests are the proxy's own, so that it knows where they lie and how large they are: the C
// API tells neither of a component's. Wasmtime reads and writes them without looking at their size, so behind each lie
// pages that trap; those that were used once are kept for the next guest, with their pages, since the faults of fresh
// pages are most of what a fresh instance costs.
import { JSCallback } from "bun:ffi";
import { NativeMemory, type Returned } from "./native-memory.ts";
import type { WasmtimeApi } from "./wasmtime-library.ts";

/** One memory of a guest. */
export interface LinearMemory {
  readonly base: number;
  readonly sizeBytes: number;
}

/** Mappings that are kept for the next guest, in one process; each keeps its first pages, a few MB. */
const KEPT_MAX = 8;
/** Of a mapping that is kept, pages beyond are given back. */
const KEPT_PAGES_BYTES = 4 * 1024 * 1024;

/** Bun hands a size of zero over as null, since it stands in a pointer's place. */
type Size = number | null;

interface Mapping extends LinearMemory {
  sizeBytes: number;
  /** From the base on, what may be touched: a memory that was used before has more than its next guest asks for. */
  usableBytes: number;
  readonly reservedBytes: number;
}

/** Makes memories for one Wasmtime engine; lives as long as the process. */
export class LinearMemories {
  readonly #native: NativeMemory;
  readonly #api: Pick<WasmtimeApi, "wasmtime_error_new">;
  readonly #live = new Map<number, Mapping>();
  readonly #kept: Mapping[] = [];
  readonly #callbacks: readonly JSCallback[];
  readonly #functions: BigUint64Array;
  #next = 1;
  #made: LinearMemory[] = [];

  constructor(native: NativeMemory, api: Pick<WasmtimeApi, "wasmtime_error_new">) {
    this.#native = native;
    this.#api = api;
    const make = new JSCallback(
      (_env: number, _type: number, min: Size, _max: Size, reserved: Size, guard: Size, out: number) =>
        this.#guarded(() => this.#make(min ?? 0, (reserved ?? 0) + (guard ?? 0), out)),
      { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "ptr" },
    );
    const get = new JSCallback((id: number, size: number, capacity: number) => this.#get(id, size, capacity), {
      args: ["ptr", "ptr", "ptr"],
      returns: "ptr",
    });
    const grow = new JSCallback((id: number, size: Size) => this.#guarded(() => this.#grow(id, size ?? 0)), {
      args: ["ptr", "ptr"],
      returns: "ptr",
    });
    const drop = new JSCallback((id: number) => this.#drop(id), { args: ["ptr"], returns: "void" });
    this.#callbacks = [make, get, grow, drop];
    this.#functions = BigUint64Array.from([get, grow, drop].map(({ ptr }) => BigInt(ptr ?? 0)));
  }

  /** The creator, as `wasmtime_config_host_memory_creator_set` reads it. */
  creator(): BigUint64Array {
    const [make] = this.#callbacks;
    return BigUint64Array.of(0n, BigInt(make?.ptr ?? 0), 0n);
  }

  /** The memories that were made since the last time, in the order in which the guest's modules define them. */
  takeMade(): readonly LinearMemory[] {
    const made = this.#made;
    this.#made = [];
    return made;
  }

  #make(minBytes: number, reservedBytes: number, out: number): void {
    const mapping = this.#take(reservedBytes);
    if (minBytes > mapping.usableBytes) this.#allow(mapping, minBytes);
    else if (minBytes < mapping.usableBytes) {
      this.#native.protect(mapping.base + minBytes, mapping.usableBytes - minBytes, false);
      mapping.usableBytes = minBytes;
    }
    mapping.sizeBytes = minBytes;
    const id = this.#next++;
    this.#live.set(id, mapping);
    this.#made.push(mapping);
    const [get = 0n, grow = 0n, drop = 0n] = this.#functions;
    this.#native.copyIn(out, new Uint8Array(BigUint64Array.of(BigInt(id), get, grow, drop).buffer));
  }

  /** A mapping whose first pages read as zero. */
  #take(reservedBytes: number): Mapping {
    const index = this.#kept.findIndex((kept) => kept.reservedBytes === reservedBytes);
    const [kept] = index < 0 ? [] : this.#kept.splice(index, 1);
    if (kept !== undefined) {
      this.#native.zero(kept.base, kept.usableBytes);
      return kept;
    }
    const base = this.#native.reserve(reservedBytes, false);
    if (base === 0) throw new Error(`the system has no address space of ${reservedBytes} bytes left`);
    return { base, sizeBytes: 0, usableBytes: 0, reservedBytes };
  }

  #get(id: number, size: number, capacity: number): number {
    const mapping = this.#live.get(id);
    this.#native.copyIn(size, bytesOf(mapping?.sizeBytes ?? 0));
    this.#native.copyIn(capacity, bytesOf(mapping?.reservedBytes ?? 0));
    return mapping?.base ?? 0;
  }

  #grow(id: number, sizeBytes: number): void {
    const mapping = this.#live.get(id);
    if (mapping === undefined) throw new Error("no such memory");
    this.#allow(mapping, sizeBytes);
    mapping.sizeBytes = sizeBytes;
  }

  #allow(mapping: Mapping, bytes: number): void {
    if (bytes <= mapping.usableBytes) return;
    if (!this.#native.protect(mapping.base + mapping.usableBytes, bytes - mapping.usableBytes, true))
      throw new Error(`the system has no memory for ${bytes} bytes`);
    mapping.usableBytes = bytes;
  }

  #drop(id: number): void {
    const mapping = this.#live.get(id);
    this.#live.delete(id);
    if (mapping === undefined) return;
    if (this.#kept.length >= KEPT_MAX) {
      this.#native.release(mapping.base, mapping.reservedBytes);
      return;
    }
    if (mapping.usableBytes > KEPT_PAGES_BYTES) {
      const rest = mapping.usableBytes - KEPT_PAGES_BYTES;
      this.#native.discard(mapping.base + KEPT_PAGES_BYTES, rest);
      this.#native.protect(mapping.base + KEPT_PAGES_BYTES, rest, false);
      mapping.usableBytes = KEPT_PAGES_BYTES;
    }
    this.#kept.push(mapping);
  }

  /** No exception may cross into native code: it becomes an error of Wasmtime's, and the guest or its start fails. */
  #guarded(run: () => void): Returned {
    try {
      run();
      return null;
    } catch (error) {
      return this.#api.wasmtime_error_new(NativeMemory.cString(error instanceof Error ? error.message : String(error)));
    }
  }
}

function bytesOf(value: number): Uint8Array {
  LENGTH[0] = BigInt(value);
  return LENGTH_BYTES;
}

const LENGTH = new BigUint64Array(1);
const LENGTH_BYTES = new Uint8Array(LENGTH.buffer);
