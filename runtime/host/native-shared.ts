// What native filters share: as in the sandbox, but counting takes no request apart, since it is on the path of every request.
import { createShared, type Shared } from "../../sdk/shared.ts";
import type { HostFunctions } from "./host-functions.ts";
import { nativeHost } from "./native-host.ts";
import { COUNT_MAX } from "./shared-counters.ts";
import { COUNTERS_BUSY, findWrongCounting } from "./shared-functions.ts";
import type { SharedScope } from "./shared-state.ts";

/** The SDK's view of a filter use's shared state. */
export function createNativeShared(functions: HostFunctions, find: () => SharedScope | undefined): Shared {
  const host = nativeHost(functions);
  return {
    ...createShared(() => host),
    incr(key, count, { windowMs, limit }) {
      const scope = find();
      if (scope === undefined) throw new Error("shared-incr: no more filters can share something here");
      const asked = { key, count, windowMs, limit: limit ?? COUNT_MAX };
      const wrong = findWrongCounting(asked);
      if (wrong !== undefined) throw new Error(`shared-incr: ${wrong}`);
      const counted = scope.counters.count(asked);
      if (counted === "busy") throw new Error(`shared-incr: ${COUNTERS_BUSY}`);
      const { isAllowed, value, resetMs } = counted;
      const remaining = limit === undefined ? Infinity : Math.max(0, limit - value);
      return { ok: isAllowed, value, remaining, resetMs: Math.ceil(resetMs) };
    },
  };
}
