// Cross-origin resource sharing: answers preflights, and says on replies who may read them (Fetch, section 3.2; Istio's
// semantics where it leaves a choice).
import { defineFilter, reply } from "../../sdk/index.ts";
import { Config } from "./config.ts";

export default defineFilter({
  name: "cors",
  // Before anything that needs credentials: a preflight carries none.
  stage: "authn",
  reads: [":method", "origin", "access-control-request-method", "vary"],
  writes: ["access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers", "vary"],
  config: Config,
  request(request, { config }) {
    const origin = request.headers.get("origin");
    const isPreflight = request.method === "OPTIONS" && request.headers.has("access-control-request-method");
    if (origin === null || !isPreflight) return undefined;
    if (!config.allowOrigins(origin)) {
      return config.unmatchedPreflights === "IGNORE" ? reply({ status: 200 }) : undefined;
    }
    const headers: Record<string, string> = { "access-control-allow-origin": origin, vary: "Origin" };
    if (config.allowCredentials) headers["access-control-allow-credentials"] = "true";
    if (config.allowMethods.length > 0) headers["access-control-allow-methods"] = config.allowMethods.join(",");
    if (config.allowHeaders.length > 0) headers["access-control-allow-headers"] = config.allowHeaders.join(",");
    if (config.maxAge !== undefined) headers["access-control-max-age"] = String(config.maxAge);
    return reply({ status: 200, headers });
  },
  response(response, { config }) {
    const origin = response.request.headers.get("origin");
    if (origin === null || !config.allowOrigins(origin)) return;
    const { headers } = response;
    headers.set("access-control-allow-origin", origin);
    if (config.allowCredentials) headers.set("access-control-allow-credentials", "true");
    if (config.exposeHeaders.length > 0) headers.set("access-control-expose-headers", config.exposeHeaders.join(","));
    // The reply now depends on who asked: a cache must not hand it to another origin.
    if (!/(?:^|,)\s*(?:origin|\*)\s*(?:,|$)/iu.test(headers.get("vary") ?? "")) headers.append("vary", "Origin");
  },
});
