// `mount`: a filter at work in a test, on the engine that the test or `filter test` chooses. One test file runs on its
// source, on the component in the sandbox, and on a live proxy.
import type { FilterLimits } from "../../runtime/contract/filter.ts";
import type { AnyFilter } from "../define-filter.ts";
import type { AskedOutcome, TestCharge, TestInstance } from "./asked.ts";
import type { TestConnection } from "./connect.ts";
import { ENGINES, type EngineName } from "./engine.ts";
import { Mounted } from "./mounted.ts";
import type { LogLine, Outcome, TestRequest } from "./outcome.ts";
import type { TestUpstream } from "./upstream.ts";

/** How a filter is mounted; what is left out is as in a proxy. */
export interface MountOptions {
  /** Default: what `filter test` runs the file on (`VESPID_TEST_ENGINE`), else `source`. */
  readonly engine?: EngineName;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Where the clock begins, as `new Date` takes it. It moves by `advance` alone. Default: now. */
  readonly now?: string | number | Date;
  /** Of `Math.random` and `crypto.getRandomValues`, the same on every engine. Default: they are not to be foreseen. */
  readonly seed?: number;
  readonly failurePolicy?: "closed" | "open";
  readonly limits?: Partial<FilterLimits>;
  /** Names of upstreams, where the filter declares `*` and only its configuration knows them. */
  readonly upstreams?: readonly string[];
  /** How long each upstream may take. Default `1_000`. */
  readonly upstreamTimeoutMs?: number;
  /** Name of the route that requests take. Default `default`. */
  readonly routeName?: string;
  /** The filter's file, where it is not the module that exports it as its default. */
  readonly file?: string | URL;
}

export interface AskOptions {
  /** The client leaves when it is aborted. */
  readonly signal?: AbortSignal;
}

/** A mounted filter. */
export interface MountedFilter extends AsyncDisposable {
  readonly engine: EngineName;
  /** The service behind the filter. Default answer: 200 with the body `ok`. */
  readonly service: TestUpstream;
  /** Every line that the filter wrote. */
  readonly logs: readonly LogLine[];
  /** Fuel of all calls; `0` on engine `source`. */
  readonly fuelUsed: number;
  /** Sends a request: a path, or a URL whose host is its authority. Rejects where the test forgot an upstream's answer. */
  request(target?: string, request?: TestRequest): Promise<Outcome>;
  /** Asks an adapter's check about an instance, as a rule's action would. */
  check(instance?: TestInstance, options?: AskOptions): Promise<AskedOutcome>;
  /** Charges an adapter's quota. */
  quota(charge?: TestCharge, options?: AskOptions): Promise<AskedOutcome>;
  /** Tells an adapter of a batch. */
  report(instances: readonly TestInstance[]): Promise<AskedOutcome>;
  /** Opens a connection whose bytes are not HTTP, to an upstream that the test speaks for: for filters with `tcp`. */
  connect(): Promise<TestConnection>;
  /** An upstream that the filter declares. */
  upstream(name: string): TestUpstream;
  /** Moves the clock (`"5m"`, or milliseconds); timers and deadlines that fall due run in order. */
  advance(time: string | number): Promise<void>;
  /** A metric under the name that proxies expose, summed over the series with these labels. */
  metric(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** Mounts a filter; `await using` lets go of it. Throws the problems of its configuration. */
export async function mount(filter: AnyFilter, options: MountOptions = {}): Promise<MountedFilter> {
  return Mounted.start(filter, options.engine ?? engineOfRun(), options);
}

/** The engine that `filter test` runs this process on. */
function engineOfRun(): EngineName {
  const { VESPID_TEST_ENGINE: given = "source" } = process.env;
  const engine = ENGINES.find((name) => name === given);
  if (engine !== undefined) return engine;
  throw new Error(`VESPID_TEST_ENGINE is ${JSON.stringify(given)}, must be one of ${ENGINES.join(", ")}`);
}
