// Limits on requests by whoever sends them, counted together by all workers of a proxy.
import { clientIp, counter, defineFilter, reply } from "../../sdk/index.ts";
import { Config } from "./config.ts";
import { judge, type Judgement } from "./limiter.ts";

/** What the reply's head gets, from the request to the reply. */
const FOR_REPLY = "metadata.rate_limit";

export default defineFilter({
  name: "rate-limit",
  stage: "ratelimit",
  // Which headers and values, only the configuration knows.
  reads: [":method", ":path", "source.ip", "source.principal", "metadata.*", "*"],
  writes: [FOR_REPLY, "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
  config: Config,
  metrics: {
    rate_limit_requests_total: counter({
      help: "Requests under a limit, by whether it allowed them.",
      labels: ["limit", "outcome"],
    }),
  },
  request(request, { config, metrics, shared }) {
    const { headers, method, path } = request;
    const ip = clientIp(request.attribute("source.ip") ?? "", headers.get("x-forwarded-for"), config.trustedHops);
    const judgement = judge(
      config.limits,
      {
        method,
        path,
        ip,
        principal: request.attribute("source.principal"),
        header: (name) => headers.get(name),
        metadata: (name) => request.attribute(`metadata.${name}`),
      },
      shared,
    );
    if (judgement === undefined) return undefined;
    const outcome = judgement.isAllowed ? "allowed" : config.shadow ? "shadowed" : "refused";
    metrics.rate_limit_requests_total.inc({ limit: judgement.limit.name, outcome });
    if (outcome === "refused") return refuse(config, judgement);
    if (config.headers === "always") request.setAttribute(FOR_REPLY, describe(judgement).join(";"));
    return undefined;
  },
  response(response) {
    const kept = response.request.attribute(FOR_REPLY);
    if (kept === undefined) return;
    const [limit = "", remaining = "", reset = ""] = kept.split(";");
    response.headers.set("x-ratelimit-limit", limit);
    response.headers.set("x-ratelimit-remaining", remaining);
    response.headers.set("x-ratelimit-reset", reset);
  },
});

/** Limit, what is left of it, and seconds until it is whole again. */
function describe({ limit, remaining, resetMs }: Judgement): readonly [string, string, string] {
  return [String(limit.requests), String(remaining), String(Math.ceil(resetMs / 1000))];
}

function refuse(config: Config, judgement: Judgement): ReturnType<typeof reply> {
  const [limit, remaining, reset] = describe(judgement);
  const headers: Record<string, string> = { "retry-after": reset, "x-envoy-ratelimited": "true" };
  if (config.headers !== "never") {
    headers["x-ratelimit-limit"] = limit;
    headers["x-ratelimit-remaining"] = remaining;
    headers["x-ratelimit-reset"] = reset;
  }
  return reply({ status: config.status, headers, body: "local_rate_limited" });
}
