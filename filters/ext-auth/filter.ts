// Asks a service whether a request may pass (Envoy's ext_authz over HTTP): the request's head, and its body where that is
// wanted, go there; 200 lets it pass.
import { counter, defineFilter, reply, type UpstreamResponse, type Verdict } from "../../sdk/index.ts";
import { applyAllowance, fieldsOfCheck, fieldsOfDenial, pick } from "./check.ts";
import { Config } from "./config.ts";

/** What the reply's head gets, from the request to the reply. */
const FOR_REPLY = "metadata.ext_auth_reply";

export default defineFilter({
  name: "ext-auth",
  stage: "authz",
  // Which headers, only the configuration knows.
  reads: [":method", ":path", ":authority", FOR_REPLY, "*"],
  writes: ["*", FOR_REPLY],
  body: { request: "buffer" },
  upstreams: ["auth"],
  config: Config,
  metrics: { ext_auth_checks_total: counter({ help: "Checks by how they ended.", labels: ["outcome"] }) },
  async request(request, context): Promise<Verdict | undefined> {
    const { config, metrics, log } = context;
    const { method, path, authority, headers } = request;
    if (config.except.some((prefix) => path.startsWith(prefix))) return undefined;
    const content = config.includeRequestBodyInCheck;
    const fields = fieldsOfCheck(config, headers, authority);
    let body: Uint8Array | undefined;
    if (content !== undefined) {
      const whole = await request.body.bytes();
      const isPart = whole.length > content.maxRequestBytes;
      if (isPart && !content.allowPartialMessage) return reply({ status: 413, body: "Payload Too Large" });
      body = isPart ? whole.slice(0, content.maxRequestBytes) : whole;
      fields["x-envoy-auth-partial-body"] = String(isPart);
    }
    let answer: UpstreamResponse;
    try {
      answer = await context.fetch("auth", config.pathPrefix + path, {
        method,
        headers: fields,
        ...(body !== undefined && { body }),
        ...(config.timeout !== undefined && { timeoutMs: config.timeout }),
      });
      if (answer.status >= 500) throw new Error(`the service answered ${answer.status}`);
    } catch (error) {
      // No answer, or a service that is broken: neither says anything of the request.
      metrics.ext_auth_checks_total.inc({ outcome: "error" });
      log.warn("a check could not be made", { reason: String(error) });
      return config.failOpen ? undefined : reply({ status: config.statusOnError });
    }
    if (answer.status !== 200) {
      metrics.ext_auth_checks_total.inc({ outcome: "denied" });
      const denial = { status: Math.max(200, answer.status), headers: fieldsOfDenial(config, answer) };
      return reply({ ...denial, body: await answer.bytes() });
    }
    metrics.ext_auth_checks_total.inc({ outcome: "allowed" });
    applyAllowance(config, answer, headers);
    const forReply = pick(answer, config.headersToDownstreamOnAllow);
    if (Object.keys(forReply).length > 0) request.setAttribute(FOR_REPLY, JSON.stringify(forReply));
    return undefined;
  },
  response(response) {
    const kept = response.request.attribute(FOR_REPLY);
    if (kept === undefined) return;
    const fields: unknown = JSON.parse(kept);
    for (const [name, value] of Object.entries(fields ?? {})) {
      if (typeof value === "string") response.headers.set(name, value);
      else if (Array.isArray(value)) for (const one of value) response.headers.append(name, String(one));
    }
  },
});
