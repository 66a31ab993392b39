// One applied snapshot, compiled. It is built whole before anything of it serves, swapped in at once, and lets go of what
// it holds when the last exchange that it served has ended. What did not change is shared with the one before, so that a
// push drops no connection and restarts no filter.
import { buildRules, discardAdapters, type AdapterShares, type AdapterSharesDeps } from "./adapter-shares.ts";
import type { CompiledRules } from "./adapters/rules.ts";
import type { Filter } from "./chain/filter.ts";
import type { StartFiltered, TcpChain } from "./chain/tcp-chain.ts";
import { LiveCluster } from "./cluster/cluster.ts";
import type { Cluster } from "./contract/cluster.ts";
import { Http2Client } from "./contract/http2.ts";
import type { Parsed, Problem } from "./contract/problem.ts";
import { Route, type VirtualHost } from "./contract/route.ts";
import type { Snapshot, Version } from "./contract/snapshot.ts";
import { ClientTls } from "./contract/tls.ts";
import type { Clock, Decision, Direction, Layer, Random, Service } from "./exchange/exchange.ts";
import { compose } from "./exchange/service.ts";
import {
  buildFilters,
  discardFilters,
  type FilterShares,
  type FilterSharesDeps,
  type Shared,
} from "./filter-shares.ts";
import { answerGrpc } from "./grpc/local-reply.ts";
import { translateGrpcWeb } from "./grpc/web.ts";
import type { Reception } from "./listener/arrival.ts";
import { ContextCache } from "./listener/secure-context.ts";
import { inlinePems } from "./pem-files.ts";
import { compileReception } from "./reception.ts";
import { cleanReply } from "./reply/hygiene.ts";
import { rescue } from "./reply/rescue.ts";
import { applyRoute, matchRoute, type Fallback } from "./route/match-route.ts";
import { compileRoutes } from "./route/table.ts";
import { compileClientTls, type TlsClient } from "./upstream/client-tls.ts";
import { compileForward } from "./upstream/forward.ts";
import {
  BLACK_HOLE_CLUSTER,
  destinationOf,
  PASSTHROUGH_CLUSTER,
  type OriginalDestinations,
} from "./upstream/original-dst.ts";
import { Pool } from "./upstream/pool.ts";

/** The application behind an inbound port. */
export interface Application {
  /** Port that the sidecar listens on. */
  readonly port: number;
  /** Where the application itself listens. */
  readonly address: string;
  readonly applicationPort: number;
}

