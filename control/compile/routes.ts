// VirtualServices and services become the virtual hosts of a proxy's outbound side.
import type { z } from "zod";
import type {
  HeaderEdits,
  PathMatch,
  Route,
  RouteMatch,
  StringMatch as ProxyStringMatch,
  VirtualHost,
} from "../../runtime/contract/route.ts";
import type { StringMatch } from "../resource/fields.ts";
import type { VirtualService } from "../resource/resource.ts";
import type { HttpMatch, HttpRoute } from "../resource/virtual-service.ts";
import type { Clusters } from "./clusters.ts";
import { compareSpecificity, fullHost, hostCovers, shortForms } from "./hosts.ts";
import { httpPorts, type Service } from "./services.ts";
import { isFor, seenVirtualServices, type Identity, type World } from "./world.ts";

type VirtualHostInput = z.input<typeof VirtualHost>;
type RouteInput = z.input<typeof Route>;
type RouteMatchInput = z.input<typeof RouteMatch>;

/** What answers for one host. */
interface Claim {
  readonly host: string;
  readonly virtualService: VirtualService | undefined;
}

/** A virtual host for every host that the proxy sees, the service's own or a VirtualService's. */
export function buildVirtualHosts(world: World, clusters: Clusters, identity: Identity): readonly VirtualHostInput[] {
  const services = world.services(identity.namespace);
  const claims = claimHosts(world, identity.namespace);
  // Full names come before short forms, so that no service's short form takes the name of another.
  const taken = new Set(claims.map(({ host }) => host));
  return claims.map(({ host, virtualService }) => {
    const service = services.get(host);
    const forms = [...shortForms(host, identity.namespace), ...addressForms(service)].filter(
      (form) => !taken.has(form),
    );
    for (const form of forms) taken.add(form);
    const routes =
      virtualService === undefined
        ? buildDefaults(host, service, clusters)
        : virtualService.spec.http.flatMap((rule) => buildRoute(rule, virtualService, clusters, identity));
    const built: VirtualHostInput = { name: host, domains: [host, ...forms], routes };
    const port = service === undefined ? undefined : httpPorts(service)[0]?.number;
    if (port !== undefined) built.port = port;
    return built;
  });
}

/** To the port that was called; to the first where that is none of the service's. */
function buildDefaults(host: string, service: Service | undefined, clusters: Clusters): RouteInput[] {
  const [, ...others] = service === undefined ? [] : httpPorts(service);
  return [
    ...others.map(({ number }) => ({
      name: "default",
      matches: [{ port: number }],
      destinations: [{ cluster: clusters.use(host, undefined, number) }],
    })),
    { name: "default", destinations: [{ cluster: clusters.use(host, undefined, undefined) }] },
  ];
}

/** A service answers to its addresses too, as `Host` writes them. */
function addressForms(service: Service | undefined): readonly string[] {
  const addresses = service?.addresses.filter((address) => !address.includes("/")) ?? [];
  return addresses.map((address) => (address.includes(":") ? `[${address.toLowerCase()}]` : address));
}

/** Which VirtualService holds for which host: the one whose host is most exact, then the oldest. */
function claimHosts(world: World, namespace: string): readonly Claim[] {
  const services = world.services(namespace);
  const byHost = new Map<string, VirtualService>();
  // One that says nothing of HTTP leaves the host to the next.
  for (const virtualService of seenVirtualServices(world, namespace).filter(({ spec }) => spec.http.length > 0)) {
    const { metadata, spec } = virtualService;
    for (const name of spec.hosts) {
      const host = fullHost(name, metadata.namespace);
      if (!byHost.has(host)) byHost.set(host, virtualService);
    }
  }
  const wildcards = [...byHost.keys()].filter((host) => host.startsWith("*")).toSorted(compareSpecificity);
  const ofServices = [...services.values()]
    .filter((service) => httpPorts(service).length > 0)
    .map(({ host }) => {
      const pattern = byHost.has(host) ? host : wildcards.find((candidate) => hostCovers(candidate, host));
      return { host, virtualService: pattern === undefined ? undefined : byHost.get(pattern) };
    });
  // A wildcard that covers services stands for those services only; a host without a service answers by its own name.
  const standsForServices = (host: string) =>
    services.has(host) || (host.startsWith("*") && [...services.keys()].some((service) => hostCovers(host, service)));
  const ofOthers = [...byHost]
    .filter(([host]) => !standsForServices(host))
    .map(([host, virtualService]) => ({ host, virtualService }));
  return [...ofServices, ...ofOthers];
}

