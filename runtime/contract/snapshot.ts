// Everything one proxy should run, as control sends it or as a file says it. Immutable; named by its content.
import { z } from "zod";
import { Adapter, upstreamsOf } from "./adapter.ts";
import { Cluster } from "./cluster.ts";
import { Listener, OutboundListener } from "./listener.ts";
import { parseWith, renderPath, type Parsed, type Problem } from "./problem.ts";
import { checkRule } from "./rule.ts";
import { Identity } from "./tls.ts";

/** Names a snapshot by what it says: the first 16 hex digits of the SHA-256 of its canonical JSON. */
export const Version = z.string().min(1).max(128).brand<"Version">();
export type Version = z.infer<typeof Version>;

/** What a proxy runs. Every name in it resolves inside it (`checkSnapshot`). */
export const Snapshot = z.strictObject({
  /** The service that this is for, as `--service` says it. */
  service: z.string().min(1).max(253).default("unknown"),
  /** What mesh TLS is done with; without it no port ends mesh TLS. */
  identity: Identity.optional(),
  inbound: Listener,
  outbound: OutboundListener,
  clusters: z.array(Cluster).max(10_000).default([]),
  /** What rules lead to. */
  adapters: z.array(Adapter).max(100).default([]),
});
export type Snapshot = z.infer<typeof Snapshot>;

/** Shape, defaults and every reference; all problems at once. */
export function parseSnapshot(value: unknown, at = ""): Parsed<Snapshot> {
  const parsed = parseWith(Snapshot, value, at);
  if (!parsed.ok) return parsed;
  const problems = checkSnapshot(parsed.value, at);
  return problems.length === 0 ? parsed : { ok: false, problems };
}

/** References that lead nowhere and names that are used twice. `inbound|PORT||` clusters are made by the proxy and need not be listed. */
export function checkSnapshot(snapshot: Snapshot, at = ""): readonly Problem[] {
  const root = at === "" ? "" : `${at}.`;
  const problems: Problem[] = [];
  const clusters = new Set<string>();
  snapshot.clusters.forEach(({ name }, index) => {
    if (clusters.has(name))
      problems.push({ path: `${root}clusters[${index}].name`, message: `${JSON.stringify(name)} is used twice` });
    clusters.add(name);
  });
  snapshot.clusters.forEach(({ tls }, index) => {
    if (tls.mode !== "ISTIO_MUTUAL" || snapshot.identity !== undefined) return;
    problems.push({
      path: `${root}clusters[${index}].tls.mode`,
      message: "ISTIO_MUTUAL needs an identity in the snapshot",
    });
  });
  problems.push(...checkAdapters(snapshot, clusters, `${root}adapters`));
  for (const direction of ["inbound", "outbound"] as const) {
    const { virtualHosts, filters } = snapshot[direction];
    const domains = new Set<string>();
    virtualHosts.forEach((host, hostIndex) => {
      const hostPath = `${root}${direction}.virtualHosts[${hostIndex}]`;
      host.domains.forEach((domain, index) => {
        const key = domain.toLowerCase();
        if (domains.has(key))
          problems.push({ path: `${hostPath}.domains[${index}]`, message: `${JSON.stringify(domain)} is used twice` });
        domains.add(key);
      });
      host.routes.forEach((route, routeIndex) => {
        const path = `${hostPath}.routes[${routeIndex}]`;
        route.destinations.forEach(({ cluster }, index) => {
          if (clusters.has(cluster) || (direction === "inbound" && /^inbound\|\d+\|\|$/u.test(cluster))) return;
          problems.push({
            path: `${path}.destinations[${index}].cluster`,
            message: `${JSON.stringify(cluster)} is not a cluster of this snapshot`,
          });
        });
        if (route.destinations.every(({ weight }) => weight === 0)) {
          problems.push({ path: `${path}.destinations`, message: "every weight is 0, one must be above" });
        }
      });
    });
    problems.push(...checkTransport(snapshot, direction, clusters, `${root}${direction}`));
    problems.push(...checkRules(snapshot, direction, `${root}${direction}.rules`));
    const names = new Set<string>();
    filters.forEach(({ name }, index) => {
      if (names.has(name))
        problems.push({
          path: `${root}${direction}.filters[${index}].name`,
          message: `${JSON.stringify(name)} is used twice`,
        });
      names.add(name);
    });
    filters.forEach(({ upstreams, candidate }, index) => {
      const versions = [
        [upstreams, ["filters", index, "upstreams"]],
        [candidate?.upstreams ?? {}, ["filters", index, "candidate", "upstreams"]],
      ] as const;
      for (const [entries, keys] of versions) {
        for (const [name, { cluster }] of Object.entries(entries)) {
          if (clusters.has(cluster)) continue;
          const path = renderPath([...keys, name, "cluster"], `${root}${direction}`);
          problems.push({ path, message: `${JSON.stringify(cluster)} is not a cluster of this snapshot` });
        }
      }
    });
  }
  return problems;
}

