// What a filter has its proxy do, under one interface: in the sandbox it is the WIT's imports, natively the same functions
// without a crossing.

/** A proxy's functions by name. Both throw an `Error` whose message names the function and what is wrong. */
export interface Host {
  text(name: string, request: string, payload?: Uint8Array): string;
  bytes(name: string, request: string, payload?: Uint8Array): Uint8Array;
}

/** Two copies of the SDK in one process, an author's and the proxy's, find the same host. */
const PLACE = Symbol.for("vespid.host");

/** Puts the host in place: whoever runs filters calls it, before any filter runs. */
export function installHost(host: Host): void {
  Reflect.set(globalThis, PLACE, host);
}

/** The host, as handlers and timers use it. Throws where a filter asks while it is loaded, since no proxy runs it then. */
export function requireHost(): Host {
  const host: unknown = Reflect.get(globalThis, PLACE);
  if (isHost(host)) return host;
  throw new Error("the proxy's functions are there for handlers, not while a filter is loaded");
}

function isHost(value: unknown): value is Host {
  return typeof value === "object" && value !== null && "text" in value && "bytes" in value;
}
