// The answer to one exchange: from the upstream, from a filter, or made by the proxy.
import { bytesBody, EMPTY_BODY, type Body } from "./body.ts";
import { HeaderMap } from "./headers.ts";

/** Envoy's `%RESPONSE_FLAGS%`, short form; `-` is none. */
export type ResponseFlags =
  | "-"
  | "UH"
  | "UF"
  | "UO"
  | "NR"
  | "NC"
  | "UT"
  | "UC"
  | "UR"
  | "UPE"
  | "SI"
  | "DC"
  | "DR"
  | "DPE"
  | "RL"
  | "UAEX";

/** A reply whose head may still be edited and whose body flows once somebody pipes it. */
export class Reply {
  status: number;
  /** Reason phrase as the upstream wrote it; empty where there was none. */
  reason: string;
  headers: HeaderMap;
  body: Body;
  /** `%RESPONSE_CODE_DETAILS%`: `via_upstream`, `route_not_found`, a filter's name, … */
  details = "via_upstream";
  flags: ResponseFlags = "-";
  /** Closes the downstream connection after this reply. */
  closes = false;

  constructor(status: number, reason: string, headers: HeaderMap, body: Body) {
    this.status = status;
    this.reason = reason;
    this.headers = headers;
    this.body = body;
  }
}

const encoder = new TextEncoder();

/** A reply that the proxy or a filter makes itself. `content-length` and, where there is a body, `content-type` are filled in. */
export function localReply(
  status: number,
  body: string | Uint8Array,
  details: string,
  headers: Iterable<readonly [string, string]> = [],
): Reply {
  const bytes = typeof body === "string" ? encoder.encode(body) : body;
  const map = HeaderMap.from(headers);
  map.set("content-length", String(bytes.length));
  if (bytes.length > 0 && !map.has("content-type")) map.append("content-type", "text/plain");
  const reply = new Reply(status, "", map, bytes.length === 0 ? EMPTY_BODY : bytesBody(bytes));
  reply.details = details;
  return reply;
}
