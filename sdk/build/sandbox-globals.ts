// What the sandbox has besides ECMAScript: the names that the build puts in, and their types. What only Bun or browsers have
// does not compile.
import { join } from "node:path";

/** The module whose exports stand in for globals of the same names. */
export const INJECTED: string = join(import.meta.dir, "../web/globals.ts");

/** Its exports. */
export const INJECTED_NAMES: readonly string[] = [
  "AbortController",
  "AbortSignal",
  "Headers",
  "TextDecoder",
  "TextEncoder",
  "URL",
  "URLSearchParams",
  "crypto",
  "structuredClone",
];

/** The editions of the language that the engine knows whole, and parts of later ones. */
export const SANDBOX_LIBRARIES: readonly string[] = ["ES2024"];

/** Declarations of all of them, as a filter is compiled against. */
export const SANDBOX_TYPES = `type BufferSource = ArrayBuffer | ArrayBufferView;
interface Base64Options { readonly alphabet?: "base64" | "base64url"; readonly omitPadding?: boolean }
interface Uint8Array {
  toBase64(options?: Base64Options): string;
  toHex(): string;
}
interface Uint8ArrayConstructor {
  fromBase64(text: string, options?: Base64Options): Uint8Array<ArrayBuffer>;
  fromHex(text: string): Uint8Array<ArrayBuffer>;
}
interface PromiseConstructor {
  try<Value>(run: () => Value | PromiseLike<Value>): Promise<Awaited<Value>>;
}
declare const console: Record<"debug" | "log" | "info" | "warn" | "error" | "trace", (...values: readonly unknown[]) => void> & {
  assert(condition: unknown, ...values: readonly unknown[]): void;
};
declare function queueMicrotask(job: () => void): void;
declare function structuredClone<Value>(value: Value): Value;
declare function atob(text: string): string;
declare function btoa(text: string): string;
declare const performance: { now(): number };
declare class DOMException extends Error {
  constructor(message?: string, name?: string);
}
declare class TextEncoder {
  readonly encoding: string;
  encode(text?: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, target: Uint8Array): { read: number; written: number };
}
declare class TextDecoder {
  constructor(label?: string, options?: { readonly fatal?: boolean; readonly ignoreBOM?: boolean });
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  decode(bytes?: BufferSource, options?: { readonly stream?: boolean }): string;
}
interface AbortEvent { readonly type: "abort"; readonly target: AbortSignal }
declare class AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  onabort: ((event: AbortEvent) => void) | null;
  throwIfAborted(): void;
  addEventListener(kind: "abort", listener: (event: AbortEvent) => void, options?: { readonly once?: boolean }): void;
  removeEventListener(kind: "abort", listener: (event: AbortEvent) => void): void;
  static abort(reason?: unknown): AbortSignal;
  static any(signals: Iterable<AbortSignal>): AbortSignal;
}
declare class AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}
declare class URLSearchParams implements Iterable<[string, string]> {
  constructor(init?: string | URLSearchParams | Iterable<readonly [string, string]> | Readonly<Record<string, string>>);
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  forEach(visit: (value: string, name: string, params: URLSearchParams) => void): void;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  entries(): IterableIterator<[string, string]>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
  toString(): string;
}
declare class URL {
  constructor(url: string | URL, base?: string | URL);
  static canParse(url: string | URL, base?: string | URL): boolean;
  static parse(url: string | URL, base?: string | URL): URL | null;
  href: string;
  readonly origin: string;
  protocol: string;
  username: string;
  password: string;
  host: string;
  hostname: string;
  port: string;
  pathname: string;
  search: string;
  readonly searchParams: URLSearchParams;
  hash: string;
  toString(): string;
  toJSON(): string;
}
declare class Headers implements Iterable<[string, string]> {
  constructor(init?: Headers | Iterable<readonly [string, string]> | Readonly<Record<string, string>>);
  append(name: string, value: string): void;
  delete(name: string): void;
  get(name: string): string | null;
  getSetCookie(): string[];
  has(name: string): boolean;
  set(name: string, value: string): void;
  forEach(visit: (value: string, name: string, headers: Headers) => void): void;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  entries(): IterableIterator<[string, string]>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}
interface CryptoAlgorithm {
  readonly name: string;
  readonly hash?: string | { readonly name: string };
  readonly namedCurve?: string;
  readonly saltLength?: number;
}
interface CryptoKey {
  readonly type: "public" | "secret";
  readonly extractable: boolean;
  readonly algorithm: CryptoAlgorithm;
  readonly usages: readonly string[];
}
declare const crypto: {
  readonly subtle: {
    digest(algorithm: string | CryptoAlgorithm, data: BufferSource): Promise<ArrayBuffer>;
    importKey(
      format: "raw" | "jwk" | "spki",
      data: BufferSource | Readonly<Record<string, unknown>>,
      algorithm: string | CryptoAlgorithm,
      extractable: boolean,
      usages: readonly string[],
    ): Promise<CryptoKey>;
    sign(algorithm: string | CryptoAlgorithm, key: CryptoKey, data: BufferSource): Promise<ArrayBuffer>;
    verify(algorithm: string | CryptoAlgorithm, key: CryptoKey, signature: BufferSource, data: BufferSource): Promise<boolean>;
  };
  getRandomValues<View extends ArrayBufferView>(view: View): View;
  randomUUID(): string;
};
`;
