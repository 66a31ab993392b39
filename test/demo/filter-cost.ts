// What the pushed filter costs, from the metrics of the sidecar that runs it.

interface Totals {
  readonly runs: number;
  readonly tookMs: number;
}

/** Reads one filter's cost from a sidecar, again and again. */
export class FilterCost {
  /** For people: `8.2 µs a call, 1,234 calls`; `undefined` before it ran. */
  text: string | undefined;
  /** The same for the interval with the most calls: the least of what else the machine did is in it. */
  busiest: string | undefined;
  readonly #url: string;
  readonly #filter: string;
  #before: Totals = { runs: 0, tookMs: 0 };
  #most = 0;

  constructor(admin: string, filter: string) {
    this.#url = `${admin}/stats/prometheus`;
    this.#filter = filter;
  }

  /** Looks at the calls since it was called last: the first ones are those of a cold engine. */
  async measure(): Promise<void> {
    let exposition: string;
    try {
      exposition = await (await fetch(this.#url)).text();
    } catch {
      // The sidecar is not there yet, or not any more.
      return;
    }
    const runs = this.#sum(exposition, "vespid_filter_runs_total");
    const tookMs = this.#sum(exposition, "vespid_filter_milliseconds_total");
    const recent = runs - this.#before.runs;
    if (recent === 0) return;
    const averageUs = ((tookMs - this.#before.tookMs) / recent) * 1000;
    this.text = `${averageUs.toFixed(1)} µs a call, ${runs.toLocaleString("en-US")} calls`;
    this.#before = { runs, tookMs };
    if (recent <= this.#most) return;
    this.#most = recent;
    this.busiest = `${averageUs.toFixed(1)} µs a call under load`;
  }

  #sum(exposition: string, metric: string): number {
    const line = new RegExp(`^${metric}\\{[^\\n]*${this.#filter}[^\\n]*\\} (\\S+)$`, "gmu");
    return [...exposition.matchAll(line)].reduce((sum, [, value]) => sum + Number(value), 0);
  }
}
