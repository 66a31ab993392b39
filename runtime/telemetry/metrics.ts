// Counts, by Istio's names and labels. A series is found by one look-up for each exchange; labels are rendered once.
import type { Clock, Direction, Exchange } from "../exchange/exchange.ts";
import type { ConnectionFault, FilterRun, Observer } from "../exchange/observer.ts";
import type { TcpSession } from "../exchange/tcp-session.ts";
import { Phase } from "../contract/bundle.ts";
import { FilterMetrics } from "./filter-metrics.ts";
import { peerLabels, renderLabels, securityPolicy, type Workload } from "./labels.ts";
import { TcpMetrics } from "./tcp-metrics.ts";

/** Istio's bounds, milliseconds and bytes alike. */
export const BUCKETS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];
/** Label sets kept; a service that answers with ever new statuses cannot grow the proxy. Beyond it exchanges count as `overflow`. */
const SERIES_MAX = 5000;

/** A cumulative histogram over `BUCKETS`. */
export class Histogram {
  readonly counts: Float64Array = new Float64Array(BUCKETS.length + 1);
  sum = 0;
  count = 0;

  record(value: number): void {
    this.sum += value;
    this.count++;
    let bucket = 0;
    while (bucket < BUCKETS.length && value > (BUCKETS[bucket] ?? 0)) bucket++;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
  }
}

/** One label set of the request metrics. */
export class RequestSeries {
  readonly labels: string;
  requests = 0;
  readonly durationMs: Histogram = new Histogram();
  readonly requestBytes: Histogram = new Histogram();
  readonly replyBytes: Histogram = new Histogram();

  constructor(labels: string) {
    this.labels = labels;
  }
}

/** One filter's runs of one kind. */
export interface FilterSeries extends Readonly<Total> {
  readonly filter: string;
  readonly phase: FilterRun["phase"];
  readonly outcome: FilterRun["outcome"];
}

interface Total {
  runs: number;
  /** Of filters that keep decisions: runs that had theirs from memory, and that had not. */
  hits: number;
  misses: number;
  fuel: number;
  tookMs: number;
}

type Outcomes = Readonly<Record<FilterRun["outcome"], Total>>;
/** Found by two property reads for each run. */
type FilterTotals = Partial<Record<FilterRun["phase"], Outcomes>>;

function newOutcomes(): Outcomes {
  const zero: Total = { runs: 0, hits: 0, misses: 0, fuel: 0, tookMs: 0 };
  return { proceed: { ...zero }, reply: { ...zero }, close: { ...zero }, failed: { ...zero }, cancelled: { ...zero } };
}

