// Which route a request takes. Everything that can be decided when the configuration is applied is decided here, once.
import type { Destination, Route, RouteMatch, StringMatch, VirtualHost } from "../contract/route.ts";
import { compileWeights } from "../balance/balancer.ts";
import type { Decision, Destination as Called } from "../exchange/exchange.ts";
import type { HeaderMap } from "../exchange/headers.ts";
import { PathIndex, type PathNeed } from "./path-index.ts";

/** What a match looks at. */
export interface Requested {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: HeaderMap;
  readonly scheme?: string;
  readonly authority?: string;
  readonly downstream?: { readonly originalDestination: Called | undefined };
}

/** Picks a route's destination for a number in [0, 1). */
export type CompiledRoute = (at: number) => Decision | undefined;

/** Changes a head in place. */
export type HeaderEditor = (headers: HeaderMap) => void;

/** Finds the route of a request; `undefined` where none matches. */
export type RouteTable = (authority: string, requested: Requested) => CompiledRoute | undefined;

interface Rule {
  readonly route: CompiledRoute;
  readonly matches: (requested: Requested, path: string) => boolean;
}

/** The first rule of a host that matches. */
type CompiledHost = (requested: Requested) => CompiledRoute | undefined;

/** Up to so many rules are asked one after the other: that takes less than the index. */
const ASKED_IN_TURN_MAX = 8;

/** Builds the table. Hosts: exact before the longest suffix wildcard before `*`; routes: the first that matches. */
export function compileRoutes(virtualHosts: readonly VirtualHost[]): RouteTable {
  const exact = new Map<string, CompiledHost>();
  const suffixes: { readonly suffix: string; readonly host: CompiledHost }[] = [];
  let any: CompiledHost | undefined;
  for (const virtualHost of virtualHosts) {
    const host = compileHost(virtualHost);
    for (const domain of virtualHost.domains) {
      const lower = domain.toLowerCase();
      if (lower === "*") any = host;
      else if (lower.startsWith("*")) suffixes.push({ suffix: lower.slice(1), host });
      else exact.set(lower, host);
    }
  }
  if (virtualHosts.length === 0) return () => undefined;
  suffixes.sort((a, b) => b.suffix.length - a.suffix.length);
  let lastAuthority: string | undefined;
  let lastHost: CompiledHost | undefined;
  /** Callers mostly repeat themselves: the last answer is kept. */
  function recallHost(authority: string): CompiledHost | undefined {
    if (authority !== lastAuthority) {
      lastHost = findHost(authority);
      lastAuthority = authority;
    }
    return lastHost;
  }
  function findHost(authority: string): CompiledHost | undefined {
    const name = hostOf(authority);
    // A wildcard stands for at least one character, as Envoy's.
    return (
      exact.get(name) ??
      suffixes.find(({ suffix }) => name.length > suffix.length && name.endsWith(suffix))?.host ??
      any
    );
  }
  return function matchRoute(authority, requested) {
    return recallHost(authority)?.(requested);
  };
}

/** `Reviews:9080` is `reviews`; the brackets of an IPv6 address stay. */
export function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(":");
  const bare = colon > authority.lastIndexOf("]") ? authority.slice(0, colon) : authority;
  return bare.toLowerCase();
}

function withoutQuery(path: string): string {
  const query = path.indexOf("?");
  return query < 0 ? path : path.slice(0, query);
}

function compileHost(host: VirtualHost): CompiledHost {
  const rules = host.routes.map((route) => ({
    route: compileRoute(route),
    matches: compileMatches(route.matches, host.port),
  }));
  const [first] = rules;
  // What takes everything is not asked, nor is any behind it.
  if (first !== undefined && host.routes[0]?.matches.length === 0) return () => first.route;
  if (rules.length <= ASKED_IN_TURN_MAX) {
    return function askInTurn(requested) {
      const path = withoutQuery(requested.path);
      for (const { route, matches } of rules) if (matches(requested, path)) return route;
      return undefined;
    };
  }
  const index = new PathIndex<Rule, Requested>(({ matches }, requested, path) => matches(requested, path));
  rules.forEach((rule, order) => {
    for (const need of neededPaths(host.routes[order]?.matches ?? [])) index.add(order, rule, need);
  });
  return (requested) => index.first(requested, withoutQuery(requested.path))?.route;
}

