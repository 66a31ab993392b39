// Rules become those of the proxies that their selectors choose, with the adapters that these name.
import type { z } from "zod";
import type { Adapter as AdapterUse } from "../../runtime/contract/adapter.ts";
import { renderPath } from "../../runtime/contract/problem.ts";
import type { Rule as RuleUse } from "../../runtime/contract/rule.ts";
import type { Upstream } from "../resource/filter.ts";
import { ROOT_NAMESPACE, type Adapter, type Rule } from "../resource/resource.ts";
import type { Clusters } from "./clusters.ts";
import { selects } from "./filters.ts";
import { fullHost } from "./hosts.ts";
import type { Identity, World } from "./world.ts";

type AdapterInput = z.input<typeof AdapterUse>;
type RuleInput = z.input<typeof RuleUse>;

/** The rules of a proxy, and their adapters, whose upstreams are listed in `clusters`. */
export interface BuiltRules {
  readonly inbound: RuleInput[];
  readonly outbound: RuleInput[];
  readonly adapters: AdapterInput[];
}

/** Rules of the root namespace apply to every namespace, as its filters do. */
export function buildRules(world: World, clusters: Clusters, identity: Identity): BuiltRules {
  const built: BuiltRules = { inbound: [], outbound: [], adapters: [] };
  const named = new Set<Adapter>();
  for (const rule of world.adapterRules) {
    if (!selects(rule, identity)) continue;
    const { metadata, spec } = rule;
    const actions = spec.actions.flatMap((action) => {
      const adapter = findAdapter(world, rule, action.adapter);
      // The API refuses such a rule, and refuses to delete an adapter, or a bundle, in use.
      if (adapter === undefined || isWithoutBundle(adapter, world)) return [];
      named.add(adapter);
      return [{ ...action, adapter: nameOf(adapter) }];
    });
    if (actions.length === 0) continue;
    built[spec.selector.direction].push({ name: `${metadata.namespace}/${metadata.name}`, match: spec.match, actions });
  }
  for (const adapter of named) built.adapters.push(...buildAdapter(adapter, world, clusters));
  return built;
}

function isWithoutBundle({ spec: { backend } }: Adapter, { bundles }: Pick<World, "bundles">): boolean {
  return backend.kind === "filter" && !bundles.has(backend.bundle);
}

/** The adapter that a rule means: of its own namespace, else of the root namespace. */
export function findAdapter({ adapters }: World, { metadata }: Rule, name: string): Adapter | undefined {
  const of = (namespace: string) =>
    adapters.find((adapter) => adapter.metadata.namespace === namespace && adapter.metadata.name === name);
  return of(metadata.namespace) ?? of(ROOT_NAMESPACE);
}

/** As proxies have it; none where its bundle is not there. */
export function buildAdapter(
  adapter: Adapter,
  world: Pick<World, "bundles">,
  clusters: Pick<Clusters, "use">,
): readonly AdapterInput[] {
  const { metadata, spec } = adapter;
  const { backend, failurePolicy } = spec;
  const to = ({ host, port, subset, timeout, authority }: Upstream) => ({
    cluster: clusters.use(fullHost(host, metadata.namespace), subset, port),
    ...(timeout === undefined ? {} : { timeoutMs: timeout }),
    ...(authority === undefined ? {} : { authority }),
  });
  const built = placed(backend, world, to);
  return built === undefined ? [] : [{ name: nameOf(adapter), backend: built, failurePolicy }];
}

function placed(
  backend: Adapter["spec"]["backend"],
  { bundles }: Pick<World, "bundles">,
  to: (upstream: Upstream) => { readonly cluster: string },
): AdapterInput["backend"] | undefined {
  switch (backend.kind) {
    case "otlp":
    case "opa":
      return { ...backend, upstream: to(backend.upstream) };
    case "list": {
      const { url, ...list } = backend;
      return url === undefined ? list : { ...list, url: { ...url, upstream: to(url.upstream) } };
    }
    case "filter": {
      const bundle = bundles.get(backend.bundle);
      if (bundle === undefined) return undefined;
      const upstreams = Object.entries(backend.upstreams).map(([name, upstream]) => [name, to(upstream)] as const);
      return { ...backend, bundle, upstreams: Object.fromEntries(upstreams) };
    }
    case "stdout":
    case "statsd":
    case "fluentd":
    case "deny":
    case "redis_quota":
      return backend;
  }
}

/** The upstreams of an adapter, by where it says so; paths below the resource. */
export function targetsOf({ spec: { backend } }: Adapter): readonly (readonly [string, Upstream])[] {
  if (backend.kind === "otlp" || backend.kind === "opa") return [["spec.backend.upstream", backend.upstream]];
  if (backend.kind === "filter")
    return Object.entries(backend.upstreams).map(
      ([name, upstream]) => [renderPath(["spec", "backend", "upstreams", name]), upstream] as const,
    );
  return backend.kind === "list" && backend.url !== undefined
    ? [["spec.backend.url.upstream", backend.url.upstream]]
    : [];
}

/** Unique even where an adapter of the root namespace has the same name. */
function nameOf({ metadata }: Adapter): string {
  return `${metadata.namespace}/${metadata.name}`;
}
