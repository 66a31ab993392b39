// What filters cost one exchange or connection, for its line in the access log.

/** All runs of one filter. */
export interface FilterCost {
  readonly filter: string;
  fuel: number;
  /** Milliseconds, fractions included. */
  tookMs: number;
}

/** Something that filters run for. */
export interface Charged {
  /** In the order of their first runs; native filters are not among them. `undefined` where there is none. */
  filterCosts: FilterCost[] | undefined;
}

/** Adds one run of a sandboxed filter. */
export function charge(to: Charged, filter: string, fuel: number, tookMs: number): void {
  const costs = (to.filterCosts ??= []);
  for (const cost of costs) {
    if (cost.filter !== filter) continue;
    cost.fuel += fuel;
    cost.tookMs += tookMs;
    return;
  }
  costs.push({ filter, fuel, tookMs });
}