/** What a path must be for one of a route's matches to hold. */
function neededPaths(matches: readonly RouteMatch[]): readonly PathNeed[] {
  if (matches.length === 0) return [{ kind: "prefix", text: "", isAll: true }];
  return matches.map((match) => {
    const { path, ignoreCase } = match;
    if (path === undefined || ignoreCase || path.kind === "regex") return { kind: "prefix", text: "", isAll: false };
    const isAll = compileConditions(match, undefined).length === 0;
    if (path.kind !== "path_separated_prefix") return { kind: path.kind, text: path.value, isAll };
    return { kind: "segments", text: path.value.replace(/\/$/u, ""), isAll };
  });
}

function compileRoute(route: Route): CompiledRoute {
  const decisions = route.destinations.map((destination) => compileDecision(route, destination));
  if (decisions.length === 1) return () => decisions[0];
  const draw = compileWeights(route.destinations.map(({ weight }) => weight));
  return (at) => decisions[draw(at)];
}

function compileDecision(route: Route, destination: Destination): Decision {
  const rewritePath = compileRewrite(route);
  const { authorityRewrite } = route;
  // Envoy applies the edits of the most specific place first, so that the wider one has the last word.
  const edits = [compileEdits(destination.requestHeaders), compileEdits(route.requestHeaders)].filter(
    (edit) => edit !== undefined,
  );
  const replyEdits = [compileEdits(destination.responseHeaders), compileEdits(route.responseHeaders)].filter(
    (edit) => edit !== undefined,
  );
  const isPlain = rewritePath === undefined && authorityRewrite === undefined && edits.length === 0;
  return {
    routeName: route.name,
    cluster: destination.cluster,
    timeoutMs: route.timeoutMs,
    prepare: isPlain
      ? undefined
      : function prepareRequest(exchange) {
          for (const edit of edits) edit(exchange.headers);
          if (authorityRewrite !== undefined) {
            exchange.authority = authorityRewrite;
            exchange.headers.set("Host", authorityRewrite);
          }
          if (rewritePath === undefined) return;
          exchange.originalPath = exchange.path;
          exchange.headers.set("x-envoy-original-path", exchange.path);
          exchange.path = rewritePath(exchange.path);
        },
    editReply:
      replyEdits.length === 0
        ? undefined
        : function editReply(headers) {
            for (const edit of replyEdits) edit(headers);
          },
  };
}

/** Envoy's order: remove, then set, then add. */
export function compileEdits(edits: Route["requestHeaders"]): HeaderEditor | undefined {
  const remove = edits.remove.map((name) => name.toLowerCase());
  const set = Object.entries(edits.set);
  const add = Object.entries(edits.add);
  if (remove.length + set.length + add.length === 0) return undefined;
  return function editHeaders(headers) {
    for (const name of remove) headers.delete(name);
    for (const [name, value] of set) headers.set(name, value);
    for (const [name, value] of add) headers.append(name, value);
  };
}

/**
 * The longest matched prefix is replaced, an exact match whole, the query stays (Istio's `rewrite.uri`). As in Envoy, a
 * plain prefix is replaced to the letter: `/api` → `/` makes `//x` of `/api/x`. Whole segments are joined by one slash.
 */
function compileRewrite(route: Route): ((path: string) => string) | undefined {
  const { prefixRewrite } = route;
  if (prefixRewrite === undefined) return undefined;
  const paths = route.matches.flatMap(({ path, ignoreCase }) =>
    path === undefined || path.kind === "regex" ? [] : [{ path, matches: compilePath(path, ignoreCase) }],
  );
  return function rewritePath(path) {
    const bare = withoutQuery(path);
    const query = path.slice(bare.length);
    const matched = paths
      .filter(({ matches }) => matches(bare))
      .toSorted((a, b) => b.path.value.length - a.path.value.length)[0]?.path;
    // A rule without a path matches at "/".
    if (matched === undefined) return `${prefixRewrite}${bare.slice(1)}${query}`;
    if (matched.kind !== "path_separated_prefix") return `${prefixRewrite}${bare.slice(matched.value.length)}${query}`;
    const rest = bare.slice(matched.value.replace(/\/$/u, "").length);
    return `${rest === "" ? prefixRewrite : prefixRewrite.replace(/\/$/u, "") + rest}${query}`;
  };
}

function compileMatches(matches: readonly RouteMatch[], hostPort: number | undefined): Condition {
  if (matches.length === 0) return () => true;
  const compiled = matches.map((match) => compileMatch(match, hostPort));
  const [first] = compiled;
  if (first !== undefined && compiled.length === 1) return first;
  return (requested, path) => compiled.some((matchesOne) => matchesOne(requested, path));
}

