// The `/clusters` page, in the shape of Envoy's: `cluster::host::name::value`, a line each.
import type { LiveCluster } from "../cluster/cluster.ts";

/** A cluster and what it has open. */
export interface ClusterView {
  readonly cluster: Pick<LiveCluster, "name" | "limits" | "endpoints">;
  readonly pool: { readonly openConnections: number; readonly waitingRequests: number };
}

/** Renders every cluster and endpoint with its counts. */
export function renderClusters(views: Iterable<ClusterView>): string {
  const lines: string[] = [];
  for (const { cluster, pool } of views) {
    const { limits, name } = cluster;
    lines.push(
      `${name}::default_priority::max_connections::${limits.maxConnections}`,
      `${name}::default_priority::max_pending_requests::${limits.maxPendingRequests}`,
      `${name}::default_priority::max_requests::${limits.maxRequests}`,
      `${name}::cx_active::${pool.openConnections}`,
      `${name}::rq_pending_active::${pool.waitingRequests}`,
    );
    for (const endpoint of cluster.endpoints) {
      const host = `${name}::${endpoint.host}`;
      lines.push(
        `${host}::rq_active::${endpoint.activeRequests}`,
        `${host}::rq_total::${endpoint.totalRequests}`,
        `${host}::rq_error::${endpoint.failedRequests}`,
        `${host}::weight::${endpoint.weight}`,
        `${host}::health_flags::healthy`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
