// The upstream side of a TCP session: an endpoint, a connection, and another endpoint where the first cannot be reached.
import type { LiveCluster, LiveEndpoint } from "../cluster/cluster.ts";
import type { TcpProxy, TcpUpstream } from "../codec/tcp-proxy.ts";
import type { Transport } from "../codec/socket-writer.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import type { TlsClient } from "./client-tls.ts";
import { connect, type SocketOwner } from "./connect.ts";

/** Where sessions of one route go. */
export interface TcpTarget {
  readonly cluster: LiveCluster;
  readonly tls: TlsClient | undefined;
  /** The endpoint for a session: the balancer's choice, or the address that the client called. */
  readonly pick: (session: TcpSession) => LiveEndpoint | undefined;
  readonly connectAttemptsMax: number;
  /** A PROXY protocol header for it; `undefined` sends none. */
  readonly preambleFor: ((session: TcpSession) => Buffer) | undefined;
}

/** One session on its way. */
export class TcpAttempt implements TcpUpstream, SocketOwner {
  readonly #target: TcpTarget;
  #proxy: TcpProxy | undefined = undefined;
  #endpoint: LiveEndpoint | undefined = undefined;
  #attempts = 0;
  #isCounted = false;

  constructor(target: TcpTarget) {
    this.#target = target;
  }

  start(proxy: TcpProxy): void {
    const { cluster } = this.#target;
    this.#proxy = proxy;
    if (cluster.tcpConnections >= cluster.limits.maxConnections) {
      this.#refuse(proxy, "UO");
      return;
    }
    cluster.tcpConnections++;
    this.#isCounted = true;
    this.#connect(proxy);
  }

  over(): void {
    if (this.#isCounted) this.#target.cluster.tcpConnections--;
    this.#isCounted = false;
    this.#leave();
  }

  opened(transport: Transport, localAddress: string): void {
    if (this.#proxy !== undefined) this.#proxy.session.upstreamLocalAddress = localAddress;
    this.#proxy?.opened(transport);
  }

  refused(_kind: "connect_timeout" | "connect_failed", reason: string): void {
    const proxy = this.#proxy;
    if (this.#endpoint !== undefined) this.#endpoint.failedRequests++;
    this.#leave();
    if (proxy === undefined) return;
    proxy.session.upstreamFailure = reason;
    if (proxy.isOver) return;
    if (this.#attempts < this.#target.connectAttemptsMax) this.#connect(proxy);
    else this.#refuse(proxy, "UF,URX");
  }

  data(chunk: Buffer): void {
    this.#proxy?.upstreamData(chunk);
  }

  drained(): void {
    this.#proxy?.upstreamDrained();
  }

  ended(): void {
    this.#proxy?.upstreamEnded();
  }

  closed(isReset: boolean): void {
    this.#proxy?.upstreamClosed(isReset);
  }

  #connect(proxy: TcpProxy): void {
    const { pick, cluster, tls, preambleFor } = this.#target;
    const endpoint = pick(proxy.session);
    if (endpoint === undefined) {
      this.#refuse(proxy, "UH");
      return;
    }
    this.#attempts++;
    this.#endpoint = endpoint;
    endpoint.activeRequests++;
    endpoint.totalRequests++;
    proxy.session.upstreamHost = endpoint.host;
    const preamble = preambleFor?.(proxy.session);
    connect(endpoint.address, endpoint.port, cluster.connectTimeoutMs, this, {
      tls,
      offers: "tcp",
      preamble,
      sourceAddress: endpoint.sourceAddress,
    });
  }

  #refuse(proxy: TcpProxy, flags: TcpSession["flags"]): void {
    proxy.session.flags = flags;
    proxy.refused();
  }

  #leave(): void {
    if (this.#endpoint !== undefined) this.#endpoint.activeRequests--;
    this.#endpoint = undefined;
  }
}
