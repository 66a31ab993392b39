// What can be said about resources only by looking at the others: problems that refuse a change, and warnings where Istio would take it.
import type { BundleRef, Manifest } from "../../runtime/contract/bundle.ts";
import { Adapter as AdapterUse, adapterPhasesOf } from "../../runtime/contract/adapter.ts";
import { renderPath, type Problem } from "../../runtime/contract/problem.ts";
import { checkRule } from "../../runtime/contract/rule.ts";
import {
  keyOf,
  renderKey,
  ROOT_NAMESPACE,
  type Adapter,
  type DestinationRule,
  type Filter,
  type Resource,
  type ResourceKey,
  type Rule,
  type ServiceEntry,
  type VirtualService,
} from "../resource/resource.ts";
import type { ServicePort } from "../resource/service-entry.ts";
import type { Destination } from "../resource/virtual-service.ts";
import { buildAdapter, findAdapter, targetsOf } from "./adapters.ts";
import { fullHost, hostCovers } from "./hosts.ts";
import { outboundPorts } from "./ports.ts";
import { ruleOf } from "./rules.ts";
import { familyOfPort, httpPorts, type Service } from "./services.ts";
import type { World } from "./world.ts";

/** What checks the configuration of filters, which control itself knows nothing of. Paths are below the configuration. */
export interface CheckConfig {
  /** Under the schema in a bundle's manifest. */
  bundle(manifest: Manifest, config: unknown): readonly Problem[];
  /** As the filter of that name, which every proxy has, takes it. */
  builtin(name: string, config: unknown): readonly Problem[];
  /** Names of the upstreams that the filter of that name calls. */
  builtinUpstreams(name: string): readonly string[];
}

/** What is to be said about one resource; paths below the resource. */
export interface Review {
  readonly problems: readonly Problem[];
  /** Accepted, and probably not what was meant. */
  readonly warnings: readonly Problem[];
}

/** Looks at a resource in the world as it would be with it. */
export function reviewResource(world: World, resource: Resource, checkConfig: CheckConfig): Review {
  switch (resource.kind) {
    case "Filter":
      return reviewFilter(world, resource, checkConfig);
    case "Adapter":
      return reviewAdapter(world, resource, checkConfig);
    case "Rule":
      return { problems: reviewRule(world, resource), warnings: [] };
    case "VirtualService":
      return reviewVirtualService(world, resource);
    case "Sidecar":
      return { problems: [], warnings: [] };
    case "ServiceEntry":
      return { problems: [], warnings: reviewServiceEntry(world, resource) };
    case "DestinationRule": {
      return { problems: [], warnings: reviewDestinationRule(world, resource) };
    }
  }
}

/** What speaks against deleting a resource; `world` is without it. */
export function reviewDeletion(world: World, { kind, namespace, name }: ResourceKey): readonly Problem[] {
  if (kind !== "Adapter") return [];
  const users = world.adapterRules.filter(
    (rule) =>
      (rule.metadata.namespace === namespace || namespace === ROOT_NAMESPACE) &&
      rule.spec.actions.some(({ adapter }) => adapter === name && findAdapter(world, rule, adapter) === undefined),
  );
  if (users.length === 0) return [];
  const names = users.map((rule) => renderKey(keyOf(rule))).join(", ");
  return [{ path: "", message: `the adapter is in use by ${names}; delete or change these first` }];
}

function reviewAdapter(world: World, adapter: Adapter, checkConfig: CheckConfig): Review {
  const problems: Problem[] = [...reviewBackend(world, adapter, checkConfig)];
  const warnings: Problem[] = [];
  for (const [path, { host, port, subset }] of targetsOf(adapter)) {
    const review = reviewTarget(world, adapter.metadata.namespace, { host, subset, port }, "calls fail");
    const place = ({ path: below, message }: Problem): Problem => ({ path: `${path}${below}`, message });
    problems.push(...review.problems.map(place));
    warnings.push(...review.warnings.map(place));
  }
  // Another backend may not be what rules take it for.
  for (const rule of world.adapterRules) {
    if (!rule.spec.actions.some((action) => findAdapter(world, rule, action.adapter) === adapter)) continue;
    for (const { path, message } of reviewRule(world, rule))
      problems.push({ path: "spec.backend", message: `${renderKey(keyOf(rule))} does not fit it: ${path} ${message}` });
  }
  return { problems, warnings };
}

