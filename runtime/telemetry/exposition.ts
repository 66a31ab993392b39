// Prometheus' text format (version 0.0.4) of everything that is counted.
import type { LiveCluster } from "../cluster/cluster.ts";
import { renderLabels } from "./labels.ts";
import { BUCKETS, type FilterSeries, type Histogram, type Metrics } from "./metrics.ts";

/** A cluster and what it has open. */
export interface ClusterStats {
  readonly cluster: Pick<LiveCluster, "name" | "activeRequests" | "tcpConnections" | "endpoints">;
  readonly pool: { readonly openConnections: number; readonly waitingRequests: number };
}

/** Renders one scrape. */
export function renderExposition(
  metrics: Metrics,
  clusters: readonly ClusterStats[],
  extras: Readonly<Record<string, number>>,
): string {
  const lines: string[] = [];
  const all = [...metrics.requests.values()];
  lines.push(
    "# TYPE istio_requests_total counter",
    ...all.map(({ labels, requests }) => `istio_requests_total{${labels}} ${requests}`),
  );
  lines.push("# TYPE istio_request_duration_milliseconds histogram");
  for (const { labels, durationMs } of all)
    pushHistogram(lines, "istio_request_duration_milliseconds", labels, durationMs);
  lines.push("# TYPE istio_request_bytes histogram");
  for (const { labels, requestBytes } of all) pushHistogram(lines, "istio_request_bytes", labels, requestBytes);
  lines.push("# TYPE istio_response_bytes histogram");
  for (const { labels, replyBytes } of all) pushHistogram(lines, "istio_response_bytes", labels, replyBytes);
  lines.push("# TYPE envoy_http_downstream_cx_total counter");
  for (const [direction, total] of Object.entries(metrics.connectionsTotal)) {
    lines.push(`envoy_http_downstream_cx_total{direction="${direction}"} ${total}`);
  }
  lines.push("# TYPE envoy_http_downstream_cx_active gauge");
  for (const [direction, active] of Object.entries(metrics.connectionsActive)) {
    lines.push(`envoy_http_downstream_cx_active{direction="${direction}"} ${active}`);
  }
  pushTcp(lines, metrics);
  pushConnections(lines, metrics);
  pushClusters(lines, clusters);
  pushFilters(lines, metrics);
  pushCircuits(lines, metrics);
  lines.push(...metrics.filterMetrics.render());
  for (const [name, value] of Object.entries(extras)) lines.push(`# TYPE ${name} gauge`, `${name} ${value}`);
  return `${lines.join("\n")}\n`;
}

function pushHistogram(lines: string[], name: string, labels: string, histogram: Histogram): void {
  let cumulative = 0;
  BUCKETS.forEach((bound, index) => {
    cumulative += histogram.counts[index] ?? 0;
    lines.push(`${name}_bucket{${labels},le="${bound}"} ${cumulative}`);
  });
  lines.push(
    `${name}_bucket{${labels},le="+Inf"} ${histogram.count}`,
    `${name}_sum{${labels}} ${histogram.sum}`,
    `${name}_count{${labels}} ${histogram.count}`,
  );
}

function pushTcp(lines: string[], { tcp }: Metrics): void {
  const all = tcp.totals();
  const counters = [
    ["istio_tcp_connections_opened_total", "opened"],
    ["istio_tcp_connections_closed_total", "closed"],
    ["istio_tcp_received_bytes_total", "received"],
    ["istio_tcp_sent_bytes_total", "sent"],
  ] as const;
  for (const [name, field] of counters) {
    lines.push(`# TYPE ${name} counter`, ...all.map((totals) => `${name}{${totals.labels}} ${totals[field]}`));
  }
}

function pushConnections(lines: string[], metrics: Metrics): void {
  lines.push("# TYPE envoy_listener_ssl_handshake counter");
  for (const [direction, total] of Object.entries(metrics.tlsHandshakes)) {
    lines.push(`envoy_listener_ssl_handshake{direction="${direction}"} ${total}`);
  }
  lines.push("# TYPE vespid_connections_refused_total counter");
  for (const [direction, faults] of Object.entries(metrics.connectionFaults)) {
    for (const [fault, total] of faults) {
      lines.push(`vespid_connections_refused_total{direction="${direction}",reason="${fault}"} ${total}`);
    }
  }
}

function pushClusters(lines: string[], clusters: readonly ClusterStats[]): void {
  const gauges: readonly (readonly [string, (stats: ClusterStats) => number])[] = [
    ["envoy_cluster_upstream_cx_active", ({ pool, cluster }) => pool.openConnections + cluster.tcpConnections],
    ["envoy_cluster_upstream_rq_active", ({ cluster }) => cluster.activeRequests],
    ["envoy_cluster_upstream_rq_pending_active", ({ pool }) => pool.waitingRequests],
    ["envoy_cluster_membership_total", ({ cluster }) => cluster.endpoints.length],
  ];
  for (const [name, read] of gauges) {
    lines.push(`# TYPE ${name} gauge`);
    for (const stats of clusters)
      lines.push(`${name}{${renderLabels([["cluster_name", stats.cluster.name]])}} ${read(stats)}`);
  }
}

function pushFilters(lines: string[], metrics: Metrics): void {
  const all = metrics.filters;
  lines.push(
    "# TYPE vespid_filter_runs_total counter",
    ...all.map((series) => `vespid_filter_runs_total{${filterLabels(series)}} ${series.runs}`),
  );
  const keeping = all.filter(({ hits, misses }) => hits + misses > 0);
  lines.push(
    "# TYPE vespid_filter_cache_hits_total counter",
    ...keeping.map((series) => `vespid_filter_cache_hits_total{${filterLabels(series)}} ${series.hits}`),
    "# TYPE vespid_filter_cache_misses_total counter",
    ...keeping.map((series) => `vespid_filter_cache_misses_total{${filterLabels(series)}} ${series.misses}`),
  );
  lines.push(
    "# TYPE vespid_filter_fuel_total counter",
    ...all.map((series) => `vespid_filter_fuel_total{${filterLabels(series)}} ${series.fuel}`),
  );
  lines.push(
    "# TYPE vespid_filter_milliseconds_total counter",
    ...all.map((series) => `vespid_filter_milliseconds_total{${filterLabels(series)}} ${series.tookMs}`),
  );
}

function pushCircuits(lines: string[], { openCircuits, filters }: Metrics): void {
  lines.push("# TYPE vespid_filter_circuit_open gauge");
  for (const filter of new Set([...filters.map((series) => series.filter), ...openCircuits])) {
    lines.push(`vespid_filter_circuit_open{${renderLabels([["filter", filter]])}} ${openCircuits.has(filter) ? 1 : 0}`);
  }
}

function filterLabels({ filter, phase, outcome }: FilterSeries): string {
  return renderLabels([
    ["filter", filter],
    ["phase", phase],
    ["outcome", outcome],
  ]);
}
