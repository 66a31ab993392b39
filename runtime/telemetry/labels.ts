// Istio's labels in Istio's order; what is not known is `unknown`.
import type { Downstream } from "../exchange/exchange.ts";

/** Who this proxy stands before, as labels say it. */
export interface Workload {
  readonly service: string;
  readonly namespace: string;
  readonly version: string;
}

type Labels = readonly (readonly [string, string])[];

/** Who talks to whom, as seen from this proxy; `service` is the one called, where this proxy is the caller's. */
export function peerLabels(downstream: Downstream, called: string, workload: Workload): Labels {
  const isInbound = downstream.direction === "inbound";
  const unknown: Workload = { service: "unknown", namespace: "unknown", version: "unknown" };
  const source = isInbound ? unknown : workload;
  const service = isInbound ? `${workload.service}.${workload.namespace}` : called;
  const [name = "unknown", namespace = "unknown"] = service.split(".");
  const destination = isInbound
    ? workload
    : { service: name, namespace: service.includes(".") ? namespace : "unknown", version: "unknown" };
  const principal = downstream.tls?.principal ?? "";
  return [
    ["reporter", isInbound ? "destination" : "source"],
    ["source_workload", source.service],
    ["source_canonical_service", source.service],
    ["source_canonical_revision", source.version],
    ["source_workload_namespace", source.namespace],
    ["source_principal", principal === "" ? "unknown" : `spiffe://${principal}`],
    ["source_app", source.service],
    ["source_version", source.version],
    ["source_cluster", "unknown"],
    ["destination_workload", destination.service],
    ["destination_workload_namespace", destination.namespace],
    ["destination_principal", "unknown"],
    ["destination_app", destination.service],
    ["destination_version", destination.version],
    ["destination_service", service],
    ["destination_canonical_service", destination.service],
    ["destination_canonical_revision", destination.version],
    ["destination_service_name", destination.service],
    ["destination_service_namespace", destination.namespace],
    ["destination_cluster", "unknown"],
  ];
}

/** `connection_security_policy`: `mutual_tls` where the downstream has shown a certificate; only the server's side knows. */
export function securityPolicy(downstream: Downstream): "mutual_tls" | "none" | "unknown" {
  if (downstream.direction === "outbound") return "unknown";
  return downstream.tls?.certificate === undefined ? "none" : "mutual_tls";
}

/** `a="x",b="y"`, escaped as the exposition format asks. */
export function renderLabels(pairs: readonly (readonly [string, string])[]): string {
  return pairs
    .map(
      ([name, value]) => `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`,
    )
    .join(",");
}
