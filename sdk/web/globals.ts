// The web's names in the sandbox. The build puts one in where a filter or what it imports uses it, and leaves out the others:
// each instance holds what its bundle defines.
export { AbortController, AbortSignal } from "./abort.ts";
export { structuredClone } from "./clone.ts";
export { crypto } from "./crypto.ts";
export { Headers } from "./headers.ts";
export { TextDecoder, TextEncoder } from "./text.ts";
export { URL, URLSearchParams } from "./url.ts";
