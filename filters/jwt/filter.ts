// Tokens of the providers that are trusted: Istio's RequestAuthentication, with rules for who must have one.
import {
  counter,
  defineFilter,
  dropCookie,
  readCookie,
  readQuery,
  reply,
  type FilterHeaders,
} from "../../sdk/index.ts";
import { Config, type Provider } from "./config.ts";
import { Providers, type Verified } from "./providers.ts";
import { holdsOneOf, readClaim, renderClaim } from "./token.ts";

type Headers = FilterHeaders<string, string>;

export default defineFilter({
  name: "jwt",
  stage: "authn",
  // Which headers, only the configuration knows.
  reads: [":method", ":path", "request.time", "*"],
  writes: ["*", "metadata.jwt_principal", "metadata.*"],
  upstreams: ["*"],
  config: Config,
  metrics: { jwt_requests_total: counter({ help: "Requests by what became of their token.", labels: ["outcome"] }) },
  async setup(context) {
    const providers = new Providers(context.config.providers);
    await providers.tick(context);
    return providers;
  },
  every: { "10s": (context) => context.state.tick(context) },
  request(request, { config, state, metrics }) {
    const { headers, path, method } = request;
    // A browser's preflight carries no credentials, and does nothing.
    if (method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method")) return undefined;
    for (const provider of config.providers) dropOutputs(provider, headers);
    const count = (outcome: string): void => metrics.jwt_requests_total.inc({ outcome });
    const rule = config.rules.find((one) => path.startsWith(one.path));
    const text = findToken(config.providers, headers, path);
    if (text === undefined) {
      count(rule?.isRequired === true ? "missing" : "anonymous");
      return rule?.isRequired === true ? unauthorized("Jwt is missing", "Bearer") : undefined;
    }
    const nowMs = Number(request.attribute("request.time"));
    const verified: Verified =
      text.length > config.tokenMaxBytes
        ? { ok: false, reason: `Jwt is longer than ${config.tokenMaxBytes} bytes` }
        : state.verify(text, nowMs);
    if (!verified.ok) {
      count("invalid");
      return unauthorized(verified.reason, `Bearer error="invalid_token", error_description="${verified.reason}"`);
    }
    const { provider, token } = verified;
    const isRightIssuer = rule === undefined || rule.issuers.length === 0 || rule.issuers.includes(provider.issuer);
    const hasClaims = Object.entries(rule?.claims ?? {}).every(([name, values]) =>
      holdsOneOf(token.claims, name, values),
    );
    if (!isRightIssuer || !hasClaims) {
      count("forbidden");
      return reply({ status: 403, body: "Jwt does not allow this" });
    }
    count("accepted");
    const { sub } = token.claims;
    const principal = renderClaim(`${provider.issuer}/${typeof sub === "string" ? sub : ""}`);
    if (principal !== undefined) request.setAttribute("metadata.jwt_principal", principal);
    for (const { name, claim } of provider.outputClaimToMetadata) {
      const value = renderClaim(readClaim(token.claims, claim));
      if (value !== undefined) request.setAttribute(`metadata.${name}`, value);
    }
    for (const { header, claim } of provider.outputClaimToHeaders) {
      const value = renderClaim(readClaim(token.claims, claim));
      if (value !== undefined) headers.set(header, value);
    }
    if (!provider.forwardOriginalToken) dropToken(provider, headers, text);
    if (provider.outputPayloadToHeader !== undefined) headers.set(provider.outputPayloadToHeader, token.payload);
    return undefined;
  },
});

function unauthorized(reason: string, challenge: string): ReturnType<typeof reply> {
  return reply({ status: 401, headers: { "www-authenticate": challenge }, body: reason });
}

/** Only this filter says what a token says. */
function dropOutputs({ outputPayloadToHeader, outputClaimToHeaders }: Provider, headers: Headers): void {
  if (outputPayloadToHeader !== undefined) headers.delete(outputPayloadToHeader);
  for (const { header } of outputClaimToHeaders) headers.delete(header);
}

/** The first token in the order of providers and their places. */
function findToken(providers: readonly Provider[], headers: Headers, path: string): string | undefined {
  for (const { fromHeaders, fromParams, fromCookies } of providers) {
    for (const { name, prefix } of fromHeaders) {
      const value = headers.get(name);
      if (value !== null && value.slice(0, prefix.length).toLowerCase() === prefix.toLowerCase())
        return value.slice(prefix.length).trim();
    }
    for (const name of fromParams) {
      const value = readQuery(path, name);
      if (value !== undefined) return value;
    }
    for (const name of fromCookies) {
      const value = readCookie(headers.get("cookie"), name);
      if (value !== undefined) return value;
    }
  }
  return undefined;
}

function dropToken({ fromHeaders, fromCookies }: Provider, headers: Headers, token: string): void {
  for (const { name } of fromHeaders) if (headers.get(name)?.endsWith(token) === true) headers.delete(name);
  for (const name of fromCookies) {
    const field = headers.get("cookie");
    if (field === null || readCookie(field, name) !== token) continue;
    const rest = dropCookie(field, name);
    if (rest === "") headers.delete("cookie");
    else headers.set("cookie", rest);
  }
}
