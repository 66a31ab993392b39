// What goes into a check, and what of its answer goes where. Pure.
import type { FilterHeaders, UpstreamResponse } from "../../sdk/index.ts";
import type { Config } from "./config.ts";

type Fields = Readonly<Record<string, string | readonly string[]>>;

/** Frame a message or belong to one connection: neither a check's nor a reply's to pass on. */
const OWN_FIELDS = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** The client gets these of a denial whatever is configured (as with Envoy): without them it could not act on it. */
const DENIAL_FIELDS = new Set(["www-authenticate", "location", "content-type"]);

/** Fields of the check. */
export function fieldsOfCheck(
  config: Config,
  headers: FilterHeaders<string, never>,
  authority: string,
): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const name of headers.keys()) {
    if (OWN_FIELDS.has(name) || (name !== "authorization" && !config.includeRequestHeadersInCheck(name))) continue;
    fields[name] = headers.get(name) ?? "";
  }
  // Calls have the Host of the service that they go to.
  fields["x-forwarded-host"] = authority;
  for (const [name, value] of Object.entries(config.includeAdditionalHeadersInCheck))
    fields[name.toLowerCase()] = value;
  return fields;
}

/** Fields of a denial that the client gets. */
export function fieldsOfDenial({ headersToDownstreamOnDeny: isWanted }: Config, denial: UpstreamResponse): Fields {
  return pick(denial, (name) => isWanted === undefined || DENIAL_FIELDS.has(name) || isWanted(name));
}

/** Fields of an answer by a choice of names. */
export function pick({ headers, setCookies }: UpstreamResponse, isWanted: (name: string) => boolean): Fields {
  const fields: Record<string, string | readonly string[]> = {};
  for (const [name, value] of headers) if (!OWN_FIELDS.has(name) && isWanted(name)) fields[name] = value;
  if (setCookies.length > 0 && isWanted("set-cookie")) fields["set-cookie"] = setCookies;
  return fields;
}

/**
 * Puts what the service says of an allowed request in the place of what the client said. A field `x-…` that it may set and
 * did not is removed: a client must not say of itself what only the service can know.
 */
export function applyAllowance(
  { headersToUpstreamOnAllow: isWanted }: Config,
  allowance: UpstreamResponse,
  headers: FilterHeaders<string, string>,
): void {
  for (const name of headers.keys()) if (name.startsWith("x-") && isWanted(name)) headers.delete(name);
  for (const [name, value] of Object.entries(pick(allowance, isWanted))) {
    if (typeof value === "string") headers.set(name, value);
  }
}
