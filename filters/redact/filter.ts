// Secrets leave messages before they go on: from headers, from JSON and forms by name and place, from texts by pattern.
import { counter, defineFilter, type FilterHeaders } from "../../sdk/index.ts";
import { concerns } from "./bodies.ts";
import { Config } from "./config.ts";
import { maskText, type Mask } from "./masks.ts";
import { redactBody, SPOILED, type Subject } from "./redact-body.ts";
import type { Rules } from "./rules.ts";

type Headers = FilterHeaders<string, string>;

export default defineFilter({
  name: "redact",
  stage: "transform",
  // Which headers, only the configuration knows.
  reads: [":method", ":status", "*"],
  writes: ["*"],
  body: { request: "stream", response: "stream" },
  config: Config,
  metrics: {
    redact_secrets_total: counter({ help: "Secrets that were hidden.", labels: ["of", "by"] }),
    redact_unreadable_total: counter({ help: "Bodies that could not be searched.", labels: ["of", "why"] }),
  },
  request({ headers, body }, { config, metrics }) {
    const { request: rules, response } = config.rules;
    if (concerns("unknown", response)) {
      // A reply that is coded, or a part, could not be searched.
      if (headers.has("accept-encoding")) headers.set("accept-encoding", "identity");
      for (const name of ["range", "if-range"]) if (headers.has(name)) headers.delete(name);
    }
    const subject: Subject = {
      of: "request",
      headers,
      body,
      rules,
      config,
      count: (times) => metrics.redact_secrets_total.add(times, { of: "request", by: "body" }),
      unreadable: (why) => metrics.redact_unreadable_total.inc({ of: "request", why }),
    };
    const count = redactHeaders(headers, rules);
    if (count > 0) metrics.redact_secrets_total.add(count, { of: "request", by: "header" });
    return redactBody(subject);
  },
  response({ headers, body, status, request }, { config, metrics }) {
    const rules = config.rules.response;
    const count = redactHeaders(headers, rules);
    if (count > 0) metrics.redact_secrets_total.add(count, { of: "reply", by: "header" });
    // These have no body, whatever their heads say of it.
    if (request.method === "HEAD" || status === 204 || status === 304) return undefined;
    return redactBody({
      of: "reply",
      headers,
      body,
      rules,
      config,
      count: (times) => metrics.redact_secrets_total.add(times, { of: "reply", by: "body" }),
      unreadable: (why) => metrics.redact_unreadable_total.inc({ of: "reply", why }),
    });
  },
  requestTrailers({ headers }, { config }) {
    redactTrailers(headers, config.rules.request);
  },
  responseTrailers({ headers }, { config }) {
    redactTrailers(headers, config.rules.response);
  },
});

/** How many fields were secret. */
function redactHeaders(headers: Headers, rules: Rules): number {
  let count = 0;
  for (const [name, mask] of rules.headers) {
    if (!headers.has(name)) continue;
    count++;
    redactHeader(headers, name, mask);
  }
  return count;
}

function redactHeader(headers: Headers, name: string, mask: Mask): void {
  const values = name === "set-cookie" ? headers.getSetCookie() : [headers.get(name) ?? ""];
  headers.delete(name);
  if (mask.kind !== "remove") for (const value of values) headers.append(name, maskText(mask, value));
}

/** What follows a body says as much of it as what is before it. */
function redactTrailers(headers: Headers, rules: Rules): void {
  redactHeaders(headers, rules);
  if (concerns("unknown", rules)) for (const name of SPOILED) if (headers.has(name)) headers.delete(name);
}
