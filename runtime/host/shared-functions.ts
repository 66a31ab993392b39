// The shared state as host functions.
import { answered, quote, readCount, readRequest, refused, type HostAnswer, type HostFunction } from "./answer.ts";
import { COUNT_MAX, type Counting } from "./shared-counters.ts";
import { VALUE_MAX_BYTES } from "./shared-memory.ts";
import type { SharedScope } from "./shared-state.ts";

const KEY_MAX_LENGTH = 1024;
const DAY_MS = 86_400_000;
const COUNT_NS = 1000;
const VALUE_NS = 2000;
/** A bucket's lock was held all the time that it was waited for. */
export const COUNTERS_BUSY = "the counters are held by another process";
/** A version, as eight bytes before the value. */
const VERSION_BYTES = 8;

/** The functions over a filter use's shared state, which is looked up when one is called. */
export function createSharedFunctions(find: () => SharedScope | undefined): {
  readonly text: readonly (readonly [string, HostFunction<string>])[];
  readonly bytes: readonly (readonly [string, HostFunction<Uint8Array>])[];
} {
  const within =
    <Value>(
      run: (scope: SharedScope, request: string, payload: Uint8Array) => HostAnswer<Value>,
    ): HostFunction<Value> =>
    (request, payload) => {
      const scope = find();
      return scope === undefined ? refused("no more filters can share something here") : run(scope, request, payload);
    };
  return {
    text: [
      ["shared-incr", within(increment)],
      ["shared-cas", within(replace)],
      ["shared-delete", within(remove)],
    ],
    bytes: [["shared-get", within(get)]],
  };
}

/** `shared-incr`: request = count SP window-ms SP limit LF key. Answers `1` or `0` for whether it was allowed, the value, and ms until the window is over. */
function increment({ counters }: SharedScope, request: string): HostAnswer<string> {
  const { words, text: key = "" } = readRequest(request);
  const [count = NaN, windowMs = NaN, limit = NaN] = words.map((word) => readCount(word, 0, Number.MAX_SAFE_INTEGER));
  const asked = { key, count, windowMs, limit };
  const wrong = findWrongCounting(asked);
  if (wrong !== undefined) return refused(wrong);
  const counted = counters.count(asked);
  if (counted === "busy") return refused(COUNTERS_BUSY, COUNT_NS);
  const { isAllowed, value, resetMs } = counted;
  return answered(`${isAllowed ? 1 : 0} ${value} ${Math.ceil(resetMs)}`, COUNT_NS);
}

/** `shared-get`: request = key. Answers the version as a 64-bit float and the value, or nothing. */
function get({ values }: SharedScope, request: string): HostAnswer<Uint8Array> {
  const wrong = findWrongKey(request);
  if (wrong !== undefined) return refused(wrong);
  const found = values.get(request);
  if (found === "busy") return refused("the values are held by another process", VALUE_NS);
  if (found === undefined) return answered(new Uint8Array(), VALUE_NS);
  const bytes = new Uint8Array(VERSION_BYTES + found.value.length);
  new DataView(bytes.buffer).setFloat64(0, found.version);
  bytes.set(found.value, VERSION_BYTES);
  return answered(bytes, VALUE_NS);
}

/** `shared-cas`: request = version SP ttl-ms LF key, payload = value. Answers the new version, or `0` where the key's was another. */
function replace({ values }: SharedScope, request: string, payload: Uint8Array): HostAnswer<string> {
  const { words, text: key } = readRequest(request);
  const version = readCount(words[0], 0, Number.MAX_SAFE_INTEGER);
  if (version === undefined) return refused(`version is ${quote(words[0])}, must be a whole number`);
  const ttlMs = readCount(words[1], 1, DAY_MS);
  if (ttlMs === undefined) return refused(`ttl is ${quote(words[1])} ms, must be 1 to ${DAY_MS}`);
  const wrong = findWrongKey(key);
  if (wrong !== undefined) return refused(wrong);
  if (payload.length > VALUE_MAX_BYTES) return refused(`value is ${payload.length} bytes, limit is ${VALUE_MAX_BYTES}`);
  const replaced = values.replace({ key: key ?? "", value: payload, version, ttlMs });
  if (replaced === "busy") return refused("the values are held by another process", VALUE_NS);
  if (replaced === "full") return refused("too many values are kept already", VALUE_NS);
  return answered(replaced === "conflict" ? "0" : String(replaced), VALUE_NS);
}

/** `shared-delete`: request = key. Answers `1` where there was a value. */
function remove({ values }: SharedScope, request: string): HostAnswer<string> {
  const wrong = findWrongKey(request);
  if (wrong !== undefined) return refused(wrong);
  const removed = values.delete(request);
  if (removed === "busy") return refused("the values are held by another process", VALUE_NS);
  return answered(removed ? "1" : "0", VALUE_NS);
}

/** What is wrong with what is asked of a counter. */
export function findWrongCounting({ key, count, windowMs, limit }: Counting): string | undefined {
  if (!isWhole(count, 0, COUNT_MAX)) return `count is ${count}, must be 0 to ${COUNT_MAX}`;
  if (!isWhole(windowMs, 1, DAY_MS)) return `window is ${windowMs} ms, must be 1 to ${DAY_MS}`;
  if (!isWhole(limit, 0, COUNT_MAX)) return `limit is ${limit}, must be 0 to ${COUNT_MAX}`;
  return findWrongKey(key);
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function findWrongKey(key: string | undefined): string | undefined {
  if (key === undefined || key === "") return "key is missing";
  return key.length > KEY_MAX_LENGTH ? `key is ${key.length} long, limit is ${KEY_MAX_LENGTH}` : undefined;
}
