// Sums over workers, the living and those that ended.
import { expect, test } from "bun:test";
import { Ledger, mergeClusters } from "./ledger.ts";

const scrape = (requests: number, active: number, uptime: number): string => `# TYPE istio_requests_total counter
istio_requests_total{service="a b",path="x\\"y"} ${requests}
# TYPE took histogram
took_bucket{le="1"} ${requests}
took_bucket{le="+Inf"} ${requests}
took_sum ${requests * 2}
took_count ${requests}
# TYPE cx_active gauge
cx_active ${active}
# TYPE vespid_process_uptime_seconds gauge
vespid_process_uptime_seconds ${uptime}
`;

test("counters, histograms and gauges are summed; of what is the same in each, the largest tells", () => {
  expect(new Ledger().merge([scrape(3, 1, 10), scrape(4, 2, 7)])).toBe(scrape(7, 3, 10));
});

test("a worker that ended keeps its counts, and none of its gauges", () => {
  const ledger = new Ledger();
  ledger.retire(scrape(3, 9, 99));
  ledger.retire(scrape(1, 9, 99));
  expect(ledger.merge([scrape(4, 2, 7)])).toBe(scrape(8, 2, 7));
  // And a next version of the supervisor takes them over.
  const next = new Ledger();
  next.retire(ledger.retired);
  expect(next.merge([scrape(4, 2, 7)])).toBe(scrape(8, 2, 7));
});

const page = (active: number, health: string): string =>
  `a|80||::default_priority::max_requests::5\na|80||::127.0.0.1:1::rq_active::${active}\na|80||::127.0.0.1:1::health_flags::${health}\n`;

test("clusters: counts add up, what differs is told side by side", () => {
  expect(mergeClusters([page(1, "healthy"), page(2, "healthy")])).toBe(page(3, "healthy"));
  expect(mergeClusters([page(1, "healthy"), page(2, "ejected")])).toBe(page(3, "healthy/ejected"));
});
