// URLs by the rules of WHATWG's URL standard.
import { answered, quote, refused, type HostAnswer } from "./answer.ts";

const URL_MAX_LENGTH = 65_536;
/** A name's characters are normalized, which is quadratic in marks that combine: 20,000 of them took over a second. */
const AUTHORITY_MAX_LENGTH = 2048;
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
/** Schemes whose hosts are names of the domain name system. */
const SPECIAL: ReadonlySet<string> = new Set(["http", "https", "ws", "wss", "ftp", "file"]);
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
    // Texts alone: a list in a list is written out as often as it is nested.
    const [kind, input, first, second] = isTexts(asked) ? asked : [];
    if (input === undefined) return refused("request is not [kind, url]", costNs);
    if ([input, first, second].some((text) => text !== undefined && authorityLength(text) > AUTHORITY_MAX_LENGTH))
      return refused(`host is longer than ${AUTHORITY_MAX_LENGTH}`, costNs);
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

/**
 * Of what the standard may take for the authority of a url, or for a host that is set: what stands before the first slash,
 * behind a scheme whose urls have hosts, and slashes of either kind. Tabs and line ends are not seen.
 */
function authorityLength(text: string): number {
  const [, scheme = "", authority = ""] =
    /^[\0- ]*(?:([a-z][a-z\d+.-]*):)?[/\\]*([^/\\?#]*)/iu.exec(text.replaceAll(/[\t\r\n]/gu, "")) ?? [];
  return scheme === "" || SPECIAL.has(scheme.toLowerCase()) ? authority.length : 0;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function isSettable(name: string | undefined): name is Settable {
  return SETTABLE.some((each) => each === name);
}
