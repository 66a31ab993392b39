// URLs by the rules of WHATWG's URL standard.
import { answered, quote, refused, type HostAnswer } from "./answer.ts";

const URL_MAX_LENGTH = 65_536;
const CALL_NS = 2000;
const NS_PER_CHARACTER = 20;

/** What can be set of a URL, by the standard's names. */
const SETTABLE = [
  "href",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
] as const;
type Settable = (typeof SETTABLE)[number];

/**
 * `url`: request = JSON `["parse", url, base?]`, or `["set", url, name, value]` for one part of it. Answers JSON: href, protocol,
 * username, password, host, hostname, port, pathname, search, hash, origin, in that order.
 */
export function parseUrl(request: string): HostAnswer<string> {
  if (request.length > URL_MAX_LENGTH) return refused(`url is ${request.length} long, limit is ${URL_MAX_LENGTH}`);
  const costNs = CALL_NS + request.length * NS_PER_CHARACTER;
  try {
    const asked: unknown = JSON.parse(request);
    const [kind, input, first, second] = Array.isArray(asked) ? asked.map(String) : [];
    if (input === undefined) return refused("request is not [kind, url]", costNs);
    const url = new URL(input, kind === "parse" ? first : undefined);
    if (kind === "set") {
      if (!isSettable(first)) return refused(`${quote(first)} is no part of a url that can be set`, costNs);
      url[first] = second ?? "";
    }
    return answered(JSON.stringify([...SETTABLE.map((name) => url[name]), url.origin]), costNs);
  } catch {
    // Not JSON, or what the standard calls a failure.
    return refused("not a valid url", costNs);
  }
}

function isSettable(name: string | undefined): name is Settable {
  return SETTABLE.some((each) => each === name);
}
