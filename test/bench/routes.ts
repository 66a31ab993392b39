// How long does it take to find a request's route among 1,000 and among 10,000?
import { VirtualHost } from "../../runtime/contract/route.ts";
import { HeaderMap } from "../../runtime/exchange/headers.ts";
import { compileRoutes, type Requested } from "../../runtime/route/table.ts";
import { median, type BenchOptions, type BenchResult, type BenchRow } from "./result.ts";

export const question = "How long does it take to find a request's route among 1,000 and among 10,000?";

/** A question that a table is asked, and the route that answers it. */
interface Ask {
  readonly authority: string;
  readonly requested: Requested;
}

/** A table and what it is asked, each route as often as every other. */
interface Table {
  readonly virtualHosts: readonly unknown[];
  readonly asks: readonly Ask[];
}

const BOUNDS: ReadonlyMap<number, { readonly limit: number; readonly want: number }> = new Map([
  [1000, { limit: 2, want: 1 }],
  [10_000, { limit: 3, want: 1 }],
]);

/** Asks in this process; every answer is checked once before it is timed. */
export function run({ isQuick, progress }: BenchOptions): Promise<BenchResult> {
  const rows: BenchRow[] = [];
  for (const [count, bounds] of BOUNDS) {
    for (const [label, build] of [
      ["one host", buildOneHost],
      ["a host each", buildHosts],
    ] as const) {
      const { virtualHosts, asks } = build(count);
      const match = compileRoutes(virtualHosts.map((host) => VirtualHost.parse(host)));
      asks.forEach(({ authority, requested }, at) => {
        const name = match(authority, requested)?.(0)?.routeName;
        if (name !== `route-${at}`) throw new Error(`${requested.path} took ${name}, not route-${at}`);
      });
      const order = shuffle(asks);
      const times: number[] = [];
      // The first two compile.
      for (let round = -2; round < (isQuick ? 3 : 9); round++) times.push(timeMatches(match, order, isQuick));
      times.splice(0, 2);
      const figure = `${count.toLocaleString("en-US")} routes, ${label}`;
      progress(`${figure}: ${median(times).toPrecision(3)} µs`);
      rows.push({ figure, value: median(times), unit: "µs", ...bounds });
    }
  }
  return Promise.resolve({ name: "routes", question, rows });
}

/** Of one match, µs. Reading ten thousand requests from memory that has gone cold is no part of it: a proxy has just parsed its own. */
function timeMatches(match: ReturnType<typeof compileRoutes>, order: readonly Ask[], isQuick: boolean): number {
  const calls = isQuick ? 50_000 : 200_000;
  const reading = timeCalls(order, calls, touch);
  return timeCalls(order, calls, ({ authority, requested }) => match(authority, requested) !== undefined) - reading;
}

/** Reads what a match reads of a request. */
function touch({ authority, requested: { path } }: Ask): boolean {
  return path.codePointAt(path.length - 1) !== authority.codePointAt(0) || path.length > 0;
}

function timeCalls(order: readonly Ask[], calls: number, call: (ask: Ask) => boolean): number {
  // Its own time, not the clock's: what else the machine does is no cost of a match.
  const before = process.cpuUsage();
  let good = 0;
  for (let count = 0; count < calls; count++) {
    const ask = order[count % order.length];
    if (ask !== undefined && call(ask)) good++;
  }
  if (good !== calls) throw new Error(`${calls - good} requests had no route`);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

const to = { destinations: [{ cluster: "app" }] };

/** What a gateway's table looks like: prefixes of many depths, exact paths, some that ask for a header too. */
function buildOneHost(count: number): Table {
  const asks: Ask[] = [];
  const ask = (path: string, fields: readonly (readonly [string, string])[] = []) =>
    asks.push({ authority: "gateway", requested: { method: "GET", path, headers: HeaderMap.from(fields) } });
  const routes = Array.from({ length: count }, (_, at) => {
    const team = `/team-${at % 97}/service-${at}`;
    const name = `route-${at}`;
    switch (at % 4) {
      case 0:
        ask(`${team}/v1/items?page=2`);
        return { name, matches: [{ path: { kind: "prefix", value: `${team}/v1` } }], ...to };
      case 1:
        ask(`${team}/health`);
        return { name, matches: [{ path: { kind: "exact", value: `${team}/health` } }], ...to };
      case 2:
        ask(`${team}/cart/7`);
        return { name, matches: [{ path: { kind: "path_separated_prefix", value: `${team}/cart` } }], ...to };
      default: {
        ask(`${team}/beta/x`, [["x-tenant", "acme"]]);
        const headers = { "x-tenant": { kind: "exact", value: "acme" } };
        return { name, matches: [{ path: { kind: "prefix", value: `${team}/beta` }, headers }], ...to };
      }
    }
  });
  return { virtualHosts: [{ name: "gateway", domains: ["gateway"], routes }], asks };
}

/** What a sidecar's outbound table looks like: each service's names, and one route. */
function buildHosts(count: number): Table {
  const asks: Ask[] = [];
  const virtualHosts = Array.from({ length: count }, (_, at) => {
    const host = `service-${at}.default.svc.cluster.local`;
    asks.push({
      authority: `${host}:8080`,
      requested: { method: "GET", path: "/items?page=2", headers: HeaderMap.from([]) },
    });
    return {
      name: host,
      domains: [host, `service-${at}`, `service-${at}.default`],
      routes: [{ name: `route-${at}`, ...to }],
    };
  });
  return { virtualHosts, asks };
}

/** Always the same order, and not the table's. */
function shuffle(asks: readonly Ask[]): readonly Ask[] {
  const order = [...asks];
  let seed = 42;
  for (let at = order.length - 1; at > 0; at--) {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    const other = seed % (at + 1);
    const [a, b] = [order[at], order[other]];
    if (a !== undefined && b !== undefined) [order[at], order[other]] = [b, a];
  }
  return order;
}