function checkAdapters({ adapters }: Snapshot, clusters: ReadonlySet<string>, path: string): readonly Problem[] {
  const problems = namesTwice(adapters, path);
  adapters.forEach(({ backend }, index) => {
    for (const [field, { cluster }] of upstreamsOf(backend)) {
      if (clusters.has(cluster)) continue;
      const message = `${JSON.stringify(cluster)} is not a cluster of this snapshot`;
      problems.push({ path: `${path}[${index}].backend.${field}.cluster`, message });
    }
  });
  return problems;
}

function checkRules(snapshot: Snapshot, direction: "inbound" | "outbound", path: string): readonly Problem[] {
  const { rules } = snapshot[direction];
  const adapters = new Map(snapshot.adapters.map((adapter) => [adapter.name, adapter]));
  return [
    ...namesTwice(rules, path),
    ...rules.flatMap((rule, index) => checkRule(rule, adapters, `${path}[${index}]`)),
  ];
}

function namesTwice(items: readonly { readonly name: string }[], path: string): Problem[] {
  const names = items.map(({ name }) => name);
  return names.flatMap((name, index) =>
    names.indexOf(name) === index
      ? []
      : [{ path: `${path}[${index}].name`, message: `${JSON.stringify(name)} is used twice` }],
  );
}

/** TLS and TCP of one direction. */
function checkTransport(
  snapshot: Snapshot,
  direction: "inbound" | "outbound",
  clusters: ReadonlySet<string>,
  path: string,
): readonly Problem[] {
  const { tls, ports, tcpRoutes } = snapshot[direction];
  const problems: Problem[] = [];
  const modes = [tls.mode, ...ports.map(({ tlsMode }) => tlsMode)];
  const ends = modes.find((mode) => mode !== undefined && mode !== "DISABLE" && mode !== "PASSTHROUGH");
  if (ends !== undefined && tls.certificates.length === 0 && snapshot.identity === undefined) {
    const message = `${ends} needs a certificate: name one here, or give the snapshot an identity`;
    problems.push({ path: `${path}.tls.certificates`, message });
  }
  const needsRoots = modes.some((mode) => mode !== undefined && /^(?:PERMISSIVE|STRICT|.*MUTUAL)$/u.test(mode));
  if (needsRoots && tls.caCertificates === undefined && snapshot.identity === undefined) {
    problems.push({ path: `${path}.tls.caCertificates`, message: "is required to check client certificates" });
  }
  const seen = new Set<number>();
  ports.forEach(({ port }, index) => {
    if (seen.has(port)) problems.push({ path: `${path}.ports[${index}].port`, message: `${port} is used twice` });
    seen.add(port);
  });
  tcpRoutes.forEach(({ destinations }, routeIndex) => {
    const routePath = `${path}.tcpRoutes[${routeIndex}].destinations`;
    destinations.forEach(({ cluster }, index) => {
      if (clusters.has(cluster) || (direction === "inbound" && /^inbound\|\d+\|\|$/u.test(cluster))) return;
      const message = `${JSON.stringify(cluster)} is not a cluster of this snapshot`;
      problems.push({ path: `${routePath}[${index}].cluster`, message });
    });
    if (destinations.every(({ weight }) => weight === 0)) {
      problems.push({ path: routePath, message: "every weight is 0, one must be above" });
    }
  });
  return problems;
}
