import { allow, counter, defineAdapter, duration, grant, refuse, z } from "vespid";

export default defineAdapter({
  name: "adapter",
  // What a rule's action says of an exchange; a rule that gives another type is refused.
  reads: { user: "string", path: "string", status: "number" },
  config: z.strictObject({
    /** How long an answer of the policy holds for the same user and path. */
    keepFor: duration({ minMs: 0 }).prefault("10s"),
    /** What a user may have in a window. */
    limit: z.int().min(1).default(100),
    window: duration({ minMs: 1000 }).prefault("1m"),
  }),
  // Nobody else can be called; each Adapter resource says which services these are.
  upstreams: ["policy", "ledger"],
  metrics: {
    adapter_refused_total: counter({ help: "Requests that were turned away.", labels: ["why"] }),
  },

  // May this request go on? Throwing fails it, and the Adapter's failurePolicy decides: 503 by default.
  async check({ attributes: { user, path } }, { config, fetch, metrics }) {
    if (user === undefined) return refuse({ status: 401, headers: { "www-authenticate": "Bearer" } });
    const headers = { "content-type": "application/json" };
    const answer = await fetch("policy", "/may", { method: "POST", headers, body: JSON.stringify({ user, path }) });
    if (answer.status === 200) return allow({ validForMs: config.keepFor });
    if (answer.status !== 403) throw new Error(`the policy answered ${answer.status}`);
    metrics.adapter_refused_total.inc({ why: "policy" });
    return refuse({ message: await answer.text(), validForMs: config.keepFor });
  },

  // How much of the amount may be had? Counted together by all workers of the proxy.
  quota({ name, amount, isBestEffort, attributes: { user = "nobody" } }, { config, metrics, shared }) {
    const key = `${name} ${user}`;
    const window = { windowMs: config.window, limit: config.limit };
    if (shared.incr(key, amount, window).ok) return grant(amount);
    const { remaining, resetMs } = shared.incr(key, 0, window);
    if (isBestEffort && remaining > 0 && shared.incr(key, remaining, window).ok) return grant(remaining);
    metrics.adapter_refused_total.inc({ why: "quota" });
    return refuse({
      status: 429,
      headers: { "retry-after": String(Math.ceil(resetMs / 1000)) },
      message: "slow down\n",
    });
  },

  // What happened, a batch at a time. Throwing has the same batch told again after a while.
  async report(instances, { fetch }) {
    const lines = instances.map(({ name, attributes }) => JSON.stringify({ name, ...attributes }));
    const answer = await fetch("ledger", "/entries", { method: "POST", body: `${lines.join("\n")}\n` });
    if (answer.status >= 500) throw new Error(`the ledger answered ${answer.status}`);
    return answer.ok ? undefined : refuse({ message: `the ledger answered ${answer.status}` });
  },
});