/** What building a generation needs from the proxy. */
export interface GenerationDeps extends FilterSharesDeps, AdapterSharesDeps {
  readonly applications: readonly Application[];
  /** Outermost layer: request ids and what is told of each exchange. */
  readonly observe: Layer;
  /** Where redirected connections were going; shared by all generations. */
  readonly originalDestinations: OriginalDestinations<Target>;
  readonly compileChain: (filters: readonly Filter[]) => Layer;
  readonly compileTcpChain: (filters: readonly Filter[]) => TcpChain | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** A cluster with its connections, shared by the generations that name it alike. */
export interface Target {
  readonly config: Cluster;
  readonly cluster: LiveCluster;
  readonly tls: TlsClient | undefined;
  readonly pool: Pool;
}

/** A snapshot at work. */
export interface Generation {
  readonly version: Version;
  readonly snapshot: Snapshot;
  readonly targets: ReadonlyMap<string, Target>;
  readonly filters: readonly Filter[];
  /** For requests that came in at that port. */
  inbound(port: number): Service;
  /** For requests that were redirected to the inbound capture port. */
  readonly captured: Service;
  readonly outbound: Service;
  /** Sends an exchange to the cluster that its decision names. */
  readonly forward: Service;
  /** What becomes of connections to a port of that direction, before they are exchanges or where they never are. */
  reception(direction: Direction, application: Application | undefined): Reception;
  /** Exchanges under way. */
  readonly exchanges: () => number;
  /** Not the current one any more: lets go of what it holds once its exchanges have ended. */
  retire(): void;
  /** @internal for the next generation. */
  readonly shares: Shares;
}

/** Things by fingerprint, each with the number of generations that hold it. */
interface Shares {
  readonly targets: Map<string, Shared<Target>>;
  readonly filters: FilterShares;
  readonly adapters: AdapterShares;
  readonly contexts: ContextCache;
}

/** Builds a generation, or says every reason why not; then nothing of it stays. */
export async function buildGeneration(
  snapshot: Snapshot,
  version: Version,
  deps: GenerationDeps,
  previous: Generation | undefined,
): Promise<Parsed<Generation>> {
  const filters = await buildFilters(snapshot, deps, previous?.shares.filters);
  if (!filters.ok) return filters;
  const rules = await buildRules(snapshot, deps, previous?.shares.adapters);
  if (!rules.ok) {
    discardFilters(filters.value.shares);
    return rules;
  }
  const transport = buildTransport(snapshot, deps, previous);
  if (!transport.ok) {
    discardFilters(filters.value.shares);
    discardAdapters(rules.value.shares, deps.adapters);
    return transport;
  }
  const { targets, contexts, receptions } = transport.value;
  const shares = { targets, filters: filters.value.shares, adapters: rules.value.shares, contexts };
  const ways = waysOf(filters.value.chains, rules.value.rules);
  return { ok: true, value: assemble(snapshot, version, deps, shares, ways, receptions) };
}

/** What stands in the way of a direction's requests. */
interface Way {
  readonly chain: readonly Filter[];
  readonly reports: readonly Layer[];
}

type Ways = Readonly<Record<"inbound" | "outbound", Way>>;

/** Rules that ask are one more filter of the chain. */
function waysOf(
  chains: Readonly<Record<"inbound" | "outbound", readonly Filter[]>>,
  rules: Readonly<Record<"inbound" | "outbound", CompiledRules>>,
): Ways {
  const wayOf = (direction: "inbound" | "outbound"): Way => {
    const { dispatch, reports } = rules[direction];
    return {
      chain: dispatch === undefined ? chains[direction] : [...chains[direction], dispatch],
      reports: reports === undefined ? [] : [reports],
    };
  };
  return { inbound: wayOf("inbound"), outbound: wayOf("outbound") };
}

type Receptions = Readonly<Record<"inbound" | "outbound", (application: string | undefined) => Reception>>;

/** Everything below requests: clusters with their keys, and who is let in. Keys in files are read here. */
function buildTransport(
  given: Snapshot,
  deps: GenerationDeps,
  previous: Generation | undefined,
): Parsed<{
  readonly targets: Map<string, Shared<Target>>;
  readonly contexts: ContextCache;
  readonly receptions: Receptions;
}> {
  const inlined = inlinePems(given);
  if (!inlined.ok) return inlined;
  const { identity, inbound, outbound, clusters } = inlined.value;
  const problems: Problem[] = [];
  const contexts = new ContextCache(previous?.shares.contexts);
  const targets = new Map<string, Shared<Target>>();
  for (const [index, config] of [...deps.applications.map(applicationCluster), ...clusters].entries()) {
    const fingerprint = JSON.stringify(config.tls.mode === "ISTIO_MUTUAL" ? [config, identity] : config);
    const path = `clusters[${index - deps.applications.length}].tls`;
    const tls = compileClientTls(config.tls, identity, path, contexts);
    if (tls.ok) {
      const shared = previous?.shares.targets.get(fingerprint);
      targets.set(fingerprint, shared ?? { value: buildTarget(config, tls.value, deps.random), holders: 0 });
    } else {
      problems.push(...tls.problems);
    }
  }
  const byName = new Map([...targets.values()].map(({ value }) => [value.cluster.name, value]));
  const shared = { identity, clusters: byName, contexts, random: deps.random };
  const compiled = {
    inbound: compileReception(inbound, { ...shared, direction: "inbound" }),
    outbound: compileReception(outbound, { ...shared, direction: "outbound" }),
  };
  contexts.seal();
  if (compiled.inbound.ok && compiled.outbound.ok && problems.length === 0) {
    const receptions = { inbound: compiled.inbound.value, outbound: compiled.outbound.value };
    return { ok: true, value: { targets, contexts, receptions } };
  }
  for (const result of Object.values(compiled)) if (!result.ok) problems.push(...result.problems);
  return { ok: false, problems };
}

function assemble(
  snapshot: Snapshot,
  version: Version,
  deps: GenerationDeps,
  shares: Shares,
  ways: Ways,
  receptions: Receptions,
): Generation {
  for (const shared of shares.targets.values()) shared.holders++;
  for (const shared of shares.filters.values()) shared.holders++;
  for (const shared of shares.adapters.values()) shared.holders++;
  const targets = new Map([...shares.targets.values()].map(({ value }) => [value.cluster.name, value]));
  const forward = compileForward(
    targets,
    (name, exchange) => deps.originalDestinations.find(name, exchange),
    deps.clock,
  );
  let exchanges = 0;
  let isRetired = false;

  function letGo(): void {
    for (const shared of shares.targets.values()) if (--shared.holders === 0) shared.value.pool.drain();
    for (const shared of shares.filters.values()) if (--shared.holders === 0) shared.value.stop();
    for (const shared of shares.adapters.values()) if (--shared.holders === 0) deps.adapters.stop(shared.value.live);
  }
  function ended(): void {
    exchanges--;
    if (isRetired && exchanges === 0) letGo();
  }
  const track: Layer = (next) => {
    return function trackExchange(exchange) {
      exchanges++;
      exchange.onEnd = ended;
      return next(exchange);
    };
  };
  const tcpChains = {
    inbound: deps.compileTcpChain(ways.inbound.chain),
    outbound: deps.compileTcpChain(ways.outbound.chain),
  };
  /** Connections keep the filters that they began with, and those their instances. */
  function trackFiltered(chain: TcpChain, reception: Reception): StartFiltered {
    return function startFiltered(parts) {
      exchanges++;
      return chain({ ...parts, planFor: (cluster) => reception.planFor(cluster), over: ended });
    };
  }
  /** The request path, in the order of requests; replies come up. `runtime/README.md` numbers the stages. */
  function compilePath(
    direction: "inbound" | "outbound",
    virtualHosts: readonly VirtualHost[],
    fallback: Fallback,
  ): Service {
    const filters = ways[direction].chain.filter((filter) => looksAtHttp(filter));
    const hasFilters = filters.length > 0;
    const webPorts = new Set(
      snapshot[direction].ports.filter(({ protocol }) => protocol === "grpc-web").map(({ port }) => port),
    );
    return compose(
      [
        track,
        ...ways[direction].reports, // rules that tell of its end    adapters/report.ts
        deps.observe, //                                             telemetry/observe.ts
        answerGrpc, // what the proxy says to gRPC, in gRPC          grpc/local-reply.ts
        cleanReply, //                                               reply/hygiene.ts
        rescue, // what the stages below could not answer            reply/rescue.ts
        matchRoute(compileRoutes(virtualHosts), fallback, deps.random), // route/match-route.ts
        ...(hasFilters ? [deps.compileChain(filters)] : []), // native and sandboxed alike: chain/chain.ts
        ...(webPorts.size > 0 ? [translateGrpcWeb(webPorts)] : []), // as Istio's grpc_web: grpc/web.ts
        applyRoute, //                                               route/match-route.ts
        ...(hasFilters ? [rescue] : []), // filters see a 503 too    reply/rescue.ts
      ],
      forward, //                                                    upstream/forward.ts
    );
  }

  const inbound = new Map(
    deps.applications.map((application) => [
      application.port,
      compilePath("inbound", snapshot.inbound.virtualHosts, always(defaultDecision(inboundCluster(application.port)))),
    ]),
  );
  const captured = compilePath("inbound", snapshot.inbound.virtualHosts, compileCaptured());
  const outbound = compilePath("outbound", snapshot.outbound.virtualHosts, compileOutboundPolicy(snapshot));
  return {
    version,
    snapshot,
    targets,
    filters: [...ways.inbound.chain, ...ways.outbound.chain],
    inbound: (port) => inbound.get(port) ?? outbound,
    captured,
    outbound,
    forward,
    reception: (direction, application) => {
      const reception = receptions[direction](
        application === undefined ? undefined : applicationCluster(application).name,
      );
      const chain = tcpChains[direction];
      return chain === undefined ? reception : { ...reception, filter: trackFiltered(chain, reception) };
    },
    exchanges: () => exchanges,
    retire: () => {
      if (isRetired) return;
      isRetired = true;
      if (exchanges === 0) letGo();
    },
    shares,
  };
}

/** Filters of connections alone do not stand in the way of requests. */
function looksAtHttp({ request, response, log }: Filter): boolean {
  return request !== undefined || response !== undefined || log !== undefined;
}

const HTTP2_DEFAULTS = Http2Client.parse(undefined);
const PLAINTEXT = ClientTls.parse({});

/** Istio's name and defaults for the way to the application itself. */
function applicationCluster(application: Application): Cluster {
  return {
    name: inboundCluster(application.port),
    service: "unknown",
    endpoints: [{ address: application.address, port: application.applicationPort, weight: 1, labels: {} }],
    balance: "round_robin",
    connectTimeoutMs: 10_000,
    idleTimeoutMs: 3_600_000,
    limits: { maxConnections: 1024, maxPendingRequests: 1024, maxRequests: 4_294_967_295, maxRequestsPerConnection: 0 },
    // Istio gives the application what the client spoke (`use_downstream_protocol_config`).
    protocol: "downstream",
    http2: HTTP2_DEFAULTS,
    tls: PLAINTEXT,
  };
}

function inboundCluster(port: number): string {
  return `inbound|${port}||`;
}

function always(decision: Decision): Fallback {
  return () => decision;
}

/** Ports whose decision is kept; a caller that tries every port cannot grow the proxy. */
const CAPTURED_PORTS_MAX = 1024;

/** To the application, at the port that the connection was for: declared by `--inbound` or not. */
function compileCaptured(): Fallback {
  const decisions = new Map<number, Decision>();
  return function decideCaptured({ downstream }) {
    const known = decisions.get(downstream.localPort);
    if (known !== undefined) return known;
    if (decisions.size >= CAPTURED_PORTS_MAX) decisions.clear();
    const decision = defaultDecision(inboundCluster(downstream.localPort));
    decisions.set(downstream.localPort, decision);
    return decision;
  };
}

/** Istio's virtual host `allow_any` or `block_all`: it takes the hosts that no other does, and nothing of theirs. */
function compileOutboundPolicy({ outbound }: Snapshot): Fallback {
  const everything = Route.parse({ destinations: [{ cluster: PASSTHROUGH_CLUSTER }] });
  const hosts = compileRoutes(outbound.virtualHosts.map((host) => ({ ...host, routes: [everything] })));
  const allowAny = defaultDecision(PASSTHROUGH_CLUSTER, "allow_any");
  const blockAll = defaultDecision(BLACK_HOLE_CLUSTER, "block_all");
  return function decideUnknown(exchange) {
    if (hosts(exchange.authority, exchange) !== undefined) return undefined;
    if (outbound.outboundPolicy === "REGISTRY_ONLY") return blockAll;
    // Sent to the outbound port itself, it says only a host, which nobody knows.
    return destinationOf(exchange) === undefined ? undefined : allowAny;
  };
}

function defaultDecision(cluster: string, routeName = "default"): Decision {
  return { routeName, cluster, timeoutMs: 0, prepare: undefined, editReply: undefined };
}

/** A cluster and its connections, which leave from `sourceAddress` where there is one. */
export function buildTarget(
  config: Cluster,
  tls: TlsClient | undefined,
  random: Random,
  sourceAddress?: string,
): Target {
  const cluster = new LiveCluster(config, random, sourceAddress);
  return { config, cluster, tls, pool: new Pool(cluster, tls) };
}