/** One rule; nothing where the proxy is none of those that its matches are for. */
function buildRoute(
  rule: HttpRoute,
  { metadata }: VirtualService,
  clusters: Clusters,
  identity: Identity,
): readonly RouteInput[] {
  const matches = rule.match.filter((match) => isFor(match, identity));
  if (rule.match.length > 0 && matches.length === 0) return [];
  const isAlone = rule.route.length === 1;
  const { uri: prefixRewrite, authority: authorityRewrite } = rule.rewrite;
  return [
    {
      name: rule.name,
      matches: renderMatches(matches, prefixRewrite !== undefined),
      destinations: rule.route.map(({ destination, weight, headers }) => ({
        cluster: clusters.use(
          fullHost(destination.host, metadata.namespace),
          destination.subset,
          destination.port?.number,
        ),
        weight: isAlone ? 1 : weight,
        requestHeaders: unescapeEdits(headers.request),
        responseHeaders: unescapeEdits(headers.response),
      })),
      ...(prefixRewrite === undefined ? {} : { prefixRewrite }),
      ...(authorityRewrite === undefined ? {} : { authorityRewrite }),
      ...(rule.timeout === undefined ? {} : { timeoutMs: rule.timeout }),
      requestHeaders: unescapeEdits(rule.headers.request),
      responseHeaders: unescapeEdits(rule.headers.response),
    },
  ];
}

/** Envoy's route without a path is the prefix `/`, and a rewrite replaces that prefix; so it is written out where there is one. */
function renderMatches(matches: readonly HttpMatch[], hasRewrite: boolean): RouteMatchInput[] {
  const rendered = matches.map((match) => ({
    ...(match.uri === undefined ? (hasRewrite ? { path: ANY_PATH } : {}) : { path: renderPathMatch(match.uri) }),
    ignoreCase: match.ignoreUriCase,
    ...(match.method === undefined ? {} : { method: renderStringMatch(match.method) }),
    ...(match.scheme === undefined ? {} : { scheme: renderStringMatch(match.scheme) }),
    ...(match.authority === undefined ? {} : { authority: renderStringMatch(match.authority) }),
    ...(match.port === undefined ? {} : { port: match.port }),
    headers: renderHeaderMatches(match.headers),
    withoutHeaders: renderHeaderMatches(match.withoutHeaders),
    queryParams: Object.fromEntries(
      Object.entries(match.queryParams).map(([name, value]) => [name, renderStringMatch(value)]),
    ),
  }));
  return rendered.length === 0 && hasRewrite ? [{ path: ANY_PATH }] : rendered;
}

const ANY_PATH = { kind: "prefix", value: "/" } as const;
/** Istio: as keys of `headers` these are ignored; they have fields of their own. */
const NOT_HEADERS = new Set(["uri", "scheme", "method", "authority"]);

function renderHeaderMatches(headers: Readonly<Record<string, StringMatch>>): Record<string, ProxyStringMatch> {
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => !NOT_HEADERS.has(name))
      .map(([name, match]) => [name.toLowerCase(), renderStringMatch(match)]),
  );
}

function renderStringMatch({ exact, prefix, regex }: StringMatch): ProxyStringMatch {
  if (exact !== undefined) return { kind: "exact", value: exact };
  if (prefix !== undefined) return { kind: "prefix", value: prefix };
  if (regex !== undefined) return { kind: "regex", value: regex };
  return { kind: "present" };
}

/** The resource's schema refused a `uri` that is empty. */
function renderPathMatch(uri: StringMatch): PathMatch {
  const match = renderStringMatch(uri);
  return match.kind === "present" ? ANY_PATH : match;
}

/** `%%` is Envoy's way to write a percent sign; operators were refused. */
function unescapeEdits({ set, add, remove }: HeaderEdits): HeaderEdits {
  return { set: unescapeValues(set), add: unescapeValues(add), remove };
}

function unescapeValues(fields: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value.replaceAll("%%", "%")]));
}