/** One's own: is its bundle there and an adapter, is its configuration its own, and does it lead where the adapter calls. */
function reviewBackend(
  { bundles }: World,
  { spec: { backend } }: Adapter,
  checkConfig: CheckConfig,
): readonly Problem[] {
  if (backend.kind !== "filter") return [];
  const bundle = bundles.get(backend.bundle);
  if (bundle === undefined) return [notPushed("spec.backend.bundle", backend.bundle)];
  const { manifest } = bundle;
  if (adapterPhasesOf(manifest).length === 0) {
    const message = `${manifest.name} is a filter (phases ${manifest.phases.join(", ")}); use it in a Filter, or push what defineAdapter makes`;
    return [{ path: "spec.backend.bundle", message }];
  }
  return [
    ...placeInConfig(checkConfig.bundle(manifest, backend.config), "spec.backend.config"),
    ...reviewNames(manifest.upstreams, backend.upstreams, ["spec", "backend", "upstreams"]),
  ];
}

/** `names`: what a component calls. */
function reviewNames(
  names: readonly string[],
  upstreams: Readonly<Record<string, unknown>>,
  at: readonly string[],
): readonly Problem[] {
  const known = names.length === 0 ? "the adapter calls none" : `the adapter calls ${names.join(", ")}`;
  const missing = names.filter((name) => name !== "*" && !Object.hasOwn(upstreams, name));
  const unknown = Object.keys(upstreams).filter((name) => !names.includes(name) && !names.includes("*"));
  return [
    ...missing.map((name) => ({
      path: renderPath([...at, name]),
      message: "is required: the adapter calls it; name its host",
    })),
    ...unknown.map((name) => ({
      path: renderPath([...at, name]),
      message: `is not an upstream of this adapter; ${known}`,
    })),
  ];
}

function reviewRule(world: World, rule: Rule): readonly Problem[] {
  const adapters = new Map<string, AdapterUse>();
  for (const { adapter: name } of rule.spec.actions) {
    const adapter = findAdapter(world, rule, name);
    if (adapter === undefined) continue;
    // Which cluster it calls makes no difference here.
    const [built] = buildAdapter(adapter, world, { use: () => "any" });
    // What its bundle is for, the adapter's own review says.
    if (built === undefined) return [];
    adapters.set(name, { ...AdapterUse.parse(built), name });
  }
  return checkRule({ name: rule.metadata.name, match: rule.spec.match, actions: rule.spec.actions }, adapters, "spec");
}

function reviewDestinationRule(world: World, { metadata, spec }: DestinationRule): readonly Problem[] {
  const host = fullHost(spec.host, metadata.namespace);
  const service = world.services(metadata.namespace).get(host);
  if (service === undefined) return host.startsWith("*") ? [] : [unknownHost("spec.host", host)];
  const hasHeader = spec.trafficPolicy?.proxyProtocol !== undefined;
  if (!hasHeader || httpPorts(service).length === 0) return [];
  const message = "connections for HTTP are shared between clients and begin with no PROXY protocol header";
  return [{ path: "spec.trafficPolicy.proxyProtocol", message }];
}

/** Resources that use a bundle, for people. */
export function usersOf(world: World, digest: BundleRef["digest"]): readonly string[] {
  const filters = world.filters.filter(({ spec }) => spec.bundle === digest || spec.candidate?.bundle === digest);
  const adapters = world.adapters.filter(
    ({ spec: { backend } }) => backend.kind === "filter" && backend.bundle === digest,
  );
  return [...filters, ...adapters].map((user) => renderKey(keyOf(user)));
}

function reviewFilter(world: World, filter: Filter, checkConfig: CheckConfig): Review {
  const { bundle, builtin, config, candidate } = filter.spec;
  const live = reviewVersion(world, { bundle, builtin, config }, "spec", checkConfig);
  const versions = [live];
  if (candidate !== undefined) {
    const tried =
      candidate.bundle === undefined ? { bundle, builtin } : { bundle: candidate.bundle, builtin: undefined };
    const version = { ...tried, config: candidate.config ?? config };
    versions.push(reviewVersion(world, version, "spec.candidate", checkConfig));
  }
  const problems = versions.flatMap((version) => version.problems);
  const called = versions.map((version) => version.upstreams);
  // Of a bundle that is not here nobody knows what it calls.
  if (called.includes(undefined)) return { problems, warnings: [] };
  const upstreams = reviewUpstreams(world, filter, [...new Set(called.flatMap((names) => names ?? []))]);
  return { problems: [...problems, ...upstreams.problems], warnings: upstreams.warnings };
}

