// One downstream connection whose bytes are passed on as they are, and what is told of it when it ends.
import type { Clock, Downstream } from "./exchange.ts";
import type { FilterCost } from "./filter-cost.ts";

/** Envoy's response flags that a TCP session can end with: `UAEX` where a filter ended it, `LR` where one failed. */
export type TcpFlags = "-" | "UAEX" | "LR" | "UF,URX" | "UH" | "UO" | "NR" | "NC" | "UC" | "DC";

/** Everything known of it. The proxy fills it in; metrics and the access log read it. */
export class TcpSession {
  readonly downstream: Downstream;
  readonly startedAtMs: number;
  /** Monotonic. */
  readonly startedMonoMs: number;
  /** SNI, where the bytes are TLS that is not ours to end; empty without. */
  readonly serverName: string;
  /** Name of the route and of its cluster; empty where there is none. */
  routeName = "";
  cluster = "";
  /** `destination_service` of the cluster. */
  service = "unknown";
  upstreamHost = "";
  upstreamLocalAddress = "";
  /** Why the upstream could not be reached, for the log. */
  upstreamFailure = "";
  flags: TcpFlags = "-";
  /** Why the proxy itself ended it: Envoy's connection termination details. */
  details = "";
  /** What filters left for later ones and the access log, by names without `metadata.`; `undefined` where none did. */
  metadata: Map<string, string> | undefined = undefined;
  filterCosts: FilterCost[] | undefined = undefined;
  /** Monotonic; 0 while it is open. Set for filters that look at it. */
  endedMonoMs = 0;
  /** From the downstream, and to it. */
  bytesReceived = 0;
  bytesSent = 0;

  constructor(downstream: Downstream, serverName: string, clock: Clock) {
    this.downstream = downstream;
    this.serverName = serverName;
    this.startedAtMs = clock.now();
    this.startedMonoMs = clock.monotonic();
  }
}