/** Takes what stages tell and keeps the totals. */
export class Metrics implements Observer {
  readonly requests: Map<string, RequestSeries> = new Map();
  readonly connectionsTotal: Record<Direction, number> = { inbound: 0, outbound: 0 };
  readonly connectionsActive: Record<Direction, number> = { inbound: 0, outbound: 0 };
  readonly tcp: TcpMetrics;
  /** Handshakes that succeeded, and connections closed before they were served, by direction. */
  readonly tlsHandshakes: Record<Direction, number> = { inbound: 0, outbound: 0 };
  readonly connectionFaults: Record<Direction, Map<ConnectionFault, number>> = {
    inbound: new Map(),
    outbound: new Map(),
  };
  /** The series of the exchange before: mostly the same again, and found without building its key. */
  #last: Recalled = {
    direction: "inbound",
    service: "",
    principal: "",
    status: -1,
    flags: "-",
    isGrpc: false,
    series: new RequestSeries(""),
  };
  readonly #filters = new Map<string, FilterTotals>();
  /** Filters that keep failing, and are not asked for a while. */
  readonly openCircuits: Set<string> = new Set();
  /** What filters measure themselves. */
  readonly filterMetrics: FilterMetrics = new FilterMetrics();
  readonly #workload: Workload;
  readonly #clock: Clock;
  readonly #onEnded: (exchange: Exchange, nowMonoMs: number) => void;

  readonly #onTcpEnded: (session: TcpSession, nowMonoMs: number) => void;

  /** `onEnded` and `onTcpEnded` are told of each after it was counted: the access log. */
  constructor(
    workload: Workload,
    clock: Clock,
    onEnded: (exchange: Exchange, nowMonoMs: number) => void,
    onTcpEnded: (session: TcpSession, nowMonoMs: number) => void = () => undefined,
  ) {
    this.tcp = new TcpMetrics(workload);
    this.#onTcpEnded = onTcpEnded;
    this.#workload = workload;
    this.#clock = clock;
    this.#onEnded = onEnded;
  }

  exchangeEnded(exchange: Exchange): void {
    const nowMs = this.#clock.monotonic();
    const series = this.#series(exchange);
    series.requests++;
    series.durationMs.record(nowMs - exchange.startedMonoMs);
    series.requestBytes.record(exchange.bytesReceived);
    series.replyBytes.record(exchange.bytesSent);
    this.#onEnded(exchange, nowMs);
    exchange.onEnd?.();
  }

  connectionOpened(direction: Direction): void {
    this.connectionsTotal[direction]++;
    this.connectionsActive[direction]++;
  }

  connectionClosed(direction: Direction): void {
    this.connectionsActive[direction]--;
  }

  connectionRefused(direction: Direction, fault: ConnectionFault): void {
    const faults = this.connectionFaults[direction];
    faults.set(fault, (faults.get(fault) ?? 0) + 1);
  }

  tlsSecured(direction: Direction): void {
    this.tlsHandshakes[direction]++;
  }

  tcpOpened(session: TcpSession): void {
    this.tcp.opened(session);
  }

  tcpEnded(session: TcpSession): void {
    this.tcp.ended(session);
    this.#onTcpEnded(session, this.#clock.monotonic());
  }

  filterRan(run: FilterRun): void {
    let all = this.#filters.get(run.filter);
    if (all === undefined) {
      all = {};
      this.#filters.set(run.filter, all);
    }
    const series = (all[run.phase] ??= newOutcomes())[run.outcome];
    series.runs++;
    if (run.kept === true) series.hits++;
    else if (run.kept === false) series.misses++;
    series.fuel += run.fuel;
    series.tookMs += run.tookMs;
  }

  circuitChanged(filter: string, openForMs: number): void {
    if (openForMs > 0) this.openCircuits.add(filter);
    else this.openCircuits.delete(filter);
  }

  /** Every filter that ran, with what it did. */
  get filters(): readonly FilterSeries[] {
    const series: FilterSeries[] = [];
    for (const [filter, totals] of this.#filters) {
      for (const phase of PHASES) {
        for (const outcome of OUTCOMES) {
          const total = totals[phase]?.[outcome];
          if (total !== undefined && total.runs > 0) series.push({ filter, phase, outcome, ...total });
        }
      }
    }
    return series;
  }

  #series(exchange: Exchange): RequestSeries {
    const { direction, tls } = exchange.downstream;
    const principal = tls?.principal ?? "";
    const last = this.#last;
    if (
      last.status === exchange.status &&
      last.service === exchange.service &&
      last.flags === exchange.flags &&
      last.direction === direction &&
      last.principal === principal &&
      !last.isGrpc &&
      !exchange.isGrpc
    ) {
      return last.series;
    }
    const series = this.#find(exchange);
    const { service, status, flags, isGrpc } = exchange;
    this.#last = { direction, principal, service, status, flags, isGrpc, series };
    return series;
  }

  #find(exchange: Exchange): RequestSeries {
    const key = `${exchange.downstream.direction} ${exchange.service} ${exchange.status} ${exchange.flags} ${grpcStatus(exchange) ?? "http"} ${securityPolicy(exchange.downstream)} ${exchange.downstream.tls?.principal ?? ""}`;
    const known = this.requests.get(key);
    if (known !== undefined) return known;
    const isFull = this.requests.size >= SERIES_MAX;
    const overflow = isFull ? this.requests.get(OVERFLOW) : undefined;
    const series = overflow ?? new RequestSeries(isFull ? `overflow="true"` : requestLabels(exchange, this.#workload));
    this.requests.set(isFull ? OVERFLOW : key, series);
    return series;
  }
}

interface Recalled {
  readonly direction: Direction;
  readonly principal: string;
  readonly service: string;
  readonly status: number;
  readonly flags: string;
  readonly isGrpc: boolean;
  readonly series: RequestSeries;
}

const OVERFLOW = "overflow";
const PHASES = [...Phase.options, "chunk", "stray"] as const;
const OUTCOMES = ["proceed", "reply", "close", "failed", "cancelled"] as const;

/** Of a gRPC exchange, from the head or the trailers; what is no status is empty, so that a peer cannot make up labels. */
function grpcStatus(exchange: Exchange): string | undefined {
  if (!exchange.isGrpc) return undefined;
  const status = exchange.grpcStatus === "" ? (exchange.replyTrailers?.get("grpc-status") ?? "") : exchange.grpcStatus;
  return /^\d{1,2}$/u.test(status) ? status : "";
}

/** Istio's labels in Istio's order. */
function requestLabels(exchange: Exchange, workload: Workload): string {
  return renderLabels([
    ...peerLabels(exchange.downstream, exchange.service, workload),
    ["request_protocol", exchange.isGrpc ? "grpc" : "http"],
    ["response_code", String(exchange.status)],
    ["grpc_response_status", grpcStatus(exchange) ?? ""],
    ["response_flags", exchange.flags],
    ["connection_security_policy", securityPolicy(exchange.downstream)],
  ]);
}