/** One version of a filter: is it there, is its configuration its own, and what does it call. */
function reviewVersion(
  world: World,
  { bundle: digest, builtin, config }: Pick<Filter["spec"], "bundle" | "builtin" | "config">,
  at: string,
  checkConfig: CheckConfig,
): { readonly problems: readonly Problem[]; readonly upstreams: readonly string[] | undefined } {
  const place = `${at}.config`;
  if (builtin !== undefined) {
    const problems = placeInConfig(checkConfig.builtin(builtin, config), place);
    return { problems, upstreams: checkConfig.builtinUpstreams(builtin) };
  }
  const bundle = digest === undefined ? undefined : world.bundles.get(digest);
  if (bundle === undefined) {
    return { problems: digest === undefined ? [] : [notPushed(`${at}.bundle`, digest)], upstreams: undefined };
  }
  const { manifest } = bundle;
  if (adapterPhasesOf(manifest).length > 0) {
    const message = `${manifest.name} is an adapter (${manifest.phases.join(", ")}), and sees no messages; use it in an Adapter of kind filter`;
    return { problems: [{ path: `${at}.bundle`, message }], upstreams: undefined };
  }
  return { problems: placeInConfig(checkConfig.bundle(manifest, config), place), upstreams: manifest.upstreams };
}

function notPushed(path: string, digest: string): Problem {
  return { path, message: `${digest} was not pushed here; run "vespid filter push" first` };
}

/** `names`: what the filter calls; `*` is whatever a use names. A proxy refuses a use that leads one of them nowhere, or names another. */
function reviewUpstreams(world: World, { metadata, spec }: Filter, names: readonly string[]): Review {
  const problems: Problem[] = names
    .filter((name) => name !== "*" && !Object.hasOwn(spec.upstreams, name))
    .map((name) => ({ path: `spec.upstreams.${name}`, message: "is required: the filter calls it; name its host" }));
  const warnings: Problem[] = [];
  const known = names.length === 0 ? "the filter calls none" : `the filter calls ${names.join(", ")}`;
  for (const [name, { host, port, subset }] of Object.entries(spec.upstreams)) {
    const path = renderPath(["spec", "upstreams", name]);
    if (!names.includes(name) && !names.includes("*")) {
      // A bundle is given those alone that it calls: one that its next version will call may be named before.
      const list = spec.bundle === undefined ? problems : warnings;
      list.push({ path, message: `is not an upstream of this filter; ${known}` });
    }
    const review = reviewTarget(world, metadata.namespace, { host, subset, port }, "calls fail");
    const place = ({ path: below, message }: Problem): Problem => ({ path: `${path}${below}`, message });
    problems.push(...review.problems.map(place));
    warnings.push(...review.warnings.map(place));
  }
  return { problems, warnings };
}

function placeInConfig(problems: readonly Problem[], place: string): readonly Problem[] {
  return problems.map(({ path, message }) => ({
    path: path === "" ? place : path.startsWith("[") ? `${place}${path}` : `${place}.${path}`,
    message,
  }));
}

function reviewServiceEntry(world: World, { metadata, spec }: ServiceEntry): readonly Problem[] {
  const warnings: Problem[] = [];
  const [first, second] = spec.ports.filter((port) => isHttp(port));
  if (first !== undefined && second !== undefined) {
    const message = `a request that names no port, and was not redirected, goes to ${first.number} (the first)`;
    warnings.push({ path: "spec.ports", message });
  }
  const agreed = outboundPorts(world.services(metadata.namespace).values());
  spec.ports.forEach((port, index) => {
    if (familyOfPort(port) !== "tcp") return;
    const path = `spec.ports[${index}]`;
    if (spec.addresses.length === 0) {
      const message = `takes every redirected connection to ${port.number}, since spec.addresses names no address`;
      warnings.push({ path, message });
    }
    if (agreed.every(({ port: number }) => number !== port.number)) {
      const message = `another service has ${port.number} for another protocol: a server that speaks first is not heard`;
      warnings.push({ path, message });
    }
  });
  return warnings;
}

function isHttp(port: ServicePort): boolean {
  const family = familyOfPort(port);
  return family === "http" || family === "auto";
}

type Route = VirtualService["spec"]["http"][number] | VirtualService["spec"]["tcp" | "tls"][number];

