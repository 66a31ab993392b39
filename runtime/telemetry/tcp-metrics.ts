// Counts of connections that are passed on, by Istio's names and labels. Bytes of open connections count in each scrape.
import type { TcpSession } from "../exchange/tcp-session.ts";
import { peerLabels, renderLabels, securityPolicy, type Workload } from "./labels.ts";

/** Label sets kept, as for requests. Beyond it sessions count as `overflow`. */
const SERIES_MAX = 5000;
const OVERFLOW = "overflow";

interface TcpSeries {
  readonly labels: string;
  opened: number;
  closed: number;
  /** Of sessions that have ended. */
  received: number;
  sent: number;
  readonly active: Set<TcpSession>;
}

/** What one scrape says of one label set. */
export interface TcpTotals {
  readonly labels: string;
  readonly opened: number;
  readonly closed: number;
  readonly received: number;
  readonly sent: number;
}

/** The series of `istio_tcp_…`. A session is counted where it was when it opened: its flags are not known before its end. */
export class TcpMetrics {
  readonly #workload: Workload;
  readonly #series = new Map<string, TcpSeries>();
  readonly #of = new Map<TcpSession, TcpSeries>();

  constructor(workload: Workload) {
    this.#workload = workload;
  }

  opened(session: TcpSession): void {
    const series = this.#find(session);
    series.opened++;
    series.active.add(session);
    this.#of.set(session, series);
  }

  ended(session: TcpSession): void {
    const series = this.#of.get(session);
    if (series === undefined) return;
    this.#of.delete(session);
    series.active.delete(session);
    series.closed++;
    series.received += session.bytesReceived;
    series.sent += session.bytesSent;
  }

  /** One scrape. */
  totals(): readonly TcpTotals[] {
    return [...this.#series.values()].map(({ labels, opened, closed, received, sent, active }) => {
      const open = [...active];
      return {
        labels,
        opened,
        closed,
        received: open.reduce((sum, { bytesReceived }) => sum + bytesReceived, received),
        sent: open.reduce((sum, { bytesSent }) => sum + bytesSent, sent),
      };
    });
  }

  #find(session: TcpSession): TcpSeries {
    const { downstream, service } = session;
    const key = `${downstream.direction} ${service} ${securityPolicy(downstream)} ${downstream.tls?.principal ?? ""}`;
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const isFull = this.#series.size >= SERIES_MAX;
    const overflow = isFull ? this.#series.get(OVERFLOW) : undefined;
    if (overflow !== undefined) return overflow;
    const labels = isFull
      ? `overflow="true"`
      : renderLabels([
          ...peerLabels(downstream, service, this.#workload),
          ["request_protocol", "tcp"],
          ["response_flags", "-"],
          ["connection_security_policy", securityPolicy(downstream)],
        ]);
    const series: TcpSeries = { labels, opened: 0, closed: 0, received: 0, sent: 0, active: new Set() };
    this.#series.set(isFull ? OVERFLOW : key, series);
    return series;
  }
}
