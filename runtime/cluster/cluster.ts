// A cluster at work: its endpoints with their loads, and the room that its limits leave.
import { compileBalancer, type Balancer } from "../balance/balancer.ts";
import type { Cluster, ClusterLimits } from "../contract/cluster.ts";
import type { Random } from "../exchange/exchange.ts";

/** One address, with what this proxy has open to it. The counts live as long as the cluster's generation. */
export class LiveEndpoint {
  readonly address: string;
  readonly port: number;
  readonly weight: number;
  /** `127.0.0.1:9080`, as logs and metrics print it. */
  readonly host: string;
  /** As a cluster's, for this endpoint alone. */
  readonly sourceAddress: string | undefined;
  activeRequests = 0;
  totalRequests = 0;
  failedRequests = 0;

  constructor(address: string, port: number, weight: number, sourceAddress?: string) {
    this.sourceAddress = sourceAddress;
    this.address = address;
    this.port = port;
    this.weight = weight;
    this.host = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  }
}

/** What `forward` asks before it sends. */
export class LiveCluster {
  readonly name: string;
  readonly service: string;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly limits: ClusterLimits;
  readonly protocol: Cluster["protocol"];
  readonly http2: Cluster["http2"];
  readonly endpoints: readonly LiveEndpoint[];
  readonly pick: Balancer<LiveEndpoint>;
  /** Names the connections that may be shared across generations: same cluster, same addresses, same limits. */
  readonly fingerprint: string;
  /** One of our addresses, from which its connections are opened; `undefined` leaves it to the system. */
  readonly sourceAddress: string | undefined;
  activeRequests = 0;
  /** Connections that are passed on without being read. */
  tcpConnections = 0;

  constructor(config: Cluster, random: Random, sourceAddress?: string) {
    this.sourceAddress = sourceAddress;
    this.name = config.name;
    this.service = config.service;
    this.connectTimeoutMs = config.connectTimeoutMs;
    this.idleTimeoutMs = config.idleTimeoutMs;
    this.limits = config.limits;
    this.protocol = config.protocol;
    this.http2 = config.http2;
    this.endpoints = config.endpoints.map(({ address, port, weight }) => new LiveEndpoint(address, port, weight));
    this.pick = compileBalancer(config.balance, this.endpoints, random);
    this.fingerprint = JSON.stringify(config);
  }
}