function reviewVirtualService(world: World, resource: VirtualService): Review {
  const { spec } = resource;
  const problems: Problem[] = [];
  const warnings: Problem[] = [...rivalsOf(world, resource), ...unheardOf(world, resource)];
  for (const section of ["http", "tls", "tcp"] as const) {
    const rules: readonly Route[] = spec[section];
    rules.forEach(({ route }, ruleIndex) => {
      route.forEach(({ destination }, index) => {
        const path = `spec.${section}[${ruleIndex}].route[${index}].destination`;
        const review = reviewDestination(world, resource, destination, path, section === "http");
        problems.push(...review.problems);
        warnings.push(...review.warnings);
      });
    });
  }
  return { problems, warnings };
}

function reviewDestination(
  world: World,
  { metadata }: VirtualService,
  { host, subset, port }: Destination,
  path: string,
  isHttpRule: boolean,
): Review {
  const without = isHttpRule ? "requests get 503" : "connections are closed";
  const { problems, warnings } = reviewTarget(world, metadata.namespace, { host, subset, port: port?.number }, without);
  const place = ({ path: below, message }: Problem): Problem => {
    return { path: below === ".port" && port !== undefined ? `${path}.port.number` : `${path}${below}`, message };
  };
  return { problems: isHttpRule ? problems.map(place) : [], warnings: warnings.map(place) };
}

/** A host that is led to; paths begin with a point. `without`: what happens as long as it is not there. */
function reviewTarget(
  world: World,
  namespace: string,
  {
    host: name,
    subset,
    port,
  }: { readonly host: string; readonly subset: string | undefined; readonly port: number | undefined },
  without: string,
): Review {
  const host = fullHost(name, namespace);
  const service = world.services(namespace).get(host);
  if (service === undefined) {
    return {
      problems: [],
      warnings: [{ path: ".host", message: `no ServiceEntry declares ${host}; ${without} until one does` }],
    };
  }
  const warnings: Problem[] = [];
  if (port !== undefined && service.ports.every(({ number }) => number !== port)) {
    warnings.push({ path: ".port", message: `${host} has no port ${port}; ${without} until it has` });
  }
  const rule = ruleOf(world.rules, host, namespace, service.namespace);
  if (subset !== undefined && !rule.subsets.has(subset)) {
    const message = `no DestinationRule of ${host} has a subset "${subset}"; ${without} until one has`;
    warnings.push({ path: ".subset", message });
  }
  return { problems: reviewPort(service, port, ""), warnings };
}

function reviewPort(service: Service, port: number | undefined, path: string): readonly Problem[] {
  const ports = httpPorts(service);
  if (port !== undefined || ports.length < 2) return [];
  const numbers = ports.map(({ number }) => number).join(", ");
  return [{ path: `${path}.port`, message: `is required, since ${service.host} has several ports: ${numbers}` }];
}

/** Rules that no connection asks: the hosts are services without a port of that kind, or no services at all. */
function unheardOf(world: World, { metadata, spec }: VirtualService): readonly Problem[] {
  const services = [...world.services(metadata.namespace).values()];
  const own = services.filter(({ host }) =>
    spec.hosts.some((name) => hostCovers(fullHost(name, metadata.namespace), host)),
  );
  const families = new Set(own.flatMap(({ ports }) => ports.map((port) => familyOfPort(port))));
  const unheard = (section: "http" | "tls" | "tcp", what: string): readonly Problem[] => {
    const isHeard = families.has(section) || (families.has("auto") && section !== "tls");
    // Of HTTP, a host without a service answers too.
    if (spec[section].length === 0 || isHeard || (section === "http" && own.length === 0)) return [];
    return [{ path: `spec.${section}`, message: `no ServiceEntry of these hosts has a port of ${what}` }];
  };
  return [...unheard("http", "HTTP"), ...unheard("tls", "HTTPS or TLS"), ...unheard("tcp", "TCP")];
}

/** Other VirtualServices of the namespace that claim the same host: the older wins, as in Istio. */
function rivalsOf(world: World, resource: VirtualService): readonly Problem[] {
  const { metadata, spec } = resource;
  return spec.hosts.flatMap((name, index) => {
    const host = fullHost(name, metadata.namespace);
    const owner = world.ownerOf(metadata.namespace, host);
    if (owner === undefined || owner.metadata.name === metadata.name) return [];
    const message = `${host} is claimed by the older ${renderKey(keyOf(owner))}, which wins`;
    return [{ path: `spec.hosts[${index}]`, message }];
  });
}

function unknownHost(path: string, host: string): Problem {
  return { path, message: `no ServiceEntry declares ${host}; requests get 503 until one does` };
}
