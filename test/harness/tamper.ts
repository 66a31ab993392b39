// Artifacts whose code somebody changed.
import { readSections } from "../../sdk/build/wasm-reader.ts";

/** Ids of sections: in a component, and in a module. */
const CORE_MODULE = 1;
const COMPONENT = 4;
const CODE = 10;
const CHANGED_BYTES = 64;

/** The artifact with some bytes in the middle of its largest module's code that are no instructions. */
export function tamperCode(artifact: Uint8Array): Uint8Array<ArrayBuffer> {
  const tampered = new Uint8Array(artifact);
  const code = largestCode(tampered, 0, tampered.length, 1);
  const middle = code.start + (code.length >> 1);
  return tampered.fill(0xff, middle, middle + CHANGED_BYTES);
}

/** Where the largest code section lies, in whichever module of whichever component inside of the component. */
function largestCode(bytes: Uint8Array, start: number, end: number, layer: 0 | 1): { start: number; length: number } {
  const none = { start: 0, length: 0 };
  return readSections(bytes.subarray(start, end), layer)
    .map(({ id, payload }) => {
      const [from, to] = [start + payload.position, start + payload.end];
      if (layer === 0) return id === CODE ? { start: from, length: to - from } : none;
      if (id === CORE_MODULE) return largestCode(bytes, from, to, 0);
      return id === COMPONENT ? largestCode(bytes, from, to, 1) : none;
    })
    .reduce((largest, one) => (one.length > largest.length ? one : largest), none);
}
