// Keys of clients: who calls, by a secret in a header, the query or a cookie.
import {
  counter,
  defineFilter,
  dropCookie,
  readCookie,
  readQuery,
  reply,
  type FilterHeaders,
} from "../../sdk/index.ts";
import { Config, type Source } from "./config.ts";

type Headers = FilterHeaders<string, string>;

export default defineFilter({
  name: "api-key",
  stage: "authn",
  // Which headers, only the configuration knows.
  reads: [":path", "*"],
  writes: ["*", "metadata.api_key_client", "metadata.*"],
  config: Config,
  metrics: {
    api_key_requests_total: counter({ help: "Requests by the owner of their key.", labels: ["client", "outcome"] }),
  },
  request(request, { config, metrics }) {
    const { headers } = request;
    // Only this filter says who it is.
    if (config.clientHeader !== undefined) headers.delete(config.clientHeader);
    const count = (client: string, outcome: string): void => metrics.api_key_requests_total.inc({ client, outcome });
    const presented = findPresented(config.from, headers, request.path);
    if (presented === undefined && config.isOptional) {
      count("", "anonymous");
      return undefined;
    }
    const key = presented === undefined ? undefined : config.keys(presented);
    if (key === undefined) {
      count("", presented === undefined ? "missing" : "unknown");
      const body = presented === undefined ? "API key is missing" : "API key is not known";
      return reply({ status: 401, headers: { "www-authenticate": "ApiKey" }, body });
    }
    const label = key.label ?? key.client;
    const rule = config.paths.find(({ path }) => request.path.startsWith(path));
    if (rule !== undefined && !rule.clients.includes(key.client)) {
      count(label, "forbidden");
      return reply({ status: 403, body: "API key may not be used here" });
    }
    count(label, "accepted");
    if (config.clientHeader !== undefined) headers.set(config.clientHeader, key.client);
    request.setAttribute("metadata.api_key_client", key.client);
    for (const [name, value] of Object.entries(key.metadata)) request.setAttribute(`metadata.${name}`, value);
    if (config.hidesKey) hideKeys(config.from, headers);
    return undefined;
  },
});

function findPresented(sources: readonly Source[], headers: Headers, path: string): string | undefined {
  for (const source of sources) {
    const found = readSource(source, headers, path);
    if (found !== undefined && found !== "") return found;
  }
  return undefined;
}

function readSource({ header, prefix, query, cookie }: Source, headers: Headers, path: string): string | undefined {
  if (query !== undefined) return readQuery(path, query);
  if (cookie !== undefined) return readCookie(headers.get("cookie"), cookie);
  const value = header === undefined ? null : headers.get(header);
  if (value === null || value.slice(0, prefix.length).toLowerCase() !== prefix.toLowerCase()) return undefined;
  return value.slice(prefix.length);
}

/** Every place, used or not: a second key must not go on behind the first. */
function hideKeys(sources: readonly Source[], headers: Headers): void {
  for (const { header, cookie } of sources) {
    if (header !== undefined) headers.delete(header);
    const field = cookie === undefined ? null : headers.get("cookie");
    if (cookie === undefined || field === null) continue;
    const rest = dropCookie(field, cookie);
    if (rest === "") headers.delete("cookie");
    else headers.set("cookie", rest);
  }
}
