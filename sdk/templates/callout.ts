import { counter, defineFilter, histogram, reply, z } from "vespid";

export default defineFilter({
  name: "callout",
  stage: "authz",
  reads: [":method", ":path", "authorization", "source.principal"],
  writes: ["x-auth-user"],
  // Nobody else can be called; each use of the filter says which service this is.
  upstreams: ["authz"],
  config: z.strictObject({
    /** Where the authorizer decides. */
    path: z.string().startsWith("/").default("/check"),
    /** Lets requests pass while the authorizer does not answer. */
    allowWithoutAnswer: z.boolean().default(false),
  }),
  metrics: {
    callout_total: counter({ help: "Decisions.", labels: ["result"] }),
    callout_ms: histogram({ help: "How long they took, milliseconds.", buckets: [1, 5, 10, 50, 100, 500, 1000] }),
  },

  async request(request, { config, fetch, log, metrics }) {
    const startedMs = Date.now();
    const asked = {
      method: request.method,
      path: request.path,
      principal: request.attribute("source.principal"),
      authorization: request.headers.get("authorization"),
    };
    let answer;
    try {
      const headers = { "content-type": "application/json" };
      answer = await fetch("authz", config.path, { method: "POST", headers, body: JSON.stringify(asked) });
    } catch (error) {
      // Nobody answered, or not in time.
      metrics.callout_total.inc({ result: "error" });
      log.warn("the authorizer did not answer", { reason: String(error) });
      return config.allowWithoutAnswer ? undefined : reply({ status: 503, body: "try again\n" });
    } finally {
      metrics.callout_ms.observe(Date.now() - startedMs);
    }
    metrics.callout_total.inc({ result: answer.ok ? "allow" : "deny" });
    if (!answer.ok) return reply({ status: answer.status === 401 ? 401 : 403, body: await answer.text() });
    const user = answer.headers.get("x-auth-user");
    // What the client says of itself goes no further.
    if (user === undefined) request.headers.delete("x-auth-user");
    else request.headers.set("x-auth-user", user);
    return undefined;
  },
});