function compileMatch(match: RouteMatch, hostPort: number | undefined): Condition {
  const conditions = compileConditions(match, hostPort);
  if (match.path !== undefined) {
    const matchesPath = compilePath(match.path, match.ignoreCase);
    conditions.unshift((_, path) => matchesPath(path));
  }
  const [first, second] = conditions;
  if (first !== undefined && second === undefined) return first;
  return function holdsAll(requested, path) {
    for (const holds of conditions) if (!holds(requested, path)) return false;
    return true;
  };
}

type Condition = (requested: Requested, path: string) => boolean;

/** Everything that a match asks besides the path, the cheap first. */
function compileConditions(match: RouteMatch, hostPort: number | undefined): Condition[] {
  const conditions: Condition[] = [];
  const { method, scheme, authority, port } = match;
  if (method !== undefined) {
    const matchesMethod = compileString(method);
    conditions.push((requested) => matchesMethod(requested.method));
  }
  if (port !== undefined) conditions.push((requested) => calledPort(requested, hostPort) === port);
  if (scheme !== undefined) {
    const matchesScheme = compileString(scheme);
    conditions.push((requested) => matchesScheme(requested.scheme));
  }
  if (authority !== undefined) {
    const matchesAuthority = compileString(authority);
    conditions.push((requested) => matchesAuthority(requested.authority));
  }
  for (const [name, value] of Object.entries(match.headers)) {
    const matchesValue = compileString(value);
    conditions.push(({ headers }) => matchesValue(headers.get(name)));
  }
  for (const [name, value] of Object.entries(match.withoutHeaders)) {
    const matchesValue = compileString(value);
    conditions.push(({ headers }) => !matchesValue(headers.get(name)));
  }
  for (const [name, value] of Object.entries(match.queryParams)) {
    const matchesValue = compileString(value);
    conditions.push((requested) => matchesValue(firstParam(requested.path, name)));
  }
  return conditions;
}

/** Where Istio has a listener for each port, ours is one: a redirected connection knows the port, else the request does. */
function calledPort({ downstream, authority = "", scheme }: Requested, hostPort: number | undefined): number {
  const original = downstream?.originalDestination?.port;
  if (original !== undefined) return original;
  const named = authority.slice(hostOf(authority).length + 1);
  if (named !== "") return Number(named);
  return hostPort ?? (scheme === "https" ? 443 : 80);
}

/** Of `/a?x=1&x=2` the `x` is `1`. Names and values are percent-decoded, `+` stays, as Envoy reads a query. */
function firstParam(path: string, name: string): string | undefined {
  const query = path.indexOf("?");
  if (query < 0) return undefined;
  for (const part of path.slice(query + 1).split("&")) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    if (decodeEscapes(key) === name) return equals < 0 ? "" : decodeEscapes(part.slice(equals + 1));
  }
  return undefined;
}

/** An escape that stands for no character stays as it is. */
function decodeEscapes(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Compares a path without its query. */
export function compilePath(match: NonNullable<RouteMatch["path"]>, ignoreCase = false): (path: string) => boolean {
  if (match.kind === "regex") return compileString(match);
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  const value = fold(match.value);
  if (!ignoreCase) {
    if (match.kind === "exact") return (path) => path === value;
    if (match.kind === "prefix") return (path) => path.startsWith(value);
  }
  switch (match.kind) {
    case "exact":
      return (path) => fold(path) === value;
    case "prefix":
      return (path) => fold(path).startsWith(value);
    case "path_separated_prefix": {
      const bare = value.replace(/\/$/u, "");
      return (path) => {
        const folded = fold(path);
        return folded.startsWith(bare) && (folded.length === bare.length || folded.charCodeAt(bare.length) === 47);
      };
    }
  }
}

/** Compares a text; a missing one matches nothing. */
export function compileString(match: StringMatch): (text: string | undefined) => boolean {
  switch (match.kind) {
    case "exact":
      return (text) => text === match.value;
    case "prefix":
      return (text) => text?.startsWith(match.value) ?? false;
    case "present":
      return (text) => text !== undefined;
    case "regex": {
      const pattern = new RegExp(`^(?:${match.value})$`, "u");
      return (text) => text !== undefined && pattern.test(text);
    }
  }
}
