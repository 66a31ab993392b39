// Filters become the chains of the proxies that their selectors choose.
import type { z } from "zod";
import type { FilterCandidate, FilterSource, FilterUse } from "../../runtime/contract/filter.ts";
import { versionOf } from "../../runtime/contract/version.ts";
import { BUILTINS } from "../resource/filter.ts";
import { ROOT_NAMESPACE, type Filter, type Rule } from "../resource/resource.ts";
import type { Clusters } from "./clusters.ts";
import { fullHost } from "./hosts.ts";
import { hasLabels, type Identity, type World } from "./world.ts";

type FilterUseInput = z.input<typeof FilterUse>;

/** The filters of one direction of a proxy, whose upstreams are listed in `clusters`. Those of the root namespace apply to every namespace, as Istio's `WasmPlugin`. */
export function buildFilters(
  world: World,
  clusters: Clusters,
  identity: Identity,
  direction: "inbound" | "outbound",
): readonly FilterUseInput[] {
  return world.filters
    .filter((filter) => filter.spec.selector.direction === direction && selects(filter, identity))
    .flatMap((filter) => buildUse(filter, world, clusters));
}

/** Whether a filter, or a rule, is for this proxy. */
export function selects(
  { metadata, spec }: Pick<Filter | Rule, "metadata" | "spec">,
  { service, namespace, labels }: Identity,
): boolean {
  const { services, labels: wanted } = spec.selector;
  if (metadata.namespace !== namespace && metadata.namespace !== ROOT_NAMESPACE) return false;
  return (services.length === 0 || services.includes(service)) && hasLabels(labels, wanted);
}

function buildUse(filter: Filter, world: World, clusters: Clusters): readonly FilterUseInput[] {
  const { metadata, spec } = filter;
  const found = findSource(spec, world);
  if (found === undefined) return [];
  const { config, failurePolicy, limits } = spec;
  const candidate = buildCandidate(filter, world, clusters);
  return [
    {
      // Unique even where a filter of the root namespace has the same name.
      name: `${metadata.namespace}/${metadata.name}`,
      source: found.source,
      stage: spec.stage ?? found.stage,
      priority: spec.priority ?? found.priority,
      config,
      failurePolicy,
      limits,
      upstreams: buildUpstreams(filter, found.source, clusters),
      ...(candidate === undefined ? {} : { candidate }),
    },
  ];
}

/** The trial of a filter: what of it makes another one of it. `undefined` where it has none. */
export function trialOf({ spec }: Filter): string | undefined {
  const { candidate, bundle, builtin, config } = spec;
  if (candidate === undefined) return undefined;
  // Other bounds judge what was counted before.
  const { rollback: _bounds, ...tried } = candidate;
  return versionOf({ tried, against: { bundle, builtin, config } });
}

function buildCandidate(filter: Filter, world: World, clusters: Clusters): z.input<typeof FilterCandidate> | undefined {
  const { spec } = filter;
  const trial = trialOf(filter);
  if (spec.candidate === undefined || trial === undefined) return undefined;
  const { bundle, config = spec.config, mode, percent, by, fetches } = spec.candidate;
  const found = findSource(bundle === undefined ? spec : { builtin: undefined, bundle }, world);
  if (found === undefined) return undefined;
  const upstreams = buildUpstreams(filter, found.source, clusters);
  return { trial, source: found.source, config, upstreams, mode, percent, by, fetches };
}

/** Those that a version calls: both are listed together, and one may call fewer than the other. */
function buildUpstreams(
  { metadata, spec }: Filter,
  source: FilterSource,
  clusters: Clusters,
): NonNullable<FilterUseInput["upstreams"]> {
  const built: NonNullable<FilterUseInput["upstreams"]> = {};
  for (const [name, { host, port, subset, timeout, authority }] of Object.entries(spec.upstreams)) {
    const called = source.kind === "bundle" ? source.bundle.manifest.upstreams : undefined;
    if (called?.some((each) => each === name || each === "*") === false) continue;
    built[name] = {
      cluster: clusters.use(fullHost(host, metadata.namespace), subset, port),
      ...(timeout === undefined ? {} : { timeoutMs: timeout }),
      ...(authority === undefined ? {} : { authority }),
    };
  }
  return built;
}

interface Found {
  readonly source: FilterSource;
  readonly stage: FilterUse["stage"];
  readonly priority: number;
}

/** `undefined` for a bundle that the store does not have; the API refuses such a filter and refuses to delete a bundle in use. */
function findSource(
  { builtin, bundle: digest }: Pick<Filter["spec"], "builtin" | "bundle">,
  { bundles }: World,
): Found | undefined {
  if (builtin !== undefined) return { source: { kind: "builtin", name: builtin }, ...BUILTINS[builtin] };
  const bundle = digest === undefined ? undefined : bundles.get(digest);
  return bundle && { source: { kind: "bundle", bundle }, stage: bundle.manifest.stage, priority: 0 };
}
