// What filters have the proxy do for them: everything that would be slow in a guest, since a turn of its loop takes 65 ns and
// a host call 6 µs. One set for each instance, so that what an instance opened ends with it.
import { quote, refused, type HostAnswer, type HostFunction } from "./answer.ts";
import { compress, decompress, OpenStreams } from "./compression.ts";
import { equal, hash, hmac, random } from "./digests.ts";
import { decodeUtf8, encodeUtf8 } from "./encodings.ts";
import { execPattern, findPattern, replacePattern, testPattern } from "./patterns.ts";
import { addSchema, validateDocument } from "./schemas.ts";
import { createSharedFunctions } from "./shared-functions.ts";
import type { SharedScope } from "./shared-state.ts";
import { verify } from "./signatures.ts";
import { parseUrl } from "./urls.ts";

/** The functions of one instance. None of them throws. */
export interface HostFunctions {
  text(name: string, request: string, payload: Uint8Array): HostAnswer<string>;
  bytes(name: string, request: string, payload: Uint8Array): HostAnswer<Uint8Array>;
  /** The instance has nothing open. */
  readonly isIdle: boolean;
  /** Lets go of what the instance opened. */
  stop(): void;
}

const TEXT: ReadonlyMap<string, HostFunction<string>> = new Map<string, HostFunction<string>>([
  ["equal", equal],
  ["json-schema", validateDocument],
  ["json-schema-compile", addSchema],
  ["regex-all", findPattern],
  ["regex-exec", execPattern],
  ["regex-replace", replacePattern],
  ["regex-test", testPattern],
  ["url", parseUrl],
  ["utf8-decode", decodeUtf8],
  ["verify", verify],
]);

const BYTES: ReadonlyMap<string, HostFunction<Uint8Array>> = new Map<string, HostFunction<Uint8Array>>([
  ["compress", compress],
  ["decompress", decompress],
  ["hash", hash],
  ["hmac", hmac],
  ["random", random],
  ["utf8-encode", encodeUtf8],
]);

const STREAMS_MAX_BYTES = 64 * 1024 * 1024;

/** What the functions of one instance work with. */
export interface HostDeps {
  /** What its filter use shares; asked for when it is used first. */
  readonly shared: () => SharedScope | undefined;
  /** What its open streams may hold together. Default: 64 MiB, some 250 of gzip. */
  readonly streamsMaxBytes?: number;
}

/** The functions for one more instance. */
export function createHostFunctions({ shared, streamsMaxBytes = STREAMS_MAX_BYTES }: HostDeps): HostFunctions {
  const own = createSharedFunctions(shared);
  const streams = new OpenStreams(streamsMaxBytes);
  const text = new Map([...TEXT, ...own.text, ...streams.text]);
  const bytes = new Map([...BYTES, ...own.bytes, ...streams.bytes]);
  return {
    text: (name, request, payload) => call(text, name, request, payload),
    bytes: (name, request, payload) => call(bytes, name, request, payload),
    get isIdle() {
      return streams.isEmpty;
    },
    stop: () => streams.stop(),
  };
}

function call<Value>(
  functions: ReadonlyMap<string, HostFunction<Value>>,
  name: string,
  request: string,
  payload: Uint8Array,
): HostAnswer<Value> {
  const run = functions.get(name);
  if (run === undefined) return refused(`host function ${quote(name)} is not known`);
  try {
    const { result, fuel } = run(request, payload);
    return { result: result.ok ? result : { ok: false, error: `${name}: ${result.error}` }, fuel };
  } catch (error) {
    // A library's exception, or a bug of ours: it costs the guest its call, and never reaches the engine.
    return refused(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
