// What adapters did, as one scrape tells it. Adapters are named by configuration, so there are as many series as those.
import type { AdapterAsked, AdapterObserver } from "../exchange/adapter-observer.ts";
import { failure } from "../exchange/failure.ts";
import type { FilterRun } from "../exchange/observer.ts";
import { renderLabels } from "./labels.ts";

/** Figures with labels; they never go back, but for a gauge. */
class Family {
  readonly #head: string;
  readonly #name: string;
  readonly #values = new Map<string, number>();

  constructor(name: string, type: "counter" | "gauge") {
    this.#name = name;
    this.#head = `# TYPE ${name} ${type}\n`;
  }

  add(labels: readonly (readonly [string, string])[], amount: number): void {
    const key = renderLabels(labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + amount);
  }

  set(labels: readonly (readonly [string, string])[], value: number): void {
    this.#values.set(renderLabels(labels), value);
  }

  render(): string {
    let lines = this.#head;
    for (const [labels, value] of this.#values) lines += `${this.#name}{${labels}} ${value}\n`;
    return lines;
  }
}

export class AdapterMetrics implements AdapterObserver {
  readonly #dispatches = new Family("vespid_adapter_dispatches_total", "counter");
  readonly #cacheHits = new Family("vespid_adapter_cache_hits_total", "counter");
  readonly #milliseconds = new Family("vespid_adapter_milliseconds_total", "counter");
  readonly #fuel = new Family("vespid_adapter_fuel_total", "counter");
  readonly #queued = new Family("vespid_adapter_queue_length", "gauge");
  readonly #sent = new Family("vespid_adapter_reports_sent_total", "counter");
  readonly #dropped = new Family("vespid_adapter_reports_dropped_total", "counter");
  readonly #failures = new Family("vespid_adapter_send_failures_total", "counter");

  asked({ adapter, phase, outcome, isCached, tookMs }: AdapterAsked): void {
    const labels = [
      ["adapter", adapter],
      ["phase", phase],
    ] as const;
    this.#dispatches.add([...labels, ["outcome", outcome]], 1);
    if (isCached) this.#cacheHits.add(labels, 1);
    else this.#milliseconds.add(labels, tookMs);
  }

  fuelUsed(adapter: string, phase: string, fuel: number): void {
    this.#fuel.add(
      [
        ["adapter", adapter],
        ["phase", phase],
      ],
      fuel,
    );
  }

  queueChanged(adapter: string, length: number): void {
    this.#queued.set([["adapter", adapter]], length);
  }

  sent(adapter: string, count: number): void {
    this.#sent.add([["adapter", adapter]], count);
  }

  dropped(adapter: string, count: number, why: string): void {
    this.#dropped.add(
      [
        ["adapter", adapter],
        ["reason", why],
      ],
      count,
    );
  }

  sendFailed(adapter: string): void {
    this.#failures.add([["adapter", adapter]], 1);
  }

  /** Lines of Prometheus' text format. */
  render(): string {
    const families = [
      this.#dispatches,
      this.#cacheHits,
      this.#milliseconds,
      this.#fuel,
      this.#queued,
      this.#sent,
      this.#dropped,
      this.#failures,
    ];
    return families.map((family) => family.render()).join("");
  }
}

/** Metrics of everything, and the reason of each failure for `failed`, as a run that failed. */
export function watchAdapters(metrics: AdapterMetrics, failed: (run: FilterRun) => void): AdapterObserver {
  const tell = (adapter: string, phase: FilterRun["phase"], reason: string): void =>
    failed({
      filter: adapter,
      phase,
      outcome: "failed",
      failure: failure("filter_failed", reason),
      fuel: 0,
      tookMs: 0,
    });
  return {
    asked: (asked) => {
      metrics.asked(asked);
      if (asked.reason !== "") tell(asked.adapter, asked.phase, asked.reason);
    },
    fuelUsed: (adapter, phase, fuel) => metrics.fuelUsed(adapter, phase, fuel),
    queueChanged: (adapter, length) => metrics.queueChanged(adapter, length),
    sent: (adapter, count) => metrics.sent(adapter, count),
    dropped: (adapter, count, why) => metrics.dropped(adapter, count, why),
    sendFailed: (adapter, reason) => {
      metrics.sendFailed(adapter);
      tell(adapter, "report", reason);
    },
  };
}
