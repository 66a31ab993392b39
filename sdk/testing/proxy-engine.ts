// Engine `proxy`: the component in a live proxy between real sockets. The clock is the test's all the same.
import { Cluster } from "../../runtime/contract/cluster.ts";
import { renderProblem } from "../../runtime/contract/problem.ts";
import { failure } from "../../runtime/exchange/failure.ts";
import { buildTarget } from "../../runtime/generation.ts";
import { compileForward } from "../../runtime/upstream/forward.ts";
import { buildComponent } from "./component.ts";
import { serviceOf, type EngineParts, type RunningEngine } from "./engine.ts";
import { startLocalProxy } from "./local-proxy.ts";
import { quiet } from "./quiet.ts";
import { servePort } from "./served.ts";

/** What the test's requests are addressed to. */
export const PROXY_CLUSTER = "proxy";

/** Starts the proxy, and a port for each of those whom the test answers for. */
export async function startProxyEngine(parts: EngineParts): Promise<RunningEngine> {
  const { filter, use, clock, log, upstreams } = parts;
  if (filter.instance !== undefined)
    throw new Error(
      `${filter.name} is an adapter: it is tested on engines source and component, without a rule's proxy`,
    );
  const { bundle, explain } = await buildComponent(parts.file());
  let events = 0;
  const served = [
    ["service", parts.service] as const,
    ...[...upstreams].map(([name, upstream]) => [`upstream-${name}`, serviceOf(upstream)] as const),
  ].map(([name, service]) => {
    const port = servePort((exchange) => {
      events++;
      return service(exchange);
    }, clock);
    return { name, port };
  });
  const proxy = await startLocalProxy({
    host: "127.0.0.1",
    port: 0,
    clock,
    schedule: (run, afterMs) => {
      events++;
      return clock.schedule(run, afterMs);
    },
    log: {
      debug: (fields, message) => log("debug", message, fields),
      info: (fields, message) => log("info", message, fields),
      warn: (fields, message) => log("warn", message, fields),
      error: (fields, message) => log("error", message, fields),
    },
    witness: (seen) => {
      events++;
      parts.witness(seen);
    },
  });
  for (const [digest, bytes] of bundle.files) proxy.files.set(digest, bytes);
  const destination = { destinations: [{ cluster: "service" }], name: parts.routeName };
  const problems = await proxy.apply({
    service: "test",
    inbound: {
      virtualHosts: [{ name: "test", domains: ["*"], routes: [destination] }],
      filters: [
        {
          ...use,
          source: { kind: "bundle", bundle: bundle.ref },
          upstreams: Object.fromEntries(
            Object.entries(use.upstreams).map(([name, upstream]) => [
              name,
              { ...upstream, cluster: `upstream-${name}` },
            ]),
          ),
        },
      ],
    },
    clusters: served.map(({ name, port }) => ({
      name,
      service: name.replace(/^upstream-/u, ""),
      endpoints: [{ address: "127.0.0.1", port: port.port }],
    })),
  });
  const stop = (): void => {
    target.pool.drain();
    proxy.stop();
    for (const { port } of served) port.stop();
  };
  const cluster = Cluster.parse({ name: PROXY_CLUSTER, endpoints: [{ address: "127.0.0.1", port: proxy.port || 1 }] });
  const target = buildTarget(cluster, undefined, Math.random);
  if (problems.length > 0) {
    stop();
    throw new Error(
      problems
        .map(({ path, message }) => renderProblem({ path: path.replace("inbound.filters[0].", ""), message }))
        .join("\n"),
    );
  }
  const lost = { ok: false as const, error: failure("no_cluster", "the test's proxy is gone") };
  return {
    send: compileForward(new Map([[PROXY_CLUSTER, target]]), () => lost, clock),
    ask: () => {
      throw new Error(`filter ${filter.name} is no adapter, and is asked nothing`);
    },
    stats: () => proxy.stats().split("\n"),
    explain,
    stop,
    settle: () =>
      quiet(
        () => events,
        () => [...upstreams.values()].some(({ pending }) => pending > 0),
      ),
  };
}
