// The functions as a native filter calls them: an error is an exception, as in the sandbox, and nothing is charged.
import type { Host } from "../../sdk/host.ts";
import type { HostAnswer } from "./answer.ts";
import { createHostFunctions, type HostFunctions } from "./host-functions.ts";

/** All native filters' together: some 4000 bodies that are compressed at once. */
const NATIVE_STREAMS_MAX_BYTES = 1024 * 1024 * 1024;
const NOTHING = new Uint8Array();

/** The functions that native filters import by name; what a use shares is in its handlers' context. */
export function createNativeHost(): Host {
  return nativeHost(createHostFunctions({ shared: () => undefined, streamsMaxBytes: NATIVE_STREAMS_MAX_BYTES }));
}

/** The SDK's view of a set of functions. */
export function nativeHost(functions: HostFunctions): Host {
  return {
    text: (name, request, payload = NOTHING) => unwrap(functions.text(name, request, payload)),
    bytes: (name, request, payload = NOTHING) => unwrap(functions.bytes(name, request, payload)),
  };
}

function unwrap<Value>({ result }: HostAnswer<Value>): Value {
  if (result.ok) return result.value;
  throw new Error(result.error);
}
