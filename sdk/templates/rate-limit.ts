import { clientIp, counter, defineFilter, duration, reply, z } from "vespid";

export default defineFilter({
  name: "rate-limit",
  stage: "ratelimit",
  reads: ["source.ip", "x-forwarded-for"],
  writes: [],
  config: z.strictObject({
    /** Requests that a client may send in a window. */
    limit: z.int().min(1).default(100),
    /** Proxies before this one, each of which adds to x-forwarded-for the address that it saw. */
    trustedHops: z.int().min(0).default(0),
    window: duration({ minMs: 1000 }).prefault("1m"),
  }),
  metrics: {
    limited_total: counter({ help: "Requests beyond the limit." }),
  },

  request(request, { config, metrics, shared }) {
    const client = clientIp(
      request.attribute("source.ip") ?? "",
      request.headers.get("x-forwarded-for"),
      config.trustedHops,
    );
    // Counted together by all workers of the proxy.
    const counted = shared.incr(client, 1, { windowMs: config.window, limit: config.limit });
    if (counted.ok) return undefined;
    metrics.limited_total.inc();
    const seconds = Math.ceil(counted.resetMs / 1000);
    return reply({ status: 429, headers: { "retry-after": String(seconds) }, body: "slow down\n" });
  },
});
