// A sidecar with adapters and rules before an application that answers everything.
import type { z } from "zod";
import type { Adapter } from "../../runtime/contract/adapter.ts";
import type { Cluster } from "../../runtime/contract/cluster.ts";
import type { Rule } from "../../runtime/contract/rule.ts";
import { startProxy, type ProxyOptions, type RunningProxy } from "./proxy.ts";
import type { TempFolder } from "./temp-folder.ts";

export interface AdaptedProxyOptions extends Pick<ProxyOptions, "concurrency" | "flags"> {
  readonly folder: TempFolder;
  readonly adapters: readonly z.input<typeof Adapter>[];
  readonly rules: readonly z.input<typeof Rule>[];
  /** Ports on loopback by the names of clusters. */
  readonly clusters?: Readonly<Record<string, number>>;
}

/** An application, and its sidecar. */
export interface AdaptedProxy extends AsyncDisposable {
  readonly proxy: RunningProxy;
  /** Paths that reached the application. */
  readonly seen: readonly string[];
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  /** The sum of a metric's series whose labels hold `part`. */
  metric(name: string, part?: string): Promise<number>;
}

let count = 0;

/** Starts both. The application answers `/status/N` with N, anything else with 200. */
export async function startAdapted(options: AdaptedProxyOptions): Promise<AdaptedProxy> {
  const { folder, adapters, rules, clusters = {} } = options;
  const seen: string[] = [];
  const application = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      seen.push(pathname);
      const [, status = "200"] = /^\/status\/(\d{3})$/u.exec(pathname) ?? [];
      return new Response("hello", { status: Number(status) });
    },
  });
  const proxy = await startProxy({
    service: "reviews",
    cwd: folder.path,
    applicationPort: application.port ?? 0,
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    flags: ["--state", folder.file(`state-${count++}`), "--access-log", "off", ...(options.flags ?? [])],
    snapshot: () => ({
      inbound: { rules },
      outbound: {},
      adapters,
      clusters: Object.entries(clusters).map(([name, port]): z.input<typeof Cluster> => {
        return { name, service: name, endpoints: [{ address: "127.0.0.1", port }] };
      }),
    }),
  }).catch(async (error: unknown) => {
    await application.stop(true);
    throw error;
  });
  const url = `http://127.0.0.1:${proxy.inboundPort}`;
  return {
    proxy,
    seen,
    get: (path, headers = {}) => fetch(`${url}${path}`, { headers: { ...headers, connection: "close" } }),
    metric: async (name, part = "") => {
      const text = await (await fetch(`${proxy.admin}/stats/prometheus`)).text();
      const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(part));
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await application.stop(true);
    },
  };
}
